"""Exit codes, streams and what an error looks like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_photo_folder
from tests.tiny_run import CommandLine, command_words, make_labelled_photos, write_recipe
from tfclassify import __version__
from tfclassify.cli import main
from tfclassify.errors import RecipeError, TargetError

CNN = "{backbone: custom_cnn, weights: none, layers: [{conv: 4}]}"
PHASES = "phases: [{name: all, epochs: 1}]\n"


def write(text: str) -> str:
    Path("recipe.yaml").write_text(text, "utf-8")
    return "recipe.yaml"


def test_the_version_is_printed(tfclassify: CommandLine) -> None:
    answer = tfclassify("--version")
    assert (answer.code, answer.out) == (0, f"tfclassify {__version__}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "No such command"),
        (["train", "--epoch", "3"], "No such option"),
        (["evaluate"], "Missing argument"),
        (["preview", "a.yaml", "--images", "0"], "greater than or equal to 1"),
    ],
)
def test_a_wrong_call_is_a_usage_error(
    tfclassify: CommandLine, words: list[str], said: str
) -> None:
    answer = tfclassify(*words)
    assert answer.code == 2
    assert said in answer.err
    assert answer.out == ""


def test_a_misspelt_key_is_named_with_its_line(in_tmp: Path, tfclassify: CommandLine) -> None:
    recipe = write(f"name: a\ndata: {{sorce: photos}}\nmodel: {CNN}\n{PHASES}")
    answer = tfclassify("train", recipe)
    assert answer.code == 2
    lines = answer.err.splitlines()
    assert lines[0].startswith("error: recipe.yaml: ")
    assert any("line 2" in line and "'source'" in line for line in lines[1:])
    assert [path.name for path in in_tmp.iterdir()] == ["recipe.yaml"]


def test_a_missing_file_is_one_line(in_tmp: Path, tfclassify: CommandLine) -> None:
    answer = tfclassify("train", "absent.yaml")
    assert answer.code == 2
    assert answer.err.startswith("error: absent.yaml: ")
    assert answer.err.count("\n") == 1
    missing = tfclassify("inspect", "absent")
    assert missing.code == 2
    assert missing.err.startswith("error: absent: there is no such file or folder")
    assert missing.err.count("\n") == 1


def test_a_zip_with_a_path_outside_is_refused(in_tmp: Path, tfclassify: CommandLine) -> None:
    with zipfile.ZipFile("evil.zip", "w") as archive:
        archive.writestr("../outside.png", b"x")
    answer = tfclassify("inspect", "evil.zip", "-q")
    assert answer.code == 1
    assert answer.err.startswith("error: evil.zip: ")
    assert "../outside.png" in answer.err
    assert answer.err.count("\n") == 1
    assert not (in_tmp.parent / "outside.png").exists()


def test_a_wrong_column_is_named(in_tmp: Path, tfclassify: CommandLine) -> None:
    make_labelled_photos(in_tmp / "photos")
    recipe = write_recipe(in_tmp, ("label: colour", "label: color"))
    answer = tfclassify("check", recipe)
    assert answer.code == 1
    assert answer.err.startswith("error: photos/labels.csv")
    assert "'color'" in answer.err
    assert "'colour'" in answer.err
    assert answer.err.count("\n") == 1


def test_an_image_of_zero_bytes_is_told_and_an_error_under_strict(
    in_tmp: Path, tfclassify: CommandLine
) -> None:
    photos = make_photo_folder(in_tmp / "photos")
    (photos / "red" / "zero.png").write_bytes(b"")
    recipe = write(
        f"name: a\ndata: {{source: photos, image_size: 16, strict: true}}\nmodel: {CNN}\n{PHASES}"
    )
    strict = tfclassify("check", recipe)
    assert strict.code == 1
    assert strict.out == ""
    assert "red/zero.png" in strict.err
    assert "Traceback" not in strict.err
    told = tfclassify("check", recipe, "--set", "data.strict=false")
    assert told.code == 0, told.err
    assert "warning: photos: " in told.err
    assert "red/zero.png" in told.out + told.err


def test_no_network_for_weights_names_the_ways_out(
    in_tmp: Path, tfclassify: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfclassify.backbones import building

    construct = building.construct

    def fail(origin: Any, image_size: tuple[int, int], weights: str | None) -> Any:
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://…: None -- Name or service not known")
        return construct(origin, image_size, weights)

    monkeypatch.setattr("tfclassify.backbones.building.construct", fail)
    make_photo_folder(in_tmp / "photos")
    data = "data: {source: photos, image_size: 32}"
    recipe = write(f"name: a\n{data}\nmodel: {{backbone: mobilenet_v2}}\n{PHASES}")
    answer = tfclassify("train", recipe, "-q")
    assert answer.code == 1
    assert answer.err.startswith("error: model.weights: no ImageNet weights for 'mobilenet_v2'")
    assert "Three ways out" in answer.err
    assert answer.err.count("\n") == 1
    assert not any(Path("reports").rglob("recipe.yaml"))


def test_debug_shows_where_it_failed(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = write("name: a\n")
    words = ["tfclassify", "check", recipe]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        main.run()
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "--debug"])
    with pytest.raises(RecipeError):
        main.run()


def test_a_fault_of_our_own_is_one_block_without_debug(
    in_tmp: Path, tfclassify: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("tfclassify.workflows.backbones.list_backbones", fail)
    answer = tfclassify("backbones")
    assert answer.code == 1
    assert answer.err == (
        "error: unexpected ZeroDivisionError: division by zero\n"
        "run again with --debug for a traceback\n"
    )
    with pytest.raises(ZeroDivisionError):
        tfclassify("backbones", "--debug")


def call_process(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_words(*words),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **settings},
    )


def test_a_process_ends_with_the_code_and_the_streams(in_tmp: Path) -> None:
    recipe = write("name: a\n")
    plain = call_process("train", recipe)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.startswith("error: recipe.yaml: ")
    assert "Traceback" not in plain.stderr
    debugged = call_process("train", recipe, "--debug")
    assert debugged.returncode == 1
    assert "Traceback" in debugged.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    words = " ".join(f"'{word}'" for word in command_words("schema"))
    done = subprocess.run(
        ["bash", "-c", f"{words} | head -1; exit ${{PIPESTATUS[1]}}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_closed_streams_are_no_error(in_tmp: Path) -> None:
    words = " ".join(command_words("train", write("name: a\n")))
    done = subprocess.run(
        ["bash", "-c", f"{words} 2>&-; echo $?; {words} >&- 2>&-; echo $?"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.stderr) == ("2\n2\n", "")


def test_a_full_device_is_told_wherever_the_output_goes(in_tmp: Path) -> None:
    words = " ".join(command_words("schema"))
    done = subprocess.run(
        ["bash", "-c", f"{words} > /dev/full; echo $?; {words} > /dev/full 2>&1; echo $?"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "1\n1\n"
    assert done.stderr == "error: standard output: No space left on device; make room\n"


def test_signs_that_an_encoding_lacks_are_written_as_in_json(in_tmp: Path) -> None:
    photos = "ph–\U0001f600"
    make_photo_folder(Path(photos), 1)
    latin = call_process("inspect", photos, "--json", "-q", PYTHONIOENCODING="latin1")
    assert latin.returncode == 0, latin.stderr
    assert json.loads(latin.stdout)["source"] == photos
    assert latin.stdout.isascii()
    plain = call_process("inspect", photos, PYTHONIOENCODING="ascii")
    assert plain.returncode == 0, plain.stderr


def test_a_name_that_is_no_text_can_be_written() -> None:
    program = (
        "import json, os; from tfclassify.cli import app, main\n"
        "app.app = lambda *given, **named: print(json.dumps(os.fsdecode(b'a\\xff'), "
        "ensure_ascii=False))\nmain.run()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == os.fsdecode(b"a\xff")


def test_a_limit_under_which_tensorflow_aborts_is_told_before(in_tmp: Path) -> None:
    words = " ".join(command_words("profile", "mobilenet_025"))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 3000000; {words}"], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: ulimit -v: TensorFlow needs 4.3 GB of address space to start, got 3.1 GB; raise "
        "the limit, or limit the memory of a container instead\n"
    )


def test_debug_may_stand_anywhere(in_tmp: Path, tfclassify: CommandLine) -> None:
    for words in (["--debug", "check", "a.yaml"], ["check", "a.yaml", "--debug"]):
        with pytest.raises(TargetError):
            tfclassify(*words)
    assert tfclassify("check", "--", "--debug").code == 2


def test_the_shell_completes_commands_options_backbones_and_runs(in_tmp: Path) -> None:
    def complete(line: str) -> str:
        words = line.split(" ")
        return call_process(
            _TFCLASSIFY_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
        ).stdout

    assert complete("tfclassify tr").split() == ["train"]
    assert "--resume" in complete("tfclassify train --re")
    assert "resnet50" in complete("tfclassify train photos --backbone resn").split()
    assert "resnet50" in complete("tfclassify profile resn").split()
    for number in ("001", "002"):
        Path("reports", "plants", number).mkdir(parents=True)
    assert complete("tfclassify evaluate ").split() == [
        "reports/plants",
        "reports/plants/001",
        "reports/plants/002",
    ]
    script = call_process(_TFCLASSIFY_COMPLETE="source_bash").stdout
    assert "complete" in script
