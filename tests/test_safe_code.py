"""The house rule: nothing in the package can be talked into running what it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tfclassify

ROOT = Path(tfclassify.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
#: Calls that run text or bytes, or a command through a shell.
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "input", "breakpoint"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all"),
    *("pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "dill.load"),
    *("joblib.load", "torch.load", "torch.jit.load", "pandas.read_pickle", "pd.read_pickle"),
    *(
        "os.system",
        "os.popen",
        "os.startfile",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
    ),
    *(
        "tempfile.mktemp",
        "keras.config.enable_unsafe_deserialization",
        "zipfile.ZipFile.extractall",
    ),
    *("shutil.unpack_archive", "urllib.request.urlretrieve", "keras.utils.get_file"),
}
#: Methods that unpack without looking, whatever they are called on, and who may call them.
FORBIDDEN_METHODS = {
    "extractall": "export/proof.py",  # a submission that it has just packed itself
    "enable_unsafe_deserialization": "",
}
#: Keyword arguments that switch a safeguard off.
FORBIDDEN_ARGUMENTS = {
    ("shell", True),
    ("allow_pickle", True),
    ("safe_mode", False),
    ("verify", False),
}
#: What only one file may do, having its own checks around it.
ALONE = {
    "urlopen": "data/download.py",
    "subprocess.run": "export/fresh_process.py",
}


def name_of(node: ast.expr) -> str:
    """Return the dotted name that is called, such as ``yaml.load``."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def find_faults(source: str, file: str = "") -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        method = name.rpartition(".")[2]
        if name in FORBIDDEN or file != FORBIDDEN_METHODS.get(method, file):
            yield f"line {node.lineno}: calls {name}"
        if name in ALONE and file != ALONE[name]:
            yield f"line {node.lineno}: calls {name}, which only {ALONE[name]} may"
        for keyword in node.keywords:
            value = keyword.value
            if (
                isinstance(value, ast.Constant)
                and (keyword.arg, value.value) in FORBIDDEN_ARGUMENTS
            ):
                yield f"line {node.lineno}: {name}({keyword.arg}={value.value})"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_runs_what_it_reads(file: Path) -> None:
    found = find_faults(file.read_text("utf-8"), file.relative_to(ROOT).as_posix())
    assert list(found) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "pickle.loads(data)",
        "subprocess.run('ls', shell=True)",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path, safe_mode=False)",
        "archive.extractall(target)",
        "urlopen(url)",
    ],
)
def test_a_fault_is_found(source: str) -> None:
    assert list(find_faults(source, "model/bundle.py"))


def test_only_the_tensor_reader_unpickles() -> None:
    using = [
        file.relative_to(ROOT).as_posix()
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and name_of(node) == "pickle.Unpickler"
    ]
    assert using == ["backbones/tensor_files.py"]


def test_what_is_harmless_is_let_through() -> None:
    assert not list(find_faults("re.compile('x'); model.compile(loss=None); yaml.parse(text)"))
    assert not list(find_faults("urlopen(url)", "data/download.py"))
