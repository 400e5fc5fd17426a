"""The page of a run, and of an evaluation of one on other images.

Owns: what the two say, and the parts on training. Does not own: the parts on scores
(``scores``) and on images (``data_page``), where the values come from (``workflows``).
"""

from __future__ import annotations

from dataclasses import dataclass

from tfclassify.pages import scores
from tfclassify.pages.charts import MOST_ROWS
from tfclassify.pages.data_page import DataPage, draw_data_figures
from tfclassify.pages.drawing import Figures, keep_drawn
from tfclassify.pages.pictures import Photo
from tfclassify.pages.rendering import Fact, render_page
from tfclassify.pages.score_figures import SHOWN_CLASSES, draw_score_figures
from tfclassify.pages.scores import Judged
from tfclassify.pages.tables import Table
from tfclassify.pages.training_figures import PhaseRecord, draw_learning_curves
from tfclassify.pages.wording import (
    ABSENT,
    format_count,
    format_score,
    format_seconds,
    title_of,
)
from tfclassify.scoring.tasks import is_higher_better

#: What the templates of scores call.
SCORE_WORDS = {
    each.__name__: each
    for each in (
        *(scores.make_hero, scores.make_tiles, scores.find_gauge, scores.list_judgements),
        *(scores.tabulate_metrics, scores.name_lower, scores.tabulate_classes),
        *(scores.tabulate_mistakes, scores.explain_thresholds, scores.explain_labels),
        *(scores.explain_calibration, scores.explain_mistakes),
    )
} | {"MOST_ROWS": MOST_ROWS, "SHOWN_CLASSES": SHOWN_CLASSES}


@dataclass(frozen=True)
class PreviewRow:
    """A training image beside what augmentation makes of it."""

    original: Photo
    versions: tuple[Photo, ...]


@dataclass(frozen=True, kw_only=True)
class RunReport(DataPage):
    """Everything that the page of a run says.

    Attributes:
        name: The recipe's name.
        run: Number of the run, such as ``003``.
        metric: The metric that headlines the page.
        training_seconds: Time of all epochs.
        total_seconds: Time from start to end of the command, with reading the images and
            judging the model; None if it is not known.
        phases: The phases, in order.
        kept_phase: Name of the phase whose weights the run has; empty if it is not known.
        judged: The scores that headline the page; None where no image was held out.
        others: Scores on other held-out images, for the table of scores; the
            validation images, say, where the test images headline.
        description: The recipe's one line; may be empty.
        model: Facts about the network.
        recipe: Facts about the training.
        curves_note: What training scores are measured on.
        preview: Training images as augmented; empty where nothing is augmented.
        hard: The training images that were missed most, where they were mined.
    """

    name: str
    run: str
    metric: str
    training_seconds: float
    total_seconds: float | None = None
    phases: tuple[PhaseRecord, ...]
    kept_phase: str = ""
    judged: Judged | None
    others: tuple[Judged, ...] = ()
    description: str = ""
    model: tuple[Fact, ...] = ()
    recipe: tuple[Fact, ...] = ()
    curves_note: str = ""
    preview: tuple[PreviewRow, ...] = ()
    hard: tuple[Photo, ...] = ()

    @property
    def times(self) -> str:
        """How long training took, and the whole command."""
        trained = f"trained for {format_seconds(self.training_seconds)}"
        if self.total_seconds is None:
            return trained
        return f"{trained}, {format_seconds(self.total_seconds)} in all"

    @property
    def is_trained(self) -> bool:
        """Whether an epoch was finished."""
        return any(phase.epochs for phase in self.phases)

    @property
    def phase_table(self) -> Table:
        """How each phase went."""
        has_scores = any(record.validation for phase in self.phases for record in phase.epochs)
        head = ["Phase", "Trained", "Ended because", "Epochs", "Kept epoch"]
        head += [f"Validation {title_of(self.metric).lower()}"] if has_scores else []
        head += ["Trainable parameters", "Time"]
        rows = [self._list_phase(phase, has_scores) for phase in self.phases]
        return Table("The phases of training", head, rows, len(head) - 3)

    def _list_phase(self, phase: PhaseRecord, has_scores: bool) -> list[str]:
        done, parameters = format_count(len(phase.epochs)), phase.trainable_parameters
        score = format_score(self.metric, phase.kept_score(self.metric))
        return [
            f"{phase.title} (kept)" if phase.name == self.kept_phase else phase.title,
            phase.trained,
            phase.reason or ABSENT,
            f"{done} of {phase.planned_epochs}" if phase.planned_epochs else done,
            str(phase.kept_epoch) if phase.kept_epoch else ABSENT,
            *([score] if has_scores else []),
            ABSENT if parameters is None else format_count(parameters),
            format_seconds(phase.seconds),
        ]

    @property
    def phase_caution(self) -> str:
        """Name the phase that scored higher than the one whose weights were kept, if any."""
        found = [(phase.kept_score(self.metric), phase.name) for phase in self.phases]
        known = [(score, name) for score, name in found if score is not None and score == score]
        kept = next((score for score, name in known if name == self.kept_phase), None)
        if kept is None:
            return ""
        choose = max if is_higher_better(self.metric) else min
        best, name = choose(known, key=lambda pair: pair[0])
        if best == kept:
            return ""
        return (
            f"The run has the weights of phase {self.kept_phase} (validation "
            f"{title_of(self.metric).lower()} {format_score(self.metric, kept)}); phase {name} "
            f"reached {format_score(self.metric, best)}. keep_phase: best would keep that one."
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationReport(DataPage):
    """What the page of an evaluation on other images says.

    Attributes:
        model: The run or bundle that was evaluated.
        metric: The metric that headlines the page.
        judged: The scores.
    """

    model: str
    metric: str
    judged: Judged


def draw_run_figures(report: RunReport) -> Figures:
    """Draw the figures of a run; those without anything to show are left out."""
    curves = draw_learning_curves(report.phases, report.metric)
    figures = draw_data_figures(report.data) | keep_drawn(learning_curves=curves)
    return figures if report.judged is None else figures | draw_score_figures(report.judged)


def render_run_page(report: RunReport, figures: Figures | None = None) -> str:
    """Return the page of a run, ``report.html``.

    Args:
        report: What it says.
        figures: From ``draw_run_figures``, where they are drawn already.
    """
    figures = draw_run_figures(report) if figures is None else figures
    return render_page("run.html", page=report, figures=figures, **SCORE_WORDS)


def render_evaluation_page(report: EvaluationReport) -> str:
    """Return the page of an evaluation on other images."""
    figures = draw_data_figures(report.data) | draw_score_figures(report.judged)
    return render_page("evaluation.html", page=report, figures=figures, **SCORE_WORDS)
