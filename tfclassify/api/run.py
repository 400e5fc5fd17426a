"""A run as an object: what it measured, and what can be done with it."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.errors import RunError

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from tfclassify.inference.evidence import Explanations
    from tfclassify.inference.prediction import ImageInput, Predictions
    from tfclassify.model.bundle import Bundle
    from tfclassify.recipe.schema import Recipe
    from tfclassify.runs.documents import RunMetrics
    from tfclassify.scoring.intervals import Interval
    from tfclassify.workflows.ensemble import EnsembleResult
    from tfclassify.workflows.evaluate import EvaluateResult
    from tfclassify.workflows.profile import Profiled
    from tfclassify.workflows.submit import SubmitResult
    from tfclassify.workflows.train import TrainResult


def load(run: str | os.PathLike[str]) -> Run:
    """Open a run, or a bundle or an artefact that was copied out of one.

    Args:
        run: Its folder, ``reports/flowers/003``, or that of its name, ``reports/flowers``,
            which means the newest.

    Raises:
        TargetError: If it is none; the message names what is near.
    """
    from tfclassify.runs.directory import RunDirectory

    path = Path(run)
    if any((path / facts).is_file() for facts in ("bundle.json", "artefact.json")):
        return Run(path)
    return Run(RunDirectory.open(path).path)


class Run(os.PathLike[str]):
    """One training: its folder, its scores, and its model.

    It stands for its folder wherever a path is taken: ``tfc.compare(run, "reports/other")``.

    Attributes:
        path: The folder.
        result: What the call that made it returned; None where it was opened.
    """

    def __init__(self, path: Path, result: TrainResult | EnsembleResult | None = None) -> None:
        self.path, self.result = path, result

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with every default filled in."""
        from tfclassify.recipe.loading import load_recipe

        if not self._folder.recipe_path.is_file():  # a bundle has it in another form
            return self._bundle.recipe
        return load_recipe(self._folder.recipe_path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the model's outputs."""
        return self._bundle.classes

    @property
    def metrics(self) -> Mapping[str, Interval]:
        """The scores on the last of the held-out splits, as the model is meant to be used.

        Each has its ``value``, the ends ``low`` and ``high`` of its interval, and ``n``,
        the images that it rests on. A name that is none of them is a ``RequestError`` and a
        ``KeyError``, with the nearest one.

        Raises:
            RunError: If the training has not ended, or held no image out.
        """
        scores = self.scores
        if not scores:
            raise RunError(
                f"{self.path}: trained on all images and held none out, so it has no score; "
                "judge it on others: run.evaluate(data=…)"
            )
        return scores[next(reversed(scores))]

    @cached_property
    def scores(self) -> dict[str, Mapping[str, Interval]]:
        """The scores of each held-out split, ``validation`` and ``test``."""
        from tfclassify.judging.contenders import read_stored

        found: dict[str, Mapping[str, Interval]] = {}
        for split, scores in self._facts.splits.items():
            found[split] = read_stored(self._folder.metrics_path, scores.headline).metrics
        return found

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: phase, rate, time, and losses and scores of both splits."""
        import pandas as pd

        return pd.json_normalize(self._folder.read_journal(), sep="_")

    @property
    def report(self) -> Path:
        """The page."""
        return self._folder.report_path

    @property
    def keras_model(self) -> keras.Model:
        """The model: images ``(b, height, width, 3)`` of 0..255 to ``(b, classes)``.

        Its scaling of pixels is inside; ``keras.models.load_model`` reads the same from
        ``bundle/model.keras``.
        """
        return self._bundle.model

    def predict(self, images: ImageInput | Sequence[ImageInput], **options: Any) -> Predictions:
        """Predict the classes of images; see ``tfclassify.predict``."""
        from tfclassify.api.judging import predict

        return predict(self, images, **options)

    def explain(self, images: ImageInput | Sequence[ImageInput], **options: Any) -> Explanations:
        """Say where in images it sees what; see ``tfclassify.explain``."""
        from tfclassify.api.show import explain

        return explain(self, images, **options)

    def evaluate(
        self, data: str | os.PathLike[str] | None = None, **options: Any
    ) -> EvaluateResult:
        """Judge the model on its held-out images, or on others; see ``tfclassify.evaluate``."""
        from tfclassify.api.judging import evaluate

        return evaluate(self, data=data, **options)

    def submit(self, **options: Any) -> SubmitResult:
        """Write a submission; see ``tfclassify.submit``."""
        from tfclassify.api.judging import submit

        return submit(self, **options)

    def profile(self, **options: Any) -> Profiled:
        """Say what each layer of the model costs; see ``tfclassify.profile``."""
        from tfclassify.api.networks import profile

        return profile(self, **options)

    def _repr_html_(self) -> str:
        facts = {"folder": str(self.path)}
        headline = self._facts.headline if self._folder.metrics_path.exists() else None
        if headline is not None:
            from tfclassify.pages.wording import count_of, format_range, format_score, title_of

            name, task = headline.metric, self.recipe.task
            interval, images = self.metrics[name], f"{headline.split} image"
            facts[title_of(name, task)] = (
                f"{format_score(name, interval.value)} ({format_range(name, interval)}) on "
                f"{count_of(interval.n, images)}"
            )
        facts["report"] = str(self.report)
        rows = "".join(
            f"<tr><th style='text-align: left'>{html.escape(name)}</th>"
            f"<td style='text-align: left'>{html.escape(text)}</td></tr>"
            for name, text in facts.items()
        )
        return f"<table>{rows}</table>"

    @cached_property
    def _folder(self) -> Any:
        from tfclassify.runs.directory import RunDirectory

        return RunDirectory(self.path)

    @cached_property
    def _facts(self) -> RunMetrics:
        from tfclassify.runs.documents import RunMetrics, read_document

        way_out = f"finish the run by `tfclassify train --resume {self.path}`"
        if not self._folder.recipe_path.is_file():
            way_out = "a model alone has no scores: judge it by run.evaluate(data=…)"
        return read_document(RunMetrics, self._folder.metrics_path, way_out)

    @cached_property
    def _bundle(self) -> Bundle:
        from tfclassify.workflows.start import start_tensorflow

        start_tensorflow()
        from tfclassify.export.artefact import open_bundle

        return open_bundle(self.path)
