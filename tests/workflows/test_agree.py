"""``agree`` on a session of three labellers, as a command and as a call."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.builders import make_photo_folder
from tests.labelling.answers import answers_of
from tests.pages.contents import read_text
from tests.tiny_run import CommandLine
from tfclassify.data.journals import ADJUDICATOR, Answer
from tfclassify.errors import RequestError, TargetError
from tfclassify.labelling.session import Facts, Session, create_session
from tfclassify.labelling.vocabulary import check_vocabulary
from tfclassify.workflows.agree import AgreeRequest, agree_session

WORDS = {
    "labels": [{"name": "red", "sublabels": ["dark", "light"]}, "green", "blue"],
    "marks": ["blurred"],
}
#: By labeller; cleo says blue wherever nothing else is right.
SAID = {
    "ann": ["red/dark"] * 6 + ["green"] * 6 + ["blue"] * 6,
    "bob": ["red/light"] * 6 + ["green"] * 5 + ["red"] + ["blue"] * 6,
    "cleo": ["blue", "green"] * 9,
}


def make_session(home: Path, said: dict[str, list[str]] = SAID) -> Session:
    photos = make_photo_folder(home / "photos")
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    facts = Facts(data={"source": str(photos)}, vocabulary=check_vocabulary(WORDS, "words"))
    session = create_session(home / "job", facts)
    for labeller in said:
        given = {
            names[int(Path(answer.image).stem)]: answer
            for answer in answers_of({labeller: said[labeller]})
        }
        with session.open_journal(labeller) as journal:
            journal.answer(given)
    return session


def test_figures_tables_and_page(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    with session.open_journal(ADJUDICATOR) as journal:
        journal.answer({"green/005.png": Answer("", "", ("green",))})
    result = agree_session(AgreeRequest(session.folder))
    assert result.agreement.shared == 18
    assert result.agreement.labellers[0].name == "cleo"
    assert result.report.fine is not None
    # Ann and bob agree on 17 labels, and with sub-labels on 6 fewer.
    pairs = {(pair.first, pair.second): pair.raw.value for pair in result.agreement.pairs}
    fine = {(pair.first, pair.second): pair.raw.value for pair in result.report.fine.pairs}
    assert pairs["ann", "bob"] == pytest.approx(17 / 18)
    assert fine["ann", "bob"] == pytest.approx(11 / 18)
    assert result.report.outcomes == {"majority": 17, "adjudicated": 1, "rejected": 0}
    majority = pd.read_csv(result.tables["majority"])
    assert len(majority) == 17
    assert set(majority.columns) >= {"file", "label", "sublabel", "marks", "votes"}
    text = read_text(result.page.read_text("utf-8"))
    assert "Agreement of 3 labellers" in text
    assert "Krippendorff" in text
    for pair in ("ann said by what bob", "bob said by what cleo", "ann said by what cleo"):
        assert f"What {pair} said" in result.page.read_text("utf-8")
    assert "tfclassify label" in text
    json.dumps(result.to_dict(), allow_nan=False)


def test_what_is_in_dispute_is_shown_with_who_said_what(tmp_path: Path) -> None:
    said = {"ann": ["red", "green", "blue"], "bob": ["blue", "green", "blue"]}
    session = make_session(tmp_path, said)
    result = agree_session(AgreeRequest(session.folder, out=tmp_path / "found"))
    assert result.page == tmp_path / "found" / "agree.html"
    assert result.report.disputed == 1
    (photo,) = result.report.photos
    assert photo.lines == ("ann: red", "bob: blue")
    assert photo.thumbnail is not None
    # The picture is gone, and later the source: the page says less and is there.
    (tmp_path / "photos" / photo.name).unlink()
    (photo,) = agree_session(AgreeRequest(session.folder)).report.photos
    assert photo.thumbnail is None
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    assert agree_session(AgreeRequest(session.folder)).report.photos == ()


def test_the_command_prints_tables_or_json(tmp_path: Path, tfclassify: CommandLine) -> None:
    session = make_session(tmp_path)
    answer = tfclassify("agree", session.folder, "-q")
    assert answer.code == 0, answer.err
    assert "Krippendorff" in answer.out
    assert "cleo" in answer.out
    assert answer.out.rstrip().endswith("agree.html")
    answer = tfclassify("agree", session.folder, "--json", "-q")
    content = json.loads(answer.out)
    assert content["labels"]["shared"] == 18
    assert content["labels"]["alpha"]["band"] in ("half", "good")
    assert Path(content["tables"]["rejected"]).exists()


def test_too_little_to_compare(tmp_path: Path, tfclassify: CommandLine) -> None:
    session = make_session(tmp_path, {"ann": ["red"]})
    with pytest.raises(RequestError, match="only 'ann' has answered"):
        agree_session(AgreeRequest(session.folder))
    assert not (session.folder / "agreement").exists()
    with pytest.raises(TargetError, match="is no session"):
        agree_session(AgreeRequest(tmp_path / "photos"))
    assert tfclassify("agree", tmp_path / "photos").code == 2
