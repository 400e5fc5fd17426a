"""The training: phases in their order, epochs in theirs, nothing lost between.

Owns: the loop, what is saved after each epoch, resuming, best weights.
Does not own: data, the model's shape, the bundle, the report.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tfclassify.errors import TrainingError
from tfclassify.events import SILENT, Observer
from tfclassify.model.assembly import Classifier
from tfclassify.model.freezing import apply_freezing
from tfclassify.recipe.schema import PhaseRecipe, Recipe
from tfclassify.scoring.metrics import compute_metrics
from tfclassify.training.history import EpochRecord, best_epoch, should_stop
from tfclassify.training.optimizers import build_optimizer
from tfclassify.training.schedules import learning_rate_at
from tfclassify.training.sources import (
    BatchSource,
    FeatureSource,
    Material,
    StreamSource,
    count_steps,
    predict_probabilities,
    split_at_pooling,
)
from tfclassify.training.state import (
    Snapshot,
    address_dropout,
    load_snapshot,
    restore_variables,
    save_snapshot,
)
from tfclassify.training.steps import ForwardPass, TrainingStep

#: Metrics of the validation images that every epoch records.
WATCHED = ("loss", "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")


@dataclass
class _Phase:
    """One phase at work."""

    number: int
    recipe: PhaseRecipe
    step: TrainingStep
    source: BatchSource
    changing: Sequence[keras.Variable]
    saved: Sequence[keras.Variable]


class Trainer:
    """Trains a classifier by a recipe's phases, resumable after every epoch.

    Args:
        recipe: The recipe.
        classifier: Its network, as built; the phases change it in place.
        material: Training and validation images.
        state_dir: Where the state is kept.
        on_record: Called with all records after each finished epoch is safe.
        observer: Receives progress.
    """

    def __init__(
        self,
        recipe: Recipe,
        classifier: Classifier,
        material: Material,
        state_dir: Path,
        *,
        on_record: Callable[[Sequence[EpochRecord]], None] = lambda records: None,
        observer: Observer = SILENT,
    ) -> None:
        if len(material.train.images) == 0:
            raise TrainingError(f"{recipe.name}: there is no training image left to learn from")
        self._recipe, self.classifier, self._material = recipe, classifier, material
        self._state_dir, self._on_record, self._observer = state_dir, on_record, observer
        self._network = ForwardPass(classifier.network)
        self._steps = count_steps(len(material.train.images), recipe.batch_size)
        self._records: list[EpochRecord] = []

    def run(self, *, resume: bool = False) -> list[EpochRecord]:
        """Train through all phases and return a record of every epoch.

        Args:
            resume: Go on from the last finished epoch, where there is one.

        Raises:
            TrainingError: If the loss is no longer finite; the state before is kept.
            RunError: If the saved state is damaged or of another network.
        """
        last = self._load_last() if resume else None
        first_phase = last.facts["phase_number"] if last else 0
        if last:
            self._records = [EpochRecord.from_dict(item) for item in last.facts["records"]]
            self._on_record(self._records)
        for number, phase in enumerate(self._recipe.phases):
            if number < first_phase:
                continue
            ended = self._phase_path(number)
            if last is not None and ended.exists():
                restore_variables(load_snapshot(ended), self._everything(), ended)
                continue
            if last is not None and number > 0:
                before = self._phase_path(number - 1)
                restore_variables(load_snapshot(before), self._everything(), before)
            self._run_phase(number, phase, last if number == first_phase else None)
        return self._records

    def validation_metrics(self) -> dict[str, float]:
        """Score the network as it is now on the validation images; empty without any."""
        if self._material.validation is None:
            return {}
        probabilities = predict_probabilities(
            self._network, self._material.validation, self._recipe.batch_size
        )
        return self._score(probabilities)

    def _run_phase(self, number: int, phase: PhaseRecipe, last: Snapshot | None) -> None:
        work = self._start_phase(number, phase)
        if last is not None:
            restore_variables(last, work.saved, self._last_path)
        done = self._phase_records(number)
        self._observer.on_phase_start(
            phase.name, phase.epochs, self._steps, len(self._material.train.images)
        )
        reason = f"all {phase.epochs} epochs done"
        for epoch in range(len(done) + 1, phase.epochs + 1):
            if should_stop(self._phase_records(number), phase.early_stopping):
                break
            self._run_epoch(work, epoch)
        if should_stop(self._phase_records(number), phase.early_stopping):
            reason = self._explain_stop(phase, len(self._phase_records(number)))
        self._keep_best(work)
        save_snapshot(self._phase_path(number), self._everything(), {"phase": phase.name})
        self._observer.on_phase_end(phase.name, reason)

    def _start_phase(self, number: int, phase: PhaseRecipe) -> _Phase:
        classifier = self.classifier
        apply_freezing(classifier, phase.train, self._recipe.model.batch_norm)
        address = sum(earlier.epochs for earlier in self._recipe.phases[:number])
        is_head_only = phase.train == "head"
        body: keras.Model | None = classifier.backbone
        head = classifier.head
        source: BatchSource
        if phase.features is not None:
            extractor, head = split_at_pooling(classifier)
            source = FeatureSource(
                self._material,
                self._recipe,
                phase,
                ForwardPass(extractor),
                ForwardPass(head),
                address,
                self._observer,
            )
            body = None
        else:
            source = StreamSource(self._material, self._recipe, phase, self._network, address)
        step = TrainingStep(
            body,
            head,
            is_body_trained=not is_head_only,
            optimizer=build_optimizer(phase),
            recipe=self._recipe,
        )
        changing = classifier.head.weights if is_head_only else classifier.network.weights
        saved = [*changing, *step.optimizer.variables]
        return _Phase(number, phase, step, source, changing, saved)

    def _run_epoch(self, work: _Phase, epoch: int) -> None:
        started = time.perf_counter()
        address_dropout(self.classifier.network, self._recipe.seed, work.number, epoch)
        past = self._phase_records(work.number)
        total_loss, correct, seen, rate = 0.0, 0, 0, work.recipe.learning_rate
        for number, (images, targets, weights) in enumerate(work.source.batches(epoch)):
            position = (epoch - 1) * self._steps + number
            rate = learning_rate_at(work.recipe, position, self._steps, past)
            work.step.set_learning_rate(rate)
            loss, hits = work.step(images, targets, weights)
            if not math.isfinite(loss):
                raise TrainingError(self._explain_nan(work.recipe, epoch, number + 1, loss, rate))
            count = int(images.shape[0])
            total_loss, correct, seen = total_loss + loss * count, correct + hits, seen + count
            speed = seen / (time.perf_counter() - started)
            self._observer.on_step(epoch, number + 1, speed, total_loss / seen)
        trained_seconds = time.perf_counter() - started
        validation = self._validate(work.source)
        record = EpochRecord(
            phase=work.recipe.name,
            phase_number=work.number,
            epoch=epoch,
            learning_rate=rate,
            seconds=time.perf_counter() - started,
            images_per_second=seen / trained_seconds,
            train={"loss": total_loss / seen, "accuracy": correct / seen},
            validation=validation,
        )
        self._finish_epoch(work, record)

    def _validate(self, source: BatchSource) -> dict[str, float]:
        if self._material.validation is None:
            return {}
        return self._score(source.validation_probabilities())

    def _score(self, probabilities: np.ndarray) -> dict[str, float]:
        names = dict.fromkeys([*WATCHED, self._recipe.metric, *self._watched_by_phases()])
        return compute_metrics(list(names), self._material.validation_ids, probabilities)

    def _watched_by_phases(self) -> list[str]:
        names = []
        for phase in self._recipe.phases:
            names += [phase.keep_best] if phase.keep_best else []
            names += [phase.early_stopping.metric] if phase.early_stopping else []
            names += [phase.schedule.metric] if phase.schedule.kind == "plateau" else []
        return names

    def _finish_epoch(self, work: _Phase, record: EpochRecord) -> None:
        """Make an epoch safe: first the best weights, then the state, then the journal."""
        self._records.append(record)
        is_best = self._is_best(work)
        if is_best and work.recipe.keep_best:
            best = {"phase_number": work.number, "epoch": record.epoch}
            save_snapshot(self._best_path, work.changing, best)
        facts = {
            "phase_number": work.number,
            "epoch": record.epoch,
            "records": [item.to_dict() for item in self._records],
        }
        save_snapshot(self._last_path, work.saved, facts)
        self._on_record(self._records)
        values = {f"train_{name}": value for name, value in record.train.items()}
        values |= {f"val_{name}": value for name, value in record.validation.items()}
        self._observer.on_epoch_end(record.epoch, values, is_best)

    def _is_best(self, work: _Phase) -> bool:
        records = self._phase_records(work.number)
        metric = work.recipe.keep_best
        if metric is None or not records[-1].validation:
            return False
        values = [record.validation[metric] for record in records]
        return best_epoch(values, metric) == len(values) - 1

    def _keep_best(self, work: _Phase) -> None:
        if work.recipe.keep_best is None or self._material.validation is None:
            return
        restore_variables(load_snapshot(self._best_path), work.changing, self._best_path)

    def _load_last(self) -> Snapshot | None:
        return load_snapshot(self._last_path) if self._last_path.exists() else None

    def _phase_records(self, number: int) -> list[EpochRecord]:
        return [record for record in self._records if record.phase_number == number]

    def _everything(self) -> list[keras.Variable]:
        return list(self.classifier.network.weights)

    @property
    def _last_path(self) -> Path:
        return self._state_dir / "last.npz"

    @property
    def _best_path(self) -> Path:
        return self._state_dir / "best.npz"

    def _phase_path(self, number: int) -> Path:
        return self._state_dir / f"phase-{number}.npz"

    @staticmethod
    def _explain_stop(phase: PhaseRecipe, epoch: int) -> str:
        stopping = phase.early_stopping
        assert stopping is not None
        return (
            f"early stop after epoch {epoch}: validation {stopping.metric} brought no gain "
            f"for {stopping.patience} epochs"
        )

    @staticmethod
    def _explain_nan(phase: PhaseRecipe, epoch: int, step: int, loss: float, rate: float) -> str:
        return (
            f"phase {phase.name!r}, epoch {epoch}, step {step}: the loss is {loss} at learning "
            f"rate {rate:.3g}; the state before this epoch is kept. Try a lower learning_rate, "
            f"clip_norm: 1.0, or schedule: {{kind: cosine, warmup_epochs: 1}}"
        )
