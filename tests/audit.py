"""What a change must pass for safety's sake: ``python -m tests.audit``.

Owns: running bandit over the code, which must be clean, and pip-audit over what is
installed. Known vulnerabilities fail; that the database cannot be reached is only said,
since the check must work without a network too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_PATIENCE_S = 120


def main() -> int:
    """Run both checks and return the exit code."""
    bandit = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", "tfclassify"],
        check=False,
    )
    print("bandit: clean" if bandit.returncode == 0 else "bandit: see above")
    return max(bandit.returncode, audit_packages())


def audit_packages() -> int:
    """Look the installed packages up, and return 1 if one has a known vulnerability."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--skip-editable"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print("pip-audit: the database cannot be reached; nothing was looked up")
        return 0
    vulnerable, looked_up = sort_packages(packages)
    for line in vulnerable:
        print(f"pip-audit: {line}")
    counts = f"{looked_up} of {len(packages)} packages looked up, {len(vulnerable)} vulnerable"
    print(f"pip-audit: {counts}")
    return 1 if vulnerable else 0


def sort_packages(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return a line for each vulnerability, and how many packages could be looked up."""
    found = [package for package in packages if "skip_reason" not in package]
    lines = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in found
        for hole in package["vulns"]
    ]
    return lines, len(found)


if __name__ == "__main__":
    sys.exit(main())
