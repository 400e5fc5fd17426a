from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recipe.strategies import damaged_recipes, quick, recipes
from tfclassify.errors import Problem, RecipeError, TargetError
from tfclassify.recipe.document import Place, read_document, render_yaml
from tfclassify.recipe.loading import (
    MAX_BASES,
    Override,
    apply_override,
    dump_recipe,
    load_recipe,
    merge_documents,
    parse_override,
    parse_recipe,
    read_recipe,
)
from tfclassify.recipe.problems import validate
from tfclassify.recipe.schema import (
    DataRecipe,
    DistilRecipe,
    LayerRecipe,
    ModelRecipe,
    PhaseRecipe,
    Recipe,
)

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


TEXT = """\
name: x
data: {source: photos}
model: {backbone: vgg16}
phases:
  - {name: head, epochs: 3, schedule: cosine, early_stopping: null}
  - {name: whole, epochs: 4}
"""


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("phases[1].epochs=3", ("phases", 1, "epochs"), 3),
        ("phases[-1].learning_rate=1e-3", ("phases", -1, "learning_rate"), 0.001),
        ("augment.flip=[horizontal, vertical]", ("augment", "flip"), ["horizontal", "vertical"]),
        ("tta={shift: 0.1}", ("tta",), {"shift": 0.1}),
        ("data.source=https://x.y/?a=b", ("data", "source"), "https://x.y/?a=b"),
        ("description=", ("description",), None),
        ('class_weights."a=b.c"=2', ("class_weights", "a=b.c"), 2),
        (" seed =7", ("seed",), 7),
    ],
)
def test_an_override_is_a_path_and_a_yaml_value(text: str, path: Any, value: Any) -> None:
    assert parse_override(text) == Override(path, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", r"--set  must be KEY=VALUE, such as phases\[0\].epochs=3, got 'seed'"),
        ("=3", "must be KEY=VALUE"),
        ("a..b=3", r"the key 'a..b' cannot be read from character 3 on; write it as phases\[0\]"),
        (" =3", "the key '' cannot be read from character 1 on"),
        ("data.source=[a", r"--set  data.source: not valid YAML: .*, got '\[a'"),
        ("seed=*x", "seed: anchors and aliases are not allowed"),
        ("base=other.yaml", "base: cannot be set here; it belongs in a recipe file"),
    ],
)
def test_an_override_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_override(text)


def apply(text: str) -> Any:
    document = read_document(TEXT)
    apply_override(document, parse_override(text))
    return document


def test_a_key_is_changed_and_its_place_is_the_command_line() -> None:
    document = apply("phases[-1].epochs=9")
    assert document.content["phases"][1]["epochs"] == 9
    assert document.locate(("phases", 1, "epochs")) == Place(None, "--set")
    assert document.locate(("phases", 1, "name")) == Place(6)


def test_mappings_on_the_way_are_made() -> None:
    assert apply("augment.mix.cutmix=0.5").content["augment"] == {"mix": {"cutmix": 0.5}}
    # null is what an absent section looks like
    stopping = apply("phases[0].early_stopping.patience=2").content["phases"][0]["early_stopping"]
    assert stopping == {"patience": 2}
    document = apply("tta.shift=3")
    assert document.locate(("tta",)) == Place(None, "--set")


def test_an_item_of_a_list_is_changed() -> None:
    assert apply("phases[0]={name: a, epochs: 1}").content["phases"][0] == {
        "name": "a",
        "epochs": 1,
    }


