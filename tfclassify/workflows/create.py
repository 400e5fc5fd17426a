"""``new``: write a commented recipe that fits the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfclassify.data.preparation import survey_source
from tfclassify.data.sources import find_source, find_tables
from tfclassify.data.statistics import count_labels
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_text
from tfclassify.recipe.schema import DataRecipe
from tfclassify.recipe.starter import SourceFacts, write_starter
from tfclassify.workflows.start import verb


@dataclass(frozen=True)
class CreateRequest:
    """What to write.

    Attributes:
        name: Name of the recipe and of its runs.
        data: The source.
        out: Recipe to write; it must not be there yet.
    """

    name: str
    data: str
    out: Path


@verb
def create_recipe(request: CreateRequest, observer: Observer = SILENT) -> Path:
    """Look at a source and write a recipe that trains on it; return its path.

    Raises:
        RequestError: If the file is there already, or the images have no labels.
        DataError: If the source cannot be read.
        RecipeError: If the name cannot be a recipe's.
    """
    if request.out.exists():
        raise RequestError(
            f"{request.out}: is there already and is not overwritten; name another with --out"
        )
    write_text(request.out, draft_recipe(request.name, request.data, observer))
    return request.out


def draft_recipe(name: str, source: str, observer: Observer = SILENT) -> str:
    """Look at a source and return the text of a recipe that trains on it.

    Raises:
        RequestError: If the images have no labels, or none can be read.
        DataError: If the source cannot be read.
        RecipeError: If the name cannot be a recipe's.
    """
    settings: dict[str, Any] = {"source": source}
    survey = survey_source(DataRecipe(**settings), observer=observer)
    counts = count_labels(survey.index)
    if len(counts) < 2:
        raise RequestError(_explain_unlabelled(source, observer))
    frame = survey.index.usable().frame
    if frame.empty:
        raise RequestError(
            f"{source}: none of its {len(survey.index)} images can be read; "
            f"`tfclassify inspect` says why"
        )
    facts = SourceFacts(
        source=source,
        counts=counts,
        size=(int(frame["height"].median()), int(frame["width"].median())),
        has_groups=bool((frame["group"] != "").any()),
        has_split=bool((frame["split"] != "").any()),
    )
    return write_starter(name, facts)


def _explain_unlabelled(source: str, observer: Observer) -> str:
    found = find_source(DataRecipe(source=source), observer=observer)
    tables = [name for name in find_tables(found.root) if name.endswith(".csv")]
    if tables:
        return (
            f"{source}: images without labels, beside the table {tables[0]!r}; start from a recipe "
            f"with data.table: {tables[0]} and data.columns, as in recipes/clothing_lite.yaml"
        )
    return (
        f"{source}: fewer than 2 classes were found; put each class into a folder of its own, or "
        f"bring a CSV of files and labels"
    )
