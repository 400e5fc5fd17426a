from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.builders import make_photo
from tfclassify.data.images import decode_image
from tfclassify.errors import DataError, ImageError
from tfclassify.events import Observer
from tfclassify.pipeline import cache
from tfclassify.pipeline.cache import (
    ImageStore,
    hash_content,
    naming_broken_images,
    open_images,
)

MODES = ("memory", "disk", "none")


@dataclass(frozen=True)
class Decoding:
    image_size: tuple[int, int] = (12, 16)
    resize: str = "stretch"
    max_pixels: int = 10**6
    cache: str = "memory"
    cache_gb: float | None = None


class Recorder(Observer):
    def __init__(self) -> None:
        self.steps: list[object] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)

    def on_task_start(self, task: str, total: int | None) -> None:
        self.steps.append(("start", task, total))

    def on_task_step(self, task: str, done: int) -> None:
        self.steps.append(done)

    def on_task_end(self, task: str) -> None:
        self.steps.append("end")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "cache"))
    paths = []
    for number in range(7):
        path = tmp_path / f"{number}.png"
        make_photo(number, size=(20 + number, 30)).save(path)
        paths.append(str(path))
    return paths


def decode_all(paths: list[str], resize: str = "stretch") -> np.ndarray:
    return np.stack([decode_image(path, (12, 16), resize) for path in paths])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
def test_every_mode_gives_the_decoders_pixels(photos: list[str], mode: str, resize: str):
    store = open_images(photos, Decoding(cache=mode, resize=resize))
    assert store.mode == mode
    assert len(store) == 7
    rows = [3, 0, 6, 3]
    assert np.array_equal(store.read(rows), decode_all(photos, resize)[rows])


@pytest.mark.parametrize("mode", MODES)
def test_no_rows_and_no_images(photos: list[str], mode: str):
    assert open_images(photos, Decoding(cache=mode)).read([]).shape == (0, 12, 16, 3)
    assert len(open_images([], Decoding(cache=mode))) == 0


@pytest.mark.parametrize("mode", ["memory", "disk"])
def test_more_images_than_a_chunk(photos: list[str], mode: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "CHUNK", 3)
    recorder = Recorder()
    store = open_images(photos, Decoding(cache=mode), observer=recorder)
    assert np.array_equal(store.read(range(7)), decode_all(photos))
    assert recorder.steps == [("start", "decode images", 7), 3, 6, 7, "end"]


def test_disk_is_reused_without_decoding(photos: list[str], monkeypatch: pytest.MonkeyPatch):
    first = open_images(photos, Decoding(cache="disk")).read(range(7))
    monkeypatch.setattr(cache, "decode_image", None)
    assert np.array_equal(open_images(photos, Decoding(cache="disk")).read(range(7)), first)


def test_disk_is_found_by_content_not_by_place(photos: list[str], tmp_path: Path):
    open_images(photos, Decoding(cache="disk"))
    moved = []
    for number, path in enumerate(photos):
        target = tmp_path / f"moved_{number}.png"
        Path(path).rename(target)
        moved.append(str(target))
    open_images(moved, Decoding(cache="disk"))
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1


def test_a_cut_off_file_is_written_again(photos: list[str], tmp_path: Path):
    open_images(photos, Decoding(cache="disk"))
    (place,) = (tmp_path / "cache" / "images").iterdir()
    place.write_bytes(b"short")
    store = open_images(photos, Decoding(cache="disk"))
    assert np.array_equal(store.read(range(7)), decode_all(photos))


@pytest.mark.parametrize("at", [0, 700, -1])
def test_a_changed_file_is_told_and_written_again(photos: list[str], tmp_path: Path, at: int):
    open_images(photos, Decoding(cache="disk"))
    (place,) = (tmp_path / "cache" / "images").iterdir()
    content = bytearray(place.read_bytes())
    content[at] ^= 1
    place.write_bytes(content)
    recorder = Recorder()
    store = open_images(photos, Decoding(cache="disk"), observer=recorder)
    assert np.array_equal(store.read(range(7)), decode_all(photos))
    assert "changed since it was written; its images are decoded anew" in recorder.warnings[0]
    again = Recorder()
    open_images(photos, Decoding(cache="disk"), observer=again)
    assert again.warnings == []


def test_an_image_replaced_while_in_use_is_told(photos: list[str]):
    store = open_images(photos, Decoding(cache="none"))
    store.read([2])
    make_photo(99, (40, 40)).save(photos[2])
    assert store.read([1, 3]).shape == (2, 12, 16, 3)
    with pytest.raises(
        ImageError, match=r"2\.png: the image was changed while it was in use"
    ) as told:
        store.read([1, 2])
    assert store.failure is told.value


def test_an_image_replaced_by_one_of_its_size_is_told(photos: list[str]):
    store = open_images(photos, Decoding(cache="none"))
    content = Path(photos[2]).read_bytes()
    Path(photos[2]).write_bytes(content)
    os.utime(photos[2], ns=(1, 1))
    with pytest.raises(ImageError, match=r"2\.png: the image was changed"):
        store.read([2])


def test_disk_pixels_cannot_be_written(photos: list[str]):
    store = open_images(photos, Decoding(cache="disk"))
    assert store._pixels is not None
    with pytest.raises(ValueError, match="read-only"):
        store._pixels[0] = 0


@pytest.mark.parametrize(
    "change", [{"image_size": (16, 12)}, {"resize": "crop"}, {"max_pixels": 10**5}]
)
def test_the_key_changes_with_the_settings(photos: list[str], change: dict):
    assert hash_content(photos, Decoding()) != hash_content(photos, Decoding(**change))


