"""The page of a compression: what each variant of a model weighs, takes and scores.

Owns: what only such a page says, and the same table for a terminal and as JSON. Does not
own: measuring (``compress``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tfclassify.pages.charts import MOST_NAMES, CostPoint, DotRow, draw_score_against_cost
from tfclassify.pages.drawing import Figures, keep_drawn
from tfclassify.pages.rendering import Page, render_page
from tfclassify.pages.tables import Cell, Row, Table, show_interval
from tfclassify.pages.wording import (
    format_bytes,
    format_count,
    format_difference,
    format_difference_range,
    format_large,
    format_ms,
    format_seconds,
    format_share,
    title_of,
)
from tfclassify.scoring.intervals import Interval


@dataclass(frozen=True)
class VariantRow:
    """One variant of a model in one runtime.

    Attributes:
        name: Such as ``pruned 80 %, int8``.
        runtime: Name of its artefact's form.
        artefact: Its folder.
        parameters: Numbers in its file.
        nonzeros: Those of them that are not zero.
        size_bytes: Its file.
        zipped_bytes: Its file, zipped.
        macs: Multiply-accumulates for one image.
        single_ms: Median and 95th percentile on one thread.
        all_ms: The same on all threads.
        memory_bytes: Most memory of a process that runs it, less that before it is loaded.
        score: On the held-out images.
        difference: From the original's score, on the same images; None for itself.
        labels_changed: Images that it labels otherwise than the original.
    """

    name: str
    runtime: str
    artefact: str
    parameters: int
    nonzeros: int
    size_bytes: int
    zipped_bytes: int
    macs: int
    single_ms: tuple[float, float]
    all_ms: tuple[float, float]
    memory_bytes: int
    score: Interval
    difference: Interval | None
    labels_changed: int


@dataclass(frozen=True)
class SparseRow:
    """One pruned kernel of one variant.

    Attributes:
        variant: The pruned network.
        kernel: Its path.
        weights: How many it has.
        nonzeros: Those that are not zero.
    """

    variant: str
    kernel: str
    weights: int
    nonzeros: int


@dataclass(frozen=True, kw_only=True)
class CompressReport(Page):
    """Everything that the page of a compression says.

    Attributes:
        run: The run that was compressed.
        task: Of it.
        metric: The score.
        images: Held-out images behind every score.
        split: What they are.
        variants: The original first.
        kernels: Sparsity of the pruned networks, by kernel.
        seconds: What training each pruned network took, by its name.
        remarks: What a reader should know.
    """

    run: str
    task: str
    metric: str
    images: int
    split: str
    variants: tuple[VariantRow, ...]
    kernels: tuple[SparseRow, ...] = ()
    seconds: tuple[tuple[str, float], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the score is called."""
        return title_of(self.metric, self.task)

    @property
    def score_table(self) -> Table:
        """Each variant's score and its difference from the original."""
        rows: list[Row] = []
        for row in self.variants:
            difference: str | Cell = "–"
            if row.difference is not None:
                ends = format_difference_range(self.metric, row.difference)
                difference = Cell(format_difference(self.metric, row.difference.value), ends)
            changed = format_count(row.labels_changed)
            score = show_interval(self.metric, row.score)
            rows.append([row.name, row.runtime, score, difference, changed])
        head = ["Variant", "Runtime", self.title, "Difference", "Labels changed"]
        return Table("Scores of the variants", head, rows, 3)

    @property
    def cost_table(self) -> Table:
        """What each variant weighs and takes."""
        rows: list[Row] = [
            [
                row.name,
                row.runtime,
                format_count(row.parameters),
                format_share(row.nonzeros, row.parameters),
                format_bytes(row.size_bytes),
                format_bytes(row.zipped_bytes),
                format_large(row.macs),
                *(format_ms(time) for time in (*row.single_ms, *row.all_ms)),
                format_bytes(row.memory_bytes),
            ]
            for row in self.variants
        ]
        head = ["Variant", "Runtime", "Parameters", "Not zero", "File", "Zipped", "MACs"]
        head += ["1 thread, ms", "p95", "All threads, ms", "p95", "Memory"]
        return Table("Cost of the variants", head, rows, len(head) - 2)

    @property
    def kernel_table(self) -> Table:
        """Sparsity of each pruned kernel."""
        rows: list[Row] = [
            [
                row.variant,
                row.kernel,
                format_count(row.weights),
                format_share(row.weights - row.nonzeros, row.weights),
            ]
            for row in self.kernels
        ]
        return Table("Sparsity by kernel", ["Variant", "Kernel", "Weights", "Zero"], rows, 2)

    @property
    def naming(self) -> str:
        """Which variants the figures name, where they cannot name all."""
        is_many = len(self.variants) > MOST_NAMES
        return " Named are the original, and variants that none beats in both." if is_many else ""

    @property
    def training(self) -> str:
        """How long the pruned networks were trained."""
        return ", ".join(f"{name}: {format_seconds(spent)}" for name, spent in self.seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "run": self.run,
            "metric": self.metric,
            "split": self.split,
            "images": self.images,
            "variants": [asdict(row) for row in self.variants],
            "kernels": [asdict(row) for row in self.kernels],
            "training_seconds": dict(self.seconds),
            "remarks": list(self.remarks),
        }

    def to_text(self) -> str:
        """Write scores and costs for a terminal."""
        notes = [f"note: {remark}" for remark in self.remarks]
        if self.training:
            notes.append(f"note: trained for {self.training}")
        return "\n\n".join([self.score_table.to_text(), self.cost_table.to_text(), *notes])


def render_compress_page(report: CompressReport) -> str:
    """Return the page of a compression, ``compress.html``."""
    return render_page("compress.html", page=report, figures=_draw(report))


def _draw(report: CompressReport) -> Figures:
    """Draw the score over latency and over size; variants without a score are left out."""
    scored = [row for row in report.variants if row.score.value is not None]

    def draw(costs: list[float], axis: str) -> Any:
        points = [
            CostPoint(
                DotRow(
                    f"{row.name}, {row.runtime}",
                    row.score.value,
                    row.score.low,
                    row.score.high,
                    is_marked=row.difference is None,
                ),
                cost,
            )
            for row, cost in zip(scored, costs, strict=True)
        ]
        alt = f"{report.title} of {len(points)} variants over {axis}."
        return draw_score_against_cost(points, report.title, alt, axis=axis)

    return keep_drawn(
        latency=draw([row.single_ms[0] for row in scored], "milliseconds on one thread"),
        size=draw([float(row.zipped_bytes) for row in scored], "bytes of the zipped file"),
    )
