from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.builders import make_photo_folder
from tests.tiny_run import TinyRun
from tfclassify.errors import RequestError, SourceError
from tfclassify.workflows.inspect import InspectRequest, inspect_source


@pytest.fixture
def photos(in_tmp: Path) -> Path:
    folder = make_photo_folder(in_tmp / "photos", images_per_class=3)
    (folder / "red" / "zero.png").write_bytes(b"")
    return folder


def test_a_folder_is_counted_and_checked(photos: Path) -> None:
    result = inspect_source(InspectRequest("photos"))
    assert result.data.counts == {"all": (3, 3, 3)}
    assert result.data.classes == ("blue", "green", "red")
    assert result.integrity.quarantined == 1
    assert [row.image for row in result.integrity.rows if row.severity == "quarantined"] == [
        "red/zero.png"
    ]
    # Photos are 24 high and 32 wide.
    assert result.statistics.width.median == 32
    assert result.statistics.height.median == 24
    assert result.html is None


def test_a_zip_is_the_same_as_its_folder(photos: Path) -> None:
    shutil.make_archive("packed", "zip", photos)
    result = inspect_source(InspectRequest("packed.zip"))
    assert result.data.counts == {"all": (3, 3, 3)}
    assert result.integrity.quarantined == 1


def test_a_recipe_shows_its_split(tiny_run: TinyRun) -> None:
    result = inspect_source(InspectRequest(str(tiny_run.recipe), ("data.test=0",)))
    assert set(result.data.counts) == {"train", "validation"}
    assert result.data.total() == 45


def test_the_page_loads_nothing(photos: Path, in_tmp: Path) -> None:
    page = in_tmp / "page.html"
    assert inspect_source(InspectRequest("photos", html=page)).html == page
    text = page.read_text("utf-8")
    assert "zero.png" in text
    assert 'src="http' not in text
    assert "tfclassify new NAME --data photos" in text


def test_what_cannot_be_inspected_is_named(photos: Path) -> None:
    with pytest.raises(SourceError, match=r"photo: there is no such file or folder; .*'photos'"):
        inspect_source(InspectRequest("photo"))
    with pytest.raises(RequestError, match="inspect --set: photos is no recipe"):
        inspect_source(InspectRequest("photos", ("seed=1",)))