def test_the_key_changes_with_content_and_order(photos: list[str]):
    before = hash_content(photos, Decoding())
    assert hash_content(photos[::-1], Decoding()) != before
    make_photo(99).save(photos[2])
    assert hash_content(photos, Decoding()) != before


def test_the_key_names_a_file_that_is_gone(photos: list[str]):
    Path(photos[2]).unlink()
    with pytest.raises(ImageError, match=r"2\.png: the image cannot be read"):
        hash_content(photos, Decoding())


def test_a_broken_image_is_named_when_decoded_ahead(photos: list[str]):
    Path(photos[4]).write_bytes(b"not an image")
    for mode in ("memory", "disk"):
        with pytest.raises(ImageError, match=r"4\.png"):
            open_images(photos, Decoding(cache=mode))


def test_a_broken_image_leaves_no_file(photos: list[str], tmp_path: Path):
    Path(photos[4]).write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"4\.png"):
        open_images(photos, Decoding(cache="disk"))
    assert list((tmp_path / "cache" / "images").iterdir()) == []


def test_a_broken_image_is_named_when_read(photos: list[str]):
    Path(photos[4]).write_bytes(b"not an image")
    store = open_images(photos, Decoding(cache="none"))
    assert store.read([0, 1]).shape == (2, 12, 16, 3)
    with pytest.raises(ImageError, match=r"4\.png") as caught:
        store.read([3, 4, 5])
    assert store.failure is caught.value


def test_naming_broken_images_gives_back_the_reason(photos: list[str]):
    store = open_images(photos, Decoding(cache="none"))
    with pytest.raises(KeyError, match="other"), naming_broken_images(store):
        raise KeyError("other")
    store.failure = ImageError("4.png: broken")
    with pytest.raises(ImageError, match=r"4\.png: broken"), naming_broken_images(store):
        raise RuntimeError("wrapped")


@pytest.mark.parametrize(
    ("memory", "disk", "mode"),
    [(10_000, 10**6, "memory"), (9_000, 10**6, "disk"), (9_000, 10_000, "none")],
)
def test_auto_takes_the_first_that_fits(
    photos: list[str], memory: int, disk: int, mode: str, monkeypatch: pytest.MonkeyPatch
):
    # 7 * 12 * 16 * 3 = 4032 bytes, of which memory may give 0.4 and disk 0.25.
    monkeypatch.setattr(cache, "available_memory", lambda: memory + 100)
    monkeypatch.setattr(cache, "free_disk", lambda place: disk)
    assert open_images(photos, Decoding(cache="auto")).mode == mode


@pytest.mark.parametrize(
    ("budget", "disk", "mode", "told"),
    [
        (4.1e-6, 10**6, "memory", ""),
        (4.0e-6, 10**6, "disk", "allowed are 4.0 kB of memory; they are kept in a memory-mapped"),
        (4.0e-6, 10_000, "none", "allowed are 4.0 kB of memory; they are decoded again in every"),
        (1.0, 10**6, "disk", "allowed are 4.0 kB of memory; they are kept in a memory-mapped"),
    ],
)
def test_a_budget_says_what_memory_may_take_and_what_spills_is_told(
    photos: list[str],
    budget: float,
    disk: int,
    mode: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
):
    # 4032 bytes; the last budget is more than the machine has free.
    monkeypatch.setattr(cache, "available_memory", lambda: 4_000 if budget == 1.0 else 10**9)
    monkeypatch.setattr(cache, "free_disk", lambda place: disk)
    recorder = Recorder()
    store = open_images(photos, Decoding(cache="auto", cache_gb=budget), observer=recorder)
    assert store.mode == mode
    assert isinstance(store._pixels, np.memmap) == (mode == "disk")
    np.testing.assert_array_equal(store.read(range(7)), decode_all(photos))
    assert [told in note for note in recorder.notes] == ([True] if told else [])


def test_memory_asked_for_beyond_what_is_free_is_warned_about(
    photos: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache, "available_memory", lambda: 1000)
    recorder = Recorder()
    assert open_images(photos, Decoding(cache="memory"), observer=recorder).mode == "memory"
    assert "cache: disk or none" in recorder.warnings[0]


def test_disk_asked_for_beyond_what_is_free_is_an_error(
    photos: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache, "free_disk", lambda place: 1000)
    with pytest.raises(DataError, match=r"need 4.0 kB on disk and 1.0 kB are free"):
        open_images(photos, Decoding(cache="disk"))


def test_the_store_says_where_it_is(photos: list[str], tmp_path: Path):
    says = {mode: open_images(photos, Decoding(cache=mode)).describe() for mode in MODES}
    assert says["memory"] == "7 images of 12x16 decoded once and kept in memory (4.0 kB)"
    assert says["disk"].startswith("7 images of 12x16 decoded once and kept on disk (4.0 kB, ")
    assert str(tmp_path) in says["disk"]
    assert says["none"] == "7 images of 12x16 decoded again in every epoch (4.0 kB decoded)"


def test_free_disk_is_that_of_the_nearest_folder_there_is(tmp_path: Path):
    free = cache.free_disk(tmp_path / "not" / "yet" / "there")
    assert free == pytest.approx(
        os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize, rel=0.1
    )


def test_reading_from_many_threads_agrees(photos: list[str]):
    from concurrent.futures import ThreadPoolExecutor

    store: ImageStore = open_images(photos, Decoding(cache="none"))
    expected = decode_all(photos)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda row: store.read([row, 6 - row]), range(7)))
    for row, result in enumerate(results):
        assert np.array_equal(result, expected[[row, 6 - row]])


def test_greyscale_files_become_rgb(tmp_path: Path):
    path = tmp_path / "grey.png"
    Image.new("L", (16, 12), 77).save(path)
    assert np.unique(open_images([str(path)], Decoding()).read([0])).tolist() == [77]
