"""``inspect``: what a data source holds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfclassify.data.columns import conclude_source
from tfclassify.data.images import open_image
from tfclassify.data.integrity import IntegrityReport
from tfclassify.data.preparation import PreparedData, prepare_data, survey_source
from tfclassify.data.statistics import Statistics, describe_index, pick_per_class
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_text
from tfclassify.pages.data_page import (
    DataSummary,
    InspectReport,
    render_inspect_page,
    summarise_data,
)
from tfclassify.pages.pictures import Thumbnail, make_thumbnail
from tfclassify.pages.rendering import Command, Fact, format_now
from tfclassify.pages.wording import count_of
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import DataRecipe
from tfclassify.workflows.start import verb

#: Pictures of each class on the page, and their longest side in pixels.
SAMPLES, SAMPLE_SIDE = 8, 112


@dataclass(frozen=True)
class InspectRequest:
    """What to look at.

    Attributes:
        source: A data source, or a recipe, whose data is then read and split.
        overrides: ``key=value`` texts, for a recipe.
        html: Page to write, or None.
        columns: Which column of a table holds what, where the user says it.
    """

    source: str
    overrides: tuple[str, ...] = ()
    html: Path | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class InspectResult:
    """What was found.

    Attributes:
        data: Images of each class and split.
        statistics: Sizes and colours.
        integrity: What was found when the images were checked.
        html: The page, or None if none was asked for.
        remarks: What the source, and each column of its table, was taken for.
    """

    data: DataSummary
    statistics: Statistics
    integrity: IntegrityReport
    html: Path | None
    remarks: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        import pandas as pd

        counts = pd.DataFrame(dict(self.data.counts), index=list(self.data.classes))
        checked = count_of(self.integrity.images, "image")
        bad = f"{checked} checked, {self.integrity.quarantined} of them bad"
        return f"{counts.to_html()}<p>{bad}</p>"


@verb
def inspect_source(request: InspectRequest, observer: Observer = SILENT) -> InspectResult:
    """Read, check and describe a source; nothing but the page is written.

    Raises:
        DataError: If the source cannot be read.
        RequestError: If overrides are given without a recipe.
    """
    prepared, remarks = _read(request, observer)
    index = prepared.index
    statistics = describe_index(index, observer=observer)
    data = summarise_data(index, index.source)
    if request.html is not None:
        page = _fill_page(request, prepared, statistics, data)
        write_text(request.html, render_inspect_page(page))
    return InspectResult(data, statistics, prepared.integrity, request.html, remarks)


def _read(request: InspectRequest, observer: Observer) -> tuple[PreparedData, tuple[str, ...]]:
    path = Path(request.source)
    if _is_recipe(request.source):
        recipe = load_recipe(path, request.overrides)
        return prepare_data(recipe, observer=observer), ()
    if request.overrides:
        raise RequestError(
            f"inspect --set: {request.source} is no recipe; name a recipe, whose keys can be set"
        )
    concluded = conclude_source(request.source, request.columns, observer)
    survey = survey_source(DataRecipe(**concluded.data), observer=observer)
    return survey, concluded.remarks


def _is_recipe(source: str) -> bool:
    return Path(source).suffix in {".yaml", ".yml"}


def _fill_page(
    request: InspectRequest,
    prepared: PreparedData,
    statistics: Statistics,
    data: DataSummary,
) -> InspectReport:
    frame = prepared.index.usable().frame
    colours = statistics.colours
    samples = {
        name or "unlabelled": tuple(_read_thumbnail(path) for path in paths)
        for name, paths in pick_per_class(prepared.index, SAMPLES, seed=0).items()
    }
    facts = tuple(
        Fact(f"Marked {name}", count_of(count, "image")) for name, count in statistics.flags.items()
    )
    source = shlex.quote(request.source)
    following = Command("Start a recipe for it", f"tfclassify new NAME --data {source}")
    if _is_recipe(request.source):
        following = Command("Train on it", f"tfclassify train {source}")
    return InspectReport(
        created=format_now(),
        data=data,
        sizes=tuple(zip(frame["width"].tolist(), frame["height"].tolist(), strict=True)),
        mean=_to_unit(colours.mean) if colours.images else None,
        std=_to_unit(colours.std) if colours.images else None,
        samples=samples,
        integrity=prepared.integrity,
        facts=facts,
        commands=(following,),
    )


def _to_unit(values: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (value / 255 for value in values)
    return red, green, blue


def _read_thumbnail(path: str) -> Thumbnail:
    return make_thumbnail(open_image(path)[1], longest=SAMPLE_SIDE)
