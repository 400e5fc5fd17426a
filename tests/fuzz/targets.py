"""The readers that are fuzzed, and the inputs that the fuzzing starts from.

Owns: how bytes are put before each reader. Does not own: how bytes are changed
(``__main__``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hostile import annotations, archives, images, recipes, tables
from tests.hostile.cases import Case
from tfclassify.data.archives import ArchiveLimits, extract_archive
from tfclassify.data.images import decode_with_facts
from tfclassify.data.readers import read_source
from tfclassify.errors import TfclassifyError
from tfclassify.recipe.loading import dump_recipe, parse_override, parse_recipe
from tfclassify.recipe.schema import CocoRecipe, DataRecipe

#: Bytes of a starting input; larger ones would slow the changes down.
LARGEST = 1 << 14
_LIMITS = ArchiveLimits(max_bytes=1 << 22, max_files=200)


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        read: Puts bytes before it; raises what it raises.
        make_cases: Makes the inputs to start from.
    """

    read: Callable[[bytes], None]
    make_cases: Callable[[], list[Case]]

    def seeds(self) -> list[bytes]:
        """Return the inputs to start from, the small ones of the hostile."""
        contents = {case.content: None for case in self.make_cases() if case.content}
        return [content for content in contents if len(content) <= LARGEST]

    def try_one(self, data: bytes) -> None:
        """Read bytes; an error of ours is as good as an answer."""
        try:
            self.read(data)
        except TfclassifyError as error:
            said = str(error)
        else:
            said = "an answer"
        assert said.strip(), "an error without words"


def _read_image(data: bytes) -> None:
    facts, pixels = decode_with_facts(data, (8, 8), max_pixels=1 << 20)
    assert pixels.shape == (8, 8, 3)
    assert facts.width > 0


def _read_recipe(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    recipe = parse_recipe(text)
    assert parse_recipe(dump_recipe(recipe)) == recipe


def _read_override(data: bytes) -> None:
    parse_override(data.decode("utf-8", "replace"))


def _read_archive(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        archive = Path(folder, "archive")
        archive.write_bytes(data)
        try:
            extract_archive(archive, Path(folder, "out"), limits=_LIMITS)
        finally:
            left = {path.name for path in Path(folder).iterdir()}
            assert left <= {"archive", "out", ".out.lock"}, left


def _read_table(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "labels.csv").write_bytes(data)
        for name in "abc":
            Path(folder, f"{name}.png").touch()
        read_source(DataRecipe(source=f"{folder}/labels.csv"))


def _read_annotations(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "boxes.json").write_bytes(data)
        Path(folder, "a.png").touch()
        coco = CocoRecipe(annotations={"train": "boxes.json"}, images={"train": "."}, min_area=1.0)
        read_source(DataRecipe(source=folder, coco=coco))


def _make_overrides() -> list[Case]:
    texts = (
        "phases[1].epochs=3",
        'class_weights."T. rex"=2',
        "data.image_size=[32, 48]",
        "=",
        "a[",
    )
    return [Case("overrides", text, text.encode()) for text in texts]


TARGETS = {
    "images": Target(_read_image, images.make_cases),
    "recipes": Target(_read_recipe, recipes.make_cases),
    "overrides": Target(_read_override, _make_overrides),
    "archives": Target(_read_archive, archives.make_cases),
    "tables": Target(_read_table, tables.make_cases),
    "annotations": Target(_read_annotations, annotations.make_cases),
}