def test_places_below_a_replaced_value_are_forgotten() -> None:
    document = apply("phases=[{name: a}]")
    assert document.locate(("phases", 0, "epochs")) == Place(None, "--set")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phases[2].epochs=1", r"phases\[2\]: phases has 2 items; positions are 0 to 1, got 2"),
        ("phases[-3]=1", r"phases\[-3\]: phases has 2 items; positions are 0 to 1, got -3"),
        (
            "phases.epochs=1",
            r"phases is a list, not a mapping; choose an item, such as phases\[0\]",
        ),
        ("name.x=1", r"name.x: name is 'x', not a mapping"),
        ("phases[0].schedule.final=1", r"phases\[0\].schedule is 'cosine', not a mapping"),
        ("data[0]=1", r"data\[0\]: data is a mapping, not a list"),
        ("name[0]=1", r"name\[0\]: name is 'x', not a list"),
        ("[0]=1", r"\[0\]: the recipe is a mapping, not a list"),
        ("augment.flip[0]=horizontal", r"augment.flip is not in the recipe; set the whole list: "),
    ],
)
def test_a_path_that_leads_nowhere(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        apply(text)


def test_an_empty_list_says_so() -> None:
    document = read_document("phases: []")
    with pytest.raises(RecipeError, match=r"phases has 0 items; it is empty, got 0"):
        apply_override(document, parse_override("phases[0].epochs=1"))


def test_overrides_are_checked_like_the_file_and_all_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TEXT, "utf-8")
    recipe = load_recipe(path, ["phases[0].epochs=7", "seed=1", "seed=2", "tta.shift=0.1"])
    assert (recipe.phases[0].epochs, recipe.seed) == (7, 2)
    overrides = ["phases[1].epoch=1", "seed=-1", "phases[9].epochs=1", "junk", "phases[0].epochs=x"]
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    assert str(caught.value) == (
        f"{path}: 5 problems\n"
        "  --set  phases[9]: phases has 2 items; positions are 0 to 1, got 9\n"
        "  --set  must be KEY=VALUE, such as phases[0].epochs=3, got 'junk'\n"
        "  --set  seed: must be at least 0 and below 2147483648, got -1\n"
        "  --set  phases[0].epochs: must be a whole number of at least 1, got 'x'\n"
        "  --set  phases[1].epoch: unknown key 'epoch'; did you mean 'epochs'?"
    )


#: The example of the design, whose two problems it shows.
DESIGN = """\
name: plants
data:
  source: data/plants.zip
  image_size: 96
  validation: 0.125
augment:
  flip: [horizontal, vertical]
model:
  backbone: convnext_lrge
  weights: imagenet
class_weights: balanced
phases:
  - {name: head, train: head, epochs: 200, learning_rate: 1e-3, early_stopping: {patience: 19}}
  - {name: whole, train: all, epochs: -3, learning_rate: 5.2e-5}
"""


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "plants.yaml"
    path.write_text(DESIGN, "utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == (
        f"{path}: 2 problems\n"
        "  line 9   model.backbone: unknown backbone 'convnext_lrge'; did you mean "
        "'convnext_large'?\n"
        "  line 14  phases[1].epochs: must be at least 1, got -3"
    )
    assert caught.value.exit_code == 2


def test_a_right_recipe_is_loaded_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plants.yaml"
    path.write_text(DESIGN.replace("lrge", "large").replace("epochs: -3", "epochs: 3"), "utf-8")
    recipe = load_recipe(str(path), ["data.image_size=[64, 32]"])
    assert recipe.data.image_size == (64, 32)
    assert recipe.phases[1].learning_rate == 5.2e-5
    assert recipe.batch_size == 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"recipe: 1 problem\n  line 1  the recipe is empty; `tfclassify new` writes one"),
        ("# only this", "the recipe is empty"),
        ("\n- a", r"line 2  must be a mapping of keys, got \['a'\]"),
        ("hello", "line 1  must be a mapping of keys, got 'hello'"),
        ("a: [", "not valid YAML"),
        ("name: x\nname: y", "line 2  name: the key is given twice, first on line 1"),
    ],
)
def test_what_is_no_recipe_at_all(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text)


@quick
@given(recipes())
def test_a_recipe_written_out_in_full_is_the_same_recipe(content: dict[str, Any]) -> None:
    recipe, faults = validate(content)
    assert recipe is not None, faults
    text = dump_recipe(recipe)
    again = parse_recipe(text)
    assert again == recipe
    assert dump_recipe(again) == text
    # The short form, through the file format, is it too.
    assert parse_recipe(render_yaml(content)) == recipe


def test_a_dump_names_every_key_of_the_schema() -> None:
    recipe, _ = validate(
        {
            "name": "x",
            "data": {"source": "photos", "validation": 0},
            "model": {"backbone": "vgg16"},
            "phases": [{"name": "a", "epochs": 1}],
        }
    )
    assert recipe is not None
    text = dump_recipe(recipe)
    assert "keep_best: null" in text
    assert "image_size: [224, 224]" in text
    assert text.startswith("name: x\n")


@quick
@given(damaged_recipes())
def test_damage_is_a_recipe_error_on_a_line_of_the_file(content: dict[str, Any]) -> None:
    text = render_yaml(content)
    problems: tuple[Problem, ...] = ()
    try:
        parse_recipe(text)
    except RecipeError as error:
        problems = error.problems
    for problem in problems:
        assert problem.line is not None
        assert 1 <= problem.line <= len(text)


