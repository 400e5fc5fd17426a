from __future__ import annotations

import os
from pathlib import Path

import pytest

from tfclassify.errors import RecipeError, TargetError
from tfclassify.recipe.document import Place, read_document
from tfclassify.recipe.inheritance import MAX_BASES, merge_documents, read_recipe
from tfclassify.recipe.loading import load_recipe

BASE = """\
name: base
data:
  source: photos
  validation: 0.3
model: {backbone: vgg16, head: {dense: [8, 4], dropout: 0.5}}
phases:
  - {name: head, epochs: 3}
  - {name: whole, epochs: 4}
"""


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")


def test_mappings_merge_and_lists_are_replaced(tmp_path: Path) -> None:
    child = (
        "base: base.yaml\nname: child\nmodel: {head: {dense: [2]}}\nphases: [{name: x, epochs: 1}]"
    )
    write(tmp_path, base=BASE, child=child)
    recipe = load_recipe(tmp_path / "child.yaml")
    assert recipe.name == "child"
    assert recipe.data.validation == 0.3
    assert recipe.model.backbone == "vgg16"
    assert (recipe.model.head.dense, recipe.model.head.dropout) == ((2,), 0.5)
    assert [phase.name for phase in recipe.phases] == ["x"]


def test_a_base_may_have_a_base_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path, base=BASE, child="base: deep/middle.yaml\nseed: 1")
    write(tmp_path / "deep", middle="base: ../base.yaml\nname: middle\nseed: 2\nbatch_size: 9")
    recipe = load_recipe(tmp_path / "child.yaml")
    assert (recipe.name, recipe.seed, recipe.batch_size) == ("middle", 1, 9)


def test_a_problem_names_the_file_whose_line_is_at_fault(tmp_path: Path) -> None:
    write(
        tmp_path, base=BASE.replace("0.3", "3.0"), child="base: base.yaml\nseed: -1\ndata: {tst: 0}"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "child.yaml")
    places = [(item.path, item.line, item.source) for item in caught.value.problems]
    assert places == [
        ("seed", 2, None),
        ("data.tst", 3, None),
        ("data.validation", 4, str(tmp_path / "base.yaml")),
    ]
    assert "base.yaml, line 4  data.validation: must be at least 0 and below 1, got 3.0" in str(
        caught.value
    )


def test_places_come_from_the_document_that_wins() -> None:
    base = read_document("a: {x: 1, y: 2}\nb: [1,\n  2]", "base.yaml")
    child = read_document("#\na: {x: 3}\nb: 4")
    merged = merge_documents(base, child)
    assert merged.content == {"a": {"x": 3, "y": 2}, "b": 4}
    assert merged.places == {
        (): Place(2),
        ("a",): Place(2),
        ("a", "x"): Place(2),
        ("a", "y"): Place(1, "base.yaml"),
        ("b",): Place(3),
    }


def test_null_in_the_child_takes_a_section_away(tmp_path: Path) -> None:
    write(tmp_path, base=BASE + "tta: {shift: 0.1}\n", child="base: base.yaml\ntta: null")
    assert load_recipe(tmp_path / "base.yaml").tta is not None
    assert load_recipe(tmp_path / "child.yaml").tta is None


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ("base: 3", r"line 1  base: must be the path of another recipe, got 3"),
        ("base:", r"line 1  base: must be the path of another recipe, got null"),
        ("base: ''", r"line 1  base: must be the path of another recipe, got ''"),
        ('base: "a\\0"', r"line 1  base: must be the path of another recipe"),
        (
            "\nbase: bse.yaml",
            r"line 2  base: .*bse.yaml: no such recipe; did you mean '.*base.yaml'",
        ),
        ("base: .", r"line 1  base: .* is a folder, a recipe is a YAML file"),
        ("base: child.yaml", r"build on one another in a circle: .*child.yaml -> .*child.yaml"),
        ("base: broken.yaml", r"broken.yaml, line 2  not valid YAML"),
        ("base: list.yaml", r"list.yaml, line 1  must be a mapping of keys, got \[1\]"),
        ("base: bytes.yaml", r"bytes.yaml, line 2  not UTF-8 text, got byte 0xff"),
    ],
)
def test_a_base_that_cannot_be_used(tmp_path: Path, child: str, message: str) -> None:
    write(tmp_path, base=BASE, child=child, broken="a: 1\nb: [", list="[1]")
    (tmp_path / "bytes.yaml").write_bytes(b"a: 1\nb: \xff")
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "child.yaml")


def test_a_circle_of_three_is_spelt_out(tmp_path: Path) -> None:
    write(tmp_path, a="base: b.yaml", b="base: c.yaml", c=f"base: ./../{tmp_path.name}/b.yaml")
    with pytest.raises(
        RecipeError, match=r"c.yaml, line 1 .* circle: .*b.yaml -> .*c.yaml -> .*b.yaml"
    ):
        load_recipe(tmp_path / "a.yaml")


def test_problems_of_child_and_base_come_together(tmp_path: Path) -> None:
    write(tmp_path, base="a: *x", child="base: base.yaml\nb: 1\nb: 2")
    document = read_recipe(tmp_path / "child.yaml")
    assert [(item.path, item.line) for item in document.problems] == [("b", 3), ("a", 1)]
    assert not document.is_readable


def test_a_recipe_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, plants=BASE)
    with pytest.raises(
        TargetError, match=r"plnts.yaml: no such recipe; did you mean '.*plants.yaml'"
    ):
        load_recipe(tmp_path / "plnts.yaml")
    with pytest.raises(TargetError, match=r"no such recipe; did you mean '.*plants.yaml'"):
        load_recipe(tmp_path / "plants")
    with pytest.raises(
        TargetError, match=r"is a folder, a recipe is a YAML file, such as '.*plants"
    ):
        load_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="no such recipe; `tfclassify new` writes one"):
        load_recipe("zzz.yaml")
    with pytest.raises(TargetError, match="the recipe cannot be read: "):
        load_recipe("a\0b.yaml")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())
    assert load_recipe(tmp_path / "a.yaml").name == "base"


def test_a_chain_of_bases_has_an_end(tmp_path: Path) -> None:
    for number in range(MAX_BASES + 2):
        write(tmp_path, **{f"r{number}": f"base: r{number + 1}.yaml"})
    with pytest.raises(RecipeError, match=r"more than 16 recipes build on one another; merge"):
        load_recipe(tmp_path / "r0.yaml")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_base_is_a_file(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "odd")
    else:
        (tmp_path / "odd").symlink_to("/dev/zero")
    write(tmp_path, child="base: odd")
    with pytest.raises(RecipeError, match=r"base: must be a file, got the pipe or device 'odd'"):
        load_recipe(tmp_path / "child.yaml")


def test_a_recipe_without_end_is_read_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    with pytest.raises(RecipeError, match=r"at most 262,144 characters, got 1,048,584"):
        load_recipe(tmp_path / "zero.yaml")


def test_large_recipes_merge_in_the_time_of_reading_them() -> None:
    base = read_document("".join(f"k{n}: [{n}]\n" for n in range(6_000)), "base.yaml")
    child = read_document("".join(f"k{n}: []\n" for n in range(3_000)))
    merged = merge_documents(base, child)
    assert len(merged.content) == 6_000
    assert merged.locate(("k1", 0)) == Place(2)
    assert merged.locate(("k5000", 0)) == Place(5001, "base.yaml")
