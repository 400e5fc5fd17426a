"""One reader under atheris, which follows its branches and never comes back.

``python -m tests.fuzz.follow READER [OPTION …] CORPUS``, as ``tests.fuzz`` starts it.
"""

from __future__ import annotations

import sys
import warnings

import atheris

#: Only what reads is followed: all modules together would take minutes to prepare.
FOLLOWED = ["tfclassify.data", "tfclassify.recipe", "PIL", "tarfile", "zipfile", "yaml", "csv"]

with atheris.instrument_imports(include=FOLLOWED):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]].try_one)
    atheris.Fuzz()