@quick
@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(RecipeError):
        parse_recipe(text)


def test_loading_does_not_wait_for_heavy_libraries() -> None:
    probe = (
        "import sys, tfclassify.recipe.loading, tfclassify.recipe.reference; "
        "heavy = {'tensorflow', 'keras', 'PIL', 'pandas', 'scipy', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "[]\n"


def test_of_very_many_problems_the_first_hundred_are_told() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(DESIGN + "".join(f"key{number}: 1\n" for number in range(3_000)))
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 101
    # Beside the keys there are the two problems that the example has; one is a check's.
    assert any("there are at least 2,901 more problems" in message for message in messages)


def test_of_very_many_faults_of_checks_the_first_hundred_are_told() -> None:
    weights = ", ".join(f"w{number}: 1.0" for number in range(3_000))
    text = DESIGN.replace("balanced", f"{{{weights}}}").replace("epochs: -3", "epochs: 3")
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text.replace("lrge", "large").replace("data:", "data:\n  classes: [a, b]"))
    assert len(caught.value.problems) == 100


def test_every_item_of_a_list_is_changed(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(TEXT, "utf-8")
    loaded = load_recipe(recipe, ["phases[].epochs=7", "phases[1].epochs=8"])
    assert [phase.epochs for phase in loaded.phases] == [7, 8]
    with pytest.raises(RecipeError, match="layers: is no list of the recipe, so"):
        load_recipe(recipe, ["model.layers[].conv=3"])


class TestPathsAreSettledAtLoad:
    """A path stands as it was written, or beside the file that it was written in."""

    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Make a recipe's folder with everything in it, away from the working folder."""
        for folder in ("work", "home/photos", "home/module", "bases/other"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "home/w.pth").touch()
        monkeypatch.chdir(tmp_path / "work")
        return tmp_path / "home"

    def load(self, home: Path, *overrides: str, **keys: Any) -> Recipe:
        content = {
            "name": "x",
            "data": {"source": "photos"},
            "model": {"backbone": "resnet18"},
            "phases": [{"name": "a", "epochs": 1}],
        }
        (home / "recipe.yaml").write_text(render_yaml(content | keys), "utf-8")
        return load_recipe(home / "recipe.yaml", overrides)

    def test_a_source_beside_the_recipe_unless_it_is_here(self, home: Path) -> None:
        assert self.load(home).data.source == str(home / "photos")
        assert load_recipe(os.path.relpath(home / "recipe.yaml")).data.source == "../home/photos"
        Path("photos").mkdir()
        assert self.load(home).data.source == "photos"

    def test_a_teacher_beside_the_recipe(self, home: Path) -> None:
        distil = self.load(home, distil={"teacher": "module"}).distil
        assert distil is not None
        assert distil.teacher == str(home / "module")
        assert distil == DistilRecipe(teacher=distil.teacher, temperature=2.0, alpha=0.5)

    @pytest.mark.parametrize(
        "source", ["builtin:digits", "https://x.org/a.zip", "absent.zip", "/absent", "a" * 5000]
    )
    def test_other_sources_stay_as_they_are(self, home: Path, source: str) -> None:
        data = {"source": source, "sha256": "0" * 64}
        assert self.load(home, data=data).data.source == source

    @pytest.mark.parametrize(
        ("backbone", "weights", "found"),
        [
            ("hub:module", "imagenet", ("hub:{home}/module", "imagenet")),
            ("hub:absent", "imagenet", ("hub:absent", "imagenet")),
            (
                "hub:https://tfhub.dev/a/b/1",
                "imagenet",
                ("hub:https://tfhub.dev/a/b/1", "imagenet"),
            ),
            ("keras_hub:module", "none", ("keras_hub:{home}/module", "none")),
            ("resnet18", "w.pth", ("resnet18", "{home}/w.pth")),
        ],
    )
    def test_weights_and_modules(
        self, home: Path, backbone: str, weights: str, found: tuple[str, str]
    ) -> None:
        network: dict[str, Any] = {"backbone": backbone, "weights": weights}
        if backbone.startswith("hub:"):
            network["input_range"] = [0, 1]
        wanted = tuple(text.format(home=home) for text in found)
        alone = self.load(home, model=network).model
        assert (alone.backbone, alone.weights) == wanted
        member = self.load(home, model={"stack": [network, "vgg16"]}).model.stack[0]
        assert (member.backbone, member.weights) == wanted

    def test_a_base_names_what_lies_beside_itself(self, home: Path) -> None:
        base = home.parent / "bases" / "base.yaml"
        base.write_text(BASE.replace("photos", "other"), "utf-8")
        (home / "recipe.yaml").write_text("base: ../bases/base.yaml\n", "utf-8")
        recipe = load_recipe(home / "recipe.yaml")
        assert Path(recipe.data.source).resolve() == base.parent / "other"
        changed = load_recipe(home / "recipe.yaml", ["data.source=photos"])
        assert changed.data.source == str(home / "photos")


WRONG = {
    "name": "x",
    "data": {"source": "photos"},
    "model": {"backbone": "resnt50"},
    "metric": "acuracy",
    "phases": [{"name": "a", "epochs": 3, "keep_best": None, "early_stopping": {"metric": "los"}}],
}
TOLD = """\
recipe: 3 problems
  metric: unknown metric 'acuracy'; did you mean 'accuracy'?
  phases[0].early_stopping.metric: unknown metric 'los'; did you mean 'loss'?
  model.backbone: unknown backbone 'resnt50'; did you mean 'resnet50'?"""


class TestRecipesFromPython:
    """The same checks, whichever door a recipe comes in by."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Recipe(**WRONG),
            lambda: Recipe.from_dict(WRONG),
            lambda: Recipe.model_validate(WRONG),
        ],
    )
    def test_every_problem_is_told_with_its_path_and_no_line(
        self, make: Callable[[], Recipe]
    ) -> None:
        with pytest.raises(RecipeError) as caught:
            make()
        assert str(caught.value) == TOLD

    def test_sections_are_taken_apart_and_settled(self) -> None:
        recipe = Recipe(
            name="x",
            data=DataRecipe(source="photos", validation=0.0),
            model=ModelRecipe(backbone="custom_cnn", layers=(LayerRecipe(conv=3),)),
            phases=[PhaseRecipe(name="a", epochs=3)],
        )
        assert recipe.model.weights == "none"
        assert recipe.phases[0].keep_best is None
        assert recipe == parse_recipe(dump_recipe(recipe))
        with pytest.raises(
            RecipeError, match=r"phases\[0\]\.swa: must be at most the phase's 3 epochs"
        ):
            Recipe(
                name="x",
                data=recipe.data,
                model=recipe.model,
                phases=[{"name": "a", "epochs": 3, "swa": 9}],
            )

    def test_a_path_is_text(self, tmp_path: Path) -> None:
        content = WRONG | {"data": {"source": tmp_path}, "model": {"backbone": "vgg16"}}
        content |= {"metric": "accuracy", "phases": [{"name": "a", "epochs": 1}]}
        assert Recipe.from_dict(content, ["phases[].epochs=4"]).phases[0].epochs == 4
        assert Recipe(**content).data.source == str(tmp_path)

    def test_overrides_are_told_from_the_mapping(self) -> None:
        with pytest.raises(
            RecipeError, match=r"\n  --set  seed: must be a whole number .* got 'x'$"
        ):
            Recipe.from_dict(WRONG, ["seed=x"])

    def test_what_is_no_mapping(self) -> None:
        with pytest.raises(RecipeError, match=r"must be a mapping with the keys name, .* got 3"):
            Recipe.model_validate(3)

    @pytest.mark.parametrize(
        ("keys", "told"),
        [
            (
                {"data": {"source": "a", "table": "t.csv", "separator": "\udcff"}},
                r"data\.separator: not valid",
            ),
            (
                {"data": {"source": "a", "drop_labels": ["b", "\ud800"]}},
                r"data\.drop_labels\[1\]: not valid",
            ),
            ({"class_weights": {"\udc00": 2.0}}, "class_weights: a key is not valid text"),
        ],
    )
    def test_text_that_no_file_can_hold(self, keys: dict[str, Any], told: str) -> None:
        content = {"name": "x", "data": {"source": "a"}, "model": {"backbone": "vgg16"}}
        content["phases"] = [{"name": "a", "epochs": 1}]
        with pytest.raises(RecipeError, match=f"recipe: 1 problem\n  {told}"):
            Recipe.from_dict(content | keys)
