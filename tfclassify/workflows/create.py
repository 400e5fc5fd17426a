"""``new``: write a commented recipe that fits the data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfclassify.data.columns import conclude_source
from tfclassify.data.preparation import survey_source
from tfclassify.data.statistics import count_labels, measure_lean
from tfclassify.errors import DataError, RequestError
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
        columns: Which column of a table holds what, where the user says it.
    """

    name: str
    data: str
    out: Path
    columns: Mapping[str, str | None] = field(default_factory=dict)


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
    text = draft_recipe(request.name, request.data, observer, request.columns)
    write_text(request.out, text)
    return request.out


def draft_recipe(
    name: str,
    source: str,
    observer: Observer = SILENT,
    columns: Mapping[str, str | None] = {},
) -> str:
    """Look at a source and return the text of a recipe that trains on it.

    Args:
        name: The recipe's name.
        source: Folder, archive or table of images.
        observer: Told of progress, and what the source was taken for.
        columns: Which column of a table holds what, by the keys of ``data.columns``, where
            the user knows better: ``{"file": "Id", "label": "Genre"}``.

    Raises:
        RequestError: If the images have no labels.
        DataError: If the source cannot be read, or none of its images.
        RecipeError: If the name cannot be a recipe's.
    """
    concluded = conclude_source(source, columns, observer)
    survey = survey_source(DataRecipe(**concluded.data), observer=observer)
    counts = count_labels(survey.index)
    if len(counts) < 2:
        raise RequestError(
            f"{source}: fewer than 2 classes were found ({'; '.join(concluded.remarks)}); put each "
            "class into a folder of its own, or bring a CSV of files and labels, whose columns "
            "--columns file=NAME,label=NAME names where they are not understood"
        )
    frame = survey.index.usable().frame
    if frame.empty:
        raise DataError(
            f"{source}: none of its {len(survey.index)} images can be read; "
            f"`tfclassify inspect` says why"
        )
    is_single = not survey.index.is_multi_label or concluded.task == "multi_class"
    facts = SourceFacts(
        source=source,
        counts=counts,
        size=(int(frame["height"].median()), int(frame["width"].median())),
        has_groups=bool((frame["group"] != "").any()),
        has_split=bool((frame["split"] != "").any()),
        data={key: value for key, value in concluded.data.items() if key != "source"},
        task="multi_class" if is_single else "multi_label",
        remarks=concluded.remarks,
        lean=measure_lean(survey.index) if is_single else 0.0,
        images_per_second=_guess_speed(),
    )
    return write_starter(name, facts)


def parse_columns(text: str) -> dict[str, str | None]:
    """Read ``file=Id,label=Genre``; ``label=`` says that there is no such column.

    Raises:
        RequestError: If a part is not KEY=NAME.
    """
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    wrong = next((key + sign + name for key, sign, name in parts if not sign), None)
    if wrong is not None or not parts:
        raise RequestError(
            f"--columns: must be KEY=NAME parts, such as file=Id,label=Genre, got {wrong or text!r}"
        )
    return {key.strip(): name.strip() or None for key, _, name in parts}


def _guess_speed() -> float | None:
    """Return the images a second that EfficientNet-Lite0 is fine-tuned on; None with a GPU.

    Measured: 33 images of 224 x 224 a second on 2 cores.
    """
    has_gpu = any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/kfd"))
    return None if has_gpu else 16.5 * (os.cpu_count() or 1)
