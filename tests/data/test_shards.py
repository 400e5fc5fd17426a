from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest

from tests.data.builders import Listener, make_box, write_coco, write_images
from tfclassify.data import shards as shards_module
from tfclassify.data.index import Index
from tfclassify.data.places import find_stretch, read_bytes
from tfclassify.data.preparation import survey_source
from tfclassify.data.readers import read_listing, read_source
from tfclassify.data.shards import is_shards, open_shards, write_shards
from tfclassify.data.sources import find_source
from tfclassify.errors import AbsentSourceError, SourceError
from tfclassify.recipe.schema import DataRecipe

TABLE = """file,kind,person,part,weight,marks,note
0.png,a,x,train,1,0,
1.png,b,x,,0.5,3,
2.png,a,y,test,2,1,
=3.png,c,y,,1,0,
gone.png,a,y,,1,0,
bad.png,b,z,,1,0,
"""
COLUMNS = {
    "label": "kind",
    "group": "person",
    "split": "part",
    "weight": "weight",
    "flags": "marks",
}
KEYS = {"table": "t.csv", "columns": COLUMNS, "flags": {"blurred": 1, "dark": 2}}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos in a table with all that one can say, one not there and one that is no image."""
    folder = write_images(tmp_path / "photos", {".": 4})
    (folder / "3.png").rename(folder / "=3.png")
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "t.csv").write_text(TABLE)
    (folder / "notes.pdf").write_bytes(b"%PDF")
    return folder


def pack(source: Path, target: Path, shard_bytes: int = 1 << 20, **keys: Any) -> Path:
    data = DataRecipe(source=str(source), **keys)
    target.mkdir()
    listing = read_listing(find_source(data), data, Listener())
    write_shards(listing, target, data, shard_bytes=shard_bytes)
    return target


def survey(source: Path | str, **keys: Any) -> Index:
    return survey_source(DataRecipe(source=str(source), **keys)).index


def assert_same_but_paths(got: Index, expected: Index) -> None:
    columns = [name for name in expected.frame if name != "path"]
    pd.testing.assert_frame_equal(got.frame[columns], expected.frame[columns])
    assert got.classes == expected.classes
    assert got.is_multi_label == expected.is_multi_label


def test_shards_give_the_index_of_their_source(photos: Path, tmp_path: Path) -> None:
    shards = pack(photos, tmp_path / "shards", shard_bytes=600, **KEYS)
    assert len(list(shards.glob("*.tfrecord"))) > 1
    expected = survey(photos, **KEYS)
    assert expected.frame["status"].tolist().count("quarantined") == 2
    for keys in ({}, KEYS):
        assert_same_but_paths(survey(shards, **keys), expected)
    (kept,) = survey(shards).frame.query("image == '=3.png'")["path"]
    assert read_bytes(kept) == (photos / "=3.png").read_bytes()


def test_findings_are_those_of_the_source(photos: Path, tmp_path: Path) -> None:
    shards = pack(photos, tmp_path / "shards", **KEYS)
    expected = survey_source(DataRecipe(source=str(photos), **KEYS)).integrity
    got = survey_source(DataRecipe(source=str(shards))).integrity
    assert got.counts == expected.counts
    assert [row.image for row in got.rows] == [row.image for row in expected.rows]


def test_a_recipe_does_the_same_to_shards_as_to_their_source(photos: Path, tmp_path: Path) -> None:
    keys = {
        **KEYS,
        "drop_labels": ("c",),
        "merge_classes": {"all": ("a", "b")},
        "drop_flags": ("dark",),
        "flag_weights": {"blurred": 0.25},
    }
    shards = pack(photos, tmp_path / "shards", **KEYS)
    got = survey(shards, **{key: value for key, value in keys.items() if key not in KEYS})
    assert_same_but_paths(got, survey(photos, **keys))
    assert got.frame.set_index("image")["weight"]["2.png"] == 0.5


def test_several_labels_an_image_travel(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", {"train": 3})
    boxes = [make_box(1, 18), make_box(1, 1), make_box(3, 90)]
    write_coco(photos / "t.json", {1: "0.png", 2: "1.png", 3: "2.png"}, boxes)
    keys = {"coco": {"annotations": {"train": "t.json"}, "images": {"train": "train"}}}
    shards = pack(photos, tmp_path / "shards", **keys)
    got = survey(shards)
    assert_same_but_paths(got, survey(photos, **keys))
    assert got.label_sets() == [("person", "dog"), (), ("toothbrush",)]


def test_folders_and_unlabelled_images_travel(tmp_path: Path) -> None:
    split = write_images(tmp_path / "split", {"train/a": 2, "train/b": 1, "val/a": 1, "val/b": 1})
    flat = write_images(tmp_path / "flat", {".": 2})
    for photos in (split, flat):
        shards = pack(photos, tmp_path / f"packed-{photos.name}")
        assert_same_but_paths(survey(shards), survey(photos))


def test_names_without_an_ending_keep_that_of_their_file(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", {".": 1})
    (photos / "0.png").rename(photos / "0.jpg")  # an ending of another format is a remark
    (photos / "t.csv").write_text("file,label\n0,a\n")
    keys = {"table": "t.csv", "extension": ".jpg"}
    shards = pack(photos, tmp_path / "shards", **keys)
    assert survey(shards).frame["reason"].tolist() == ["extension of another format"]
    assert_same_but_paths(survey(shards), survey(photos, **keys))


def test_tensorflow_reads_shards_as_ordinary_examples(photos: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    shards = pack(photos, tmp_path / "shards", shard_bytes=600, **KEYS)
    files = sorted(map(str, shards.glob("*.tfrecord")))
    kinds = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/class/text": tf.io.VarLenFeature(tf.string),
        "image/flags": tf.io.VarLenFeature(tf.string),
        "image/weight": tf.io.FixedLenFeature([], tf.float32),
    }
    read = {}
    for record in tf.data.TFRecordDataset(files):
        example = tf.io.parse_single_example(record, kinds)
        read[example["image/filename"].numpy().decode()] = example
    assert set(read) == {"0.png", "1.png", "2.png", "=3.png", "bad.png"}
    assert read["1.png"]["image/encoded"].numpy() == (photos / "1.png").read_bytes()
    assert read["1.png"]["image/class/text"].values.numpy().tolist() == [b"b"]
    assert read["1.png"]["image/flags"].values.numpy().tolist() == [b"blurred", b"dark"]
    assert read["1.png"]["image/weight"].numpy() == np.float32(0.5)


@pytest.fixture
def uploaded(photos: Path, tmp_path: Path) -> Iterator[str]:
    shards = pack(photos, tmp_path / "shards", **KEYS)
    system = fsspec.filesystem("memory")
    system.put(str(shards), "/bucket/shards", recursive=True)
    yield "memory://bucket/shards"
    system.rm("/bucket", recursive=True)


def test_shards_behind_an_address_give_the_same_index(
    photos: Path, tmp_path: Path, uploaded: str
) -> None:
    expected = survey(photos, **KEYS)
    for source in (uploaded, f"{uploaded}/", f"file://{tmp_path}/shards"):
        got = survey(source)
        assert_same_but_paths(got, expected)
        place = find_stretch(got.usable().paths()[0])
        assert place is not None
        assert place.shard.startswith(source.rstrip("/"))


def test_facts_of_any_size_are_not_read_from_afar(
    uploaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards_module, "_MOST_FACTS", 100)
    with pytest.raises(SourceError, match=r"shards\.json: larger than the 100 bytes that are read"):
        open_shards(uploaded)


def test_shards_do_not_say_where_their_source_lay(photos: Path, tmp_path: Path) -> None:
    packed = pack(photos, tmp_path / "shards")
    assert open_shards(packed).facts.source == photos.name
    assert str(tmp_path).encode() not in b"".join(each.read_bytes() for each in packed.iterdir())


def test_shards_by_path_are_listed_in_order_of_names(photos: Path, tmp_path: Path) -> None:
    opened = open_shards(pack(photos, tmp_path / "shards", **KEYS))
    assert [name for name, _ in opened.list_paths()] == [
        "0.png",
        "1.png",
        "2.png",
        "=3.png",
        "bad.png",
    ]


def test_what_is_shards_and_what_is_not(photos: Path, tmp_path: Path) -> None:
    shards = pack(photos, tmp_path / "shards")
    image = open_shards(shards).list_paths()[0][1]
    assert is_shards(shards)
    assert is_shards("s3://bucket/shards")
    for other in (photos, "https://x.org/a.zip", image, "s3://b/x.tfrecord#1+2/a.jpg", "none"):
        assert not is_shards(other)


def test_a_shard_that_is_cut_short_or_gone_is_named(
    photos: Path, tmp_path: Path, uploaded: str
) -> None:
    shards = tmp_path / "shards"
    (shard,) = shards.glob("*.tfrecord")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    told = f"{len(whole) - 1:,} bytes of {len(whole):,}; fetch or pack it again"
    with pytest.raises(SourceError, match=f"this shard is not whole, got {told}"):
        open_shards(shards)
    fsspec.filesystem("memory").pipe_file(f"/bucket/shards/{shard.name}", whole[:-1])
    with pytest.raises(SourceError, match=f"memory://.*this shard is not whole, got {told}"):
        open_shards(uploaded)
    shard.unlink()
    with pytest.raises(SourceError, match=f"{shard.name}: this shard is not there; fetch or pack"):
        open_shards(shards)


def test_an_image_of_other_bytes_is_quarantined(photos: Path, tmp_path: Path) -> None:
    shards = pack(photos, tmp_path / "shards", **KEYS)
    (shard,) = shards.glob("*.tfrecord")
    place = find_stretch(dict(open_shards(shards).list_paths())["1.png"])
    assert place is not None
    content = bytearray(shard.read_bytes())
    content[place.start : place.start + place.size] = (
        (photos / "2.png").read_bytes().ljust(place.size, b"\0")[: place.size]
    )
    shard.write_bytes(content)
    prepared = survey_source(DataRecipe(source=str(shards)))
    rows = prepared.index.frame.set_index("image")
    assert rows["status"]["1.png"] == "quarantined"
    (finding,) = [row for row in prepared.integrity.rows if row.image == "1.png"]
    assert finding.kind in ("unreadable", "truncated")


def test_another_image_in_its_place_is_no_match(photos: Path, tmp_path: Path) -> None:
    """Its bytes are an image, but not the one that was packed."""
    for number in (0, 1):  # the same size for two images
        (photos / f"{number}.png").write_bytes(
            (photos / f"{number}.png").read_bytes().ljust(2000, b"\0")
        )
    shards = pack(photos, tmp_path / "shards", **KEYS)
    (shard,) = shards.glob("*.tfrecord")
    first, second = (
        find_stretch(dict(open_shards(shards).list_paths())[name]) for name in ("0.png", "1.png")
    )
    assert first is not None
    assert second is not None
    content = bytearray(shard.read_bytes())
    content[first.start : first.start + 2000] = content[second.start : second.start + 2000]
    shard.write_bytes(content)
    prepared = survey_source(DataRecipe(source=str(shards)))
    (finding,) = [row for row in prepared.integrity.rows if row.image == "0.png"]
    assert "its bytes are not those that were packed, got sha256" in finding.detail


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": {"label": "person"}}, r"packed by another recipe.*data\.columns .*'label'"),
        ({"table": "u.csv"}, r"data\.table 't\.csv', this one says 'u\.csv'"),
        ({"label_separator": ";"}, r"data\.label_separator 'nothing of it', this one says ';'"),
        ({"sha256": "b" * 64}, r"with the sha256 a{64}, the recipe means b{64} \(data\.sha256\)"),
    ],
)
def test_shards_of_another_recipe_are_refused(
    change: dict[str, Any], told: str, photos: Path, tmp_path: Path
) -> None:
    shards = pack(photos, tmp_path / "shards", **KEYS)
    facts = json.loads((shards / "shards.json").read_text("utf-8"))
    (shards / "shards.json").write_text(json.dumps({**facts, "sha256": "a" * 64}), "utf-8")
    data = DataRecipe(source=str(shards), **change)
    with pytest.raises(SourceError, match=told):
        read_source(data)
    assert len(read_source(data, is_other=True).index) == 6


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("size", 10**6, "an image that lies outside of its shard"),
        ("start", -1, "an image that lies outside of its shard"),
        ("shard", 7, "an image that lies outside of its shard"),
        ("fault", "evil", "a word that is not known"),
        ("weight", "much", "could not convert|invalid|damaged"),
    ],
)
def test_a_damaged_index_is_refused(
    column: str, value: object, told: str, photos: Path, tmp_path: Path
) -> None:
    shards = pack(photos, tmp_path / "shards", **KEYS)
    index = shards / "index.csv"
    index.write_bytes(index.read_bytes() + b"\n")
    with pytest.raises(SourceError, match=r"index\.csv: not the index that was packed"):
        open_shards(shards).read_rows()
    frame = pd.read_csv(index, keep_default_na=False).astype(object)
    frame.loc[0, column] = value
    frame.to_csv(index, index=False)
    facts = json.loads((shards / "shards.json").read_text("utf-8"))
    facts["index_sha256"] = hashlib.sha256(index.read_bytes()).hexdigest()
    (shards / "shards.json").write_text(json.dumps(facts), "utf-8")
    with pytest.raises(SourceError, match=rf"index\.csv: the index is damaged .*({told})"):
        open_shards(shards).read_rows()


def test_a_damaged_or_later_description_is_refused(photos: Path, tmp_path: Path) -> None:
    shards = pack(photos, tmp_path / "shards")
    path = shards / "shards.json"
    good = path.read_text("utf-8")
    for text in ("{", good.replace('"format": 1', '"format": 2'), good.replace("images-0", "../x")):
        path.write_text(text, "utf-8")
        with pytest.raises(SourceError, match=r"shards\.json: damaged, or of another version"):
            open_shards(shards)


def test_an_address_without_shards_is_no_source() -> None:
    with pytest.raises(
        AbsentSourceError, match=re.escape("memory://none/x: holds no shards, looked for shards.j")
    ):
        read_source(DataRecipe(source="memory://none/x"))


def test_what_cannot_be_reached_says_how_it_could_be(
    monkeypatch: pytest.MonkeyPatch, uploaded: str
) -> None:
    class NoCredentialsError(Exception):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    system = type(fsspec.filesystem("memory"))
    with monkeypatch.context() as patch:
        patch.setattr(system, "size", refuse)
        with pytest.raises(SourceError, match=r"tfrecord: cannot be reached \(NoCred.*AWS_PROFILE"):
            open_shards(uploaded)
    monkeypatch.setattr(system, "cat_file", refuse)
    with pytest.raises(SourceError, match=r"cannot be reached \(NoCredentialsError: Unable to loc"):
        open_shards(uploaded)


def test_shards_that_may_not_be_read_are_an_error(photos: Path, tmp_path: Path) -> None:
    shards = pack(photos, tmp_path / "shards")
    (shards / "index.csv").unlink()
    (shards / "index.csv").mkdir()
    with pytest.raises(SourceError, match=r"index\.csv: cannot be read"):
        open_shards(shards).read_rows()


def test_a_copy_elsewhere_is_the_same_source(photos: Path, tmp_path: Path) -> None:
    shards = pack(photos, tmp_path / "shards", **KEYS)
    expected = survey(shards)
    moved = shutil.move(shards, tmp_path / "elsewhere")
    shutil.rmtree(photos)
    assert_same_but_paths(survey(moved), expected)
