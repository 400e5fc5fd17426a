"""What is found in a folder that is about to be published."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tfclassify.publishing import privacy
from tfclassify.publishing.privacy import search_private


def kinds(folder: Path, **options: object) -> list[str]:
    return [finding.kind for finding in search_private(folder, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("source: /home/ada/photos", "a path of a person's folder"),
        (r"C:\Users\ada\photos", "a path of a person's folder"),
        (r'{"source": "C:\\Users\\ada"}', "a path of a person's folder"),
        ("token = hf_" + "a" * 34, "a token of the Hub"),
        ("AKIA" + "A" * 16, "a key of a cloud"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
    ],
)
def test_patterns(tmp_path: Path, text: str, kind: str) -> None:
    (tmp_path / "notes.json").write_text(text, "utf-8")
    assert kinds(tmp_path) == [kind]


def test_a_secret_is_not_repeated_in_the_finding(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("hf_" + "a" * 34, "utf-8")
    (found,) = search_private(tmp_path)
    assert found.text == "hf_aaa..."


def test_a_path_within_an_archive(tmp_path: Path) -> None:
    secret = tmp_path / "there" / "run"
    folder = tmp_path / "out"
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", f'{{"folder": "{secret}"}}')
    (found,) = search_private(folder, paths=[secret])
    assert found.file == "model.keras: config.json"
    assert found.kind == "a path of this machine"


def test_names_of_account_and_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy.getpass, "getuser", lambda: "lovelace")
    monkeypatch.setattr(privacy.socket, "gethostname", lambda: "engine42.example.org")
    (tmp_path / "card.md").write_text("by lovelace on engine42", "utf-8")
    assert kinds(tmp_path) == ["the machine's name", "the user's name"]
    (tmp_path / "card.md").write_text("by lovelaces on an engine421", "utf-8")
    assert kinds(tmp_path) == []


def test_an_account_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise OSError("no entry")

    monkeypatch.setattr(privacy.getpass, "getuser", refuse)
    assert kinds(tmp_path) == []


def test_names_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("see IMG_0001.jpg, or not", "utf-8")
    assert kinds(tmp_path, data_files=["a/IMG_0001.jpg", "b/IMG_0002.jpg"]) == [
        "a file of the data"
    ]
    assert kinds(tmp_path, data_files=["a/IMG_0002.jpg"]) == []
