"""The training: phases in their order, epochs in theirs, nothing lost between.

Owns: the loop, what is saved after each epoch, resuming, best weights, the best phase.
Does not own: what a phase does with a batch (``phases``, ``steps``), data, the model's
shape, the bundle, the report.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfclassify.errors import ModelError, RunError, TrainingError
from tfclassify.events import SILENT, Observer
from tfclassify.model.assembly import Classifier
from tfclassify.model.folding import fold_all
from tfclassify.model.prediction import predict_store
from tfclassify.recipe.schema import PhaseRecipe, Recipe
from tfclassify.scoring.epochs import EpochRecord, best_epoch, is_better
from tfclassify.scoring.tasks import get_task
from tfclassify.training.mining import HardExamples
from tfclassify.training.phases import WorkingPhase, count_updates, group_batches, start_phase
from tfclassify.training.replicas import ONE, Replicas
from tfclassify.training.schedules import (
    describe_cut,
    follow_plans,
    learning_rate_at,
    should_stop,
)
from tfclassify.training.sources import BatchSource, Material, count_steps
from tfclassify.training.state import (
    Snapshot,
    StateFolder,
    address_dropout,
    load_facts,
    load_last,
    load_snapshot,
    restore_variables,
    save_snapshot,
)
from tfclassify.training.steps import ForwardPass
from tfclassify.training.tally import EpochTally, Outcome, Taken

#: Learning rates of an epoch that its record keeps.
_RATES = 16


class Trainer:
    """Trains a classifier by a recipe's phases, resumable after every epoch.

    Args:
        recipe: The recipe.
        classifier: Its network, as built; the phases change it in place.
        material: Training and validation images.
        state_dir: Where the state is kept.
        on_record: Called with all records after each finished epoch is safe.
        replan: Called with all records before an epoch is safe; says which epochs every
            phase has from there on, or nothing. What it said is part of the record. None: as the
            recipe says.
        observer: Receives progress.
        replicas: The devices that compute a batch together.

    Attributes:
        classifier: As given.
        hard_examples: The images' misses and weights, where the recipe mines.
        kept_phase: Name of the phase whose weights the network has after ``run``.
        caution: A sentence where those are not the best phase's; else empty.
    """

    def __init__(
        self,
        recipe: Recipe,
        classifier: Classifier,
        material: Material,
        state_dir: Path,
        *,
        on_record: Callable[[Sequence[EpochRecord]], None] = lambda records: None,
        replan: Callable[[Sequence[EpochRecord]], tuple[int, ...]] | None = None,
        observer: Observer = SILENT,
        replicas: Replicas = ONE,
    ) -> None:
        if len(material.train.images) == 0:
            raise TrainingError(f"{recipe.name}: there is no training image left to learn from")
        self._recipe, self.classifier, self._material = recipe, classifier, material
        self._state, self._on_record, self._observer = StateFolder(state_dir), on_record, observer
        self._task, self._replan = get_task(recipe.task), replan
        self._replicas = replicas
        network = classifier.network
        self._network = ForwardPass(network, fold_all(network))
        self._images = len(material.train.images)
        self._records: list[EpochRecord] = []
        self.kept_phase, self.caution = recipe.phases[-1].name, ""
        self._source: BatchSource | None = None
        self.hard_examples: HardExamples | None = None
        if recipe.mining is not None:
            self.hard_examples = HardExamples(recipe.mining, material.train.weights)

    def run(self, *, resume: bool = False) -> list[EpochRecord]:
        """Train through all phases and return a record of every epoch.

        Args:
            resume: Begin behind the last finished epoch, where there is one.

        Raises:
            TrainingError: If the loss is no longer finite; the state before is kept.
            RunError: If the saved state is damaged or of another network.
        """
        last = load_last(self._state.last) if resume and self._state.last.exists() else None
        first_phase = self._take_over(last) if last else 0
        for number in range(first_phase, len(self._recipe.phases)):
            ended = self._state.phase(number)
            if last is not None and ended.exists():
                restore_variables(load_snapshot(ended), self._everything(), ended)
                continue
            if last is not None and number > 0:
                before = self._state.phase(number - 1)
                restore_variables(load_snapshot(before), self._everything(), before)
            self._run_phase(number, last if number == first_phase else None)
        self._keep_phase()
        return self._records

    def validation_probabilities(self) -> np.ndarray:
        """Return what the network as it is now says of the validation images, ``(n, C)``.

        After a last phase on cached features only the head has to run over them.
        """
        is_last = self.kept_phase == self._recipe.phases[-1].name
        if self._source is not None and is_last:
            return self._source.validation_probabilities()
        images = self._material.validation
        assert images is not None  # nobody asks without any
        return self._task.activate(predict_store(self._network, images, self._recipe.step_images))

    def _take_over(self, last: Snapshot) -> int:
        """Take what a saved state knows of the past; return the phase it is of."""
        self._records = [EpochRecord.from_dict(item) for item in last.facts["records"]]
        if self.hard_examples is not None and "misses" in last.extras:
            self.hard_examples.restore(last.extras["misses"], self._state.last)
        self._on_record(self._records)
        number = int(last.facts["phase_number"])
        if number >= len(self._recipe.phases):
            raise RunError(
                f"{self._state.last}: is of phase {number + 1} of a recipe with "
                f"{len(self._recipe.phases)}; train anew, in another run"
            )
        return number

    def _run_phase(self, number: int, last: Snapshot | None) -> None:
        phase = self._find_phase(number)
        self._source = None  # its images make room for those of another size
        work = start_phase(
            self._recipe,
            number,
            self.classifier,
            self._material,
            self._network,
            self._observer,
            phase,
            self._replicas,
        )
        self._source = work.source
        if last is not None:
            restore_variables(last, work.saved, self._state.last)
        steps = count_steps(self._images, work.batch_size)
        watched = ""
        if work.keep_best is not None and self._material.validation is not None:
            watched = f"val_{work.keep_best}"
        self._observer.on_phase_start(phase.name, phase.epochs, steps, self._images, watched)
        while len(records := self._phase_records(number)) < work.recipe.epochs:
            if should_stop(records, phase.early_stopping):
                break
            self._run_epoch(work, len(records) + 1)
            work.recipe = self._find_phase(number)
        epochs, planned = work.recipe.epochs, self._recipe.phases[number].epochs
        reason = f"all {epochs} epochs done" if epochs > 1 else "its epoch done"
        if epochs < planned:
            reason = f"{epochs} of {planned} epochs done, to keep the time"
        if should_stop(records, phase.early_stopping):
            reason = _explain_stop(phase, len(records))
        facts = {"phase": phase.name, "validation": self._end_phase(work)}
        save_snapshot(self._state.phase(number), self._everything(), facts)
        self._observer.on_phase_end(phase.name, reason)

    def _run_epoch(self, work: WorkingPhase, epoch: int) -> None:
        address_dropout(self.classifier.network, self._recipe.seed, work.number, epoch)
        tally = EpochTally(self._task, self._material.train.targets)
        rates = self._train_epoch(work, epoch, tally)
        speed = tally.images_per_second
        work.follow_epoch(epoch)
        with work.shown():
            try:
                validation = self._validate(work.source)
            except ModelError as error:  # the last step's update left weights that are no numbers
                place = f"phase {work.recipe.name!r}, epoch {epoch}, step {len(rates)}, validation"
                has_past = bool(self._records)
                told = _explain_nan(place, math.nan, rates[-1], has_past=has_past)
                raise TrainingError(told) from error
            record = EpochRecord(
                phase=work.recipe.name,
                phase_number=work.number,
                epoch=epoch,
                learning_rate=rates[-1],
                learning_rates=_thin(rates),
                seconds=time.perf_counter() - tally.started,
                images_per_second=speed,
                train={
                    "loss": tally.loss / tally.seen,
                    self._task.train_score: tally.score / tally.seen,
                },
                validation=validation,
            )
            self._records.append(record)
            if self._replan is not None:
                self._records[-1] = replace(record, plan=self._replan(self._records))
            is_best = self._save_best(work)
        self._finish_epoch(work, tally, is_best)

    def _train_epoch(self, work: WorkingPhase, epoch: int, tally: EpochTally) -> list[float]:
        """Take every step of an epoch; return the learning rate of each."""
        phase, size = work.recipe, work.batch_size
        rows = work.source.rows(epoch)
        factors = self.hard_examples.factors() if self.hard_examples else None
        past = self._phase_records(work.number)
        updates = count_updates(self._images, self._recipe, phase)
        done, rates = (epoch - 1) * updates, []
        groups = group_batches(self._images, size, phase.accumulate)
        batches = zip(work.source.batches(epoch), groups, strict=True)
        for number, ((images, targets, weights), group) in enumerate(batches):
            rate = learning_rate_at(phase, done, updates, past)
            rates.append(rate)
            work.step.set_learning_rate(rate)
            here = rows[number * size : (number + 1) * size]
            if factors is not None:
                weights = weights * factors[here]
            loss, logits = work.step(images, targets, weights, group.share, ends_group=group.ends)
            if group.ends:
                done += 1
                work.follow_update(done)
            taken = Taken(number + 1, rate, here, targets, loss, logits)
            self._follow(work, epoch, tally.put(taken))
        self._follow(work, epoch, tally.fetch())
        return rates

    def _follow(self, work: WorkingPhase, epoch: int, outcomes: Iterator[Outcome]) -> None:
        """Tell of steps whose outcomes have come from the device."""
        for outcome in outcomes:
            if not math.isfinite(outcome.loss):
                place = f"phase {work.recipe.name!r}, epoch {epoch}, step {outcome.number}"
                rate, has_past = outcome.rate, bool(self._records)
                raise TrainingError(_explain_nan(place, outcome.loss, rate, has_past=has_past))
            self._observer.on_step(
                epoch, outcome.number, outcome.images_per_second, outcome.mean_loss
            )

    def _validate(self, source: BatchSource) -> dict[str, float]:
        if self._material.validation is None:
            return {}
        return self._replicas.agree(self._score(source.validation_probabilities()))

    def _score(self, probabilities: np.ndarray) -> dict[str, float]:
        names = dict.fromkeys([*self._task.watched, self._recipe.metric, *self._named_by_phases()])
        thresholds = self._recipe.thresholds
        fixed = thresholds if isinstance(thresholds, float) else None
        targets = self._material.validation_targets
        return self._task.compute(list(names), targets, probabilities, fixed)

    def _named_by_phases(self) -> list[str]:
        names = []
        for phase in self._recipe.phases:
            names += [phase.keep_best] if phase.keep_best else []
            names += [phase.early_stopping.metric] if phase.early_stopping else []
            names += [phase.schedule.metric] if phase.schedule.kind == "plateau" else []
        return names

    def _save_best(self, work: WorkingPhase) -> bool:
        """Keep the weights that are shown, where the epoch is the phase's best so far."""
        records, metric = self._phase_records(work.number), work.keep_best
        if metric is None or not records[-1].validation:
            return False
        values = [record.validation[metric] for record in records]
        is_best = best_epoch(values, metric) == len(values) - 1
        if is_best:
            facts = {"phase_number": work.number, "epoch": records[-1].epoch}
            save_snapshot(self._state.best, work.changing, facts)
        return is_best

    def _finish_epoch(self, work: WorkingPhase, tally: EpochTally, is_best: bool) -> None:
        """Make an epoch safe: the best weights are, now the state, then the journal."""
        facts: dict[str, Any] = {
            "phase_number": work.number,
            "epoch": self._records[-1].epoch,
            "records": [item.to_dict() for item in self._records],
        }
        extras = {}
        if self.hard_examples is not None:
            self.hard_examples.count(tally.missed)
            extras["misses"] = self.hard_examples.misses
        save_snapshot(self._state.last, work.saved, facts, extras)
        self._on_record(self._records)
        record = self._records[-1]
        values = {f"train_{name}": value for name, value in record.train.items()}
        values |= {f"val_{name}": value for name, value in record.validation.items()}
        self._observer.on_epoch_end(record.epoch, values, is_best)
        cut = describe_cut(self._recipe.phases, self._records)
        if cut:
            self._observer.on_note(cut)

    def _end_phase(self, work: WorkingPhase) -> dict[str, float]:
        """Give the network the weights that the phase ends with; return their metrics."""
        records, metric = self._phase_records(work.number), work.keep_best
        if metric is not None and self._material.validation is not None:
            restore_variables(load_snapshot(self._state.best), work.changing, self._state.best)
            values = [record.validation[metric] for record in records]
            return dict(records[best_epoch(values, metric)].validation)
        # Random layers of the pass over the images, where the phase makes one.
        address_dropout(
            self.classifier.network, self._recipe.seed, work.number, work.recipe.epochs + 1
        )
        work.put_average()
        if work.recipe.swa is None:
            return dict(records[-1].validation)
        return self._validate(work.source)

    def _keep_phase(self) -> None:
        """Give the network the best phase's weights where asked; else warn of a worse last one."""
        if self._material.validation is None:
            return
        names = [phase.name for phase in self._recipe.phases]
        ends = [load_facts(self._state.phase(number)) for number in range(len(names))]
        metric = self._recipe.metric
        values = [facts["validation"][metric] for facts in ends]
        best = best_epoch(values, metric)
        if self._recipe.keep_phase != "best":
            if is_better(metric, values[best], values[-1]):
                self.caution = (
                    f"The last phase, {names[-1]}, ended with a validation {metric} of "
                    f"{values[-1]:.4f}, worse than {names[best]} with {values[best]:.4f}; "
                    "keep_phase: best keeps the better one."
                )
                self._observer.on_warning(self.caution)
            return
        self.kept_phase = names[best]
        if best != len(names) - 1:
            path = self._state.phase(best)
            restore_variables(load_snapshot(path), self._everything(), path)
        self._observer.on_note(
            f"phase {self.kept_phase} is kept: validation {metric} {values[best]:.4f}, the best "
            f"of {len(names)} phases"
        )

    def _find_phase(self, number: int) -> PhaseRecipe:
        """Return a phase as it is by now."""
        return follow_plans(self._recipe.phases, self._records)[number]

    def _phase_records(self, number: int) -> list[EpochRecord]:
        return [record for record in self._records if record.phase_number == number]

    def _everything(self) -> list[keras.Variable]:
        return list(self.classifier.network.weights)


def _thin(rates: Sequence[float]) -> tuple[float, ...]:
    """Choose up to 16 of the rates of an epoch, at even distances, both ends among them."""
    count = min(len(rates), _RATES)
    places = np.linspace(0, len(rates) - 1, count).round().astype(int)
    return tuple(float(rates[place]) for place in places)


def _explain_stop(phase: PhaseRecipe, epoch: int) -> str:
    stopping = phase.early_stopping
    assert stopping is not None
    return (
        f"early stop after epoch {epoch}: validation {stopping.metric} brought no gain "
        f"for {stopping.patience} epochs"
    )


def _explain_nan(place: str, loss: float, rate: float, *, has_past: bool) -> str:
    kept = "the state before this epoch is kept" if has_past else "nothing was learnt before it"
    return (
        f"{place}: the loss is {loss} at learning rate {rate:.3g}; {kept}. "
        f"Going on repeats it; train anew with a lower learning_rate, "
        f"clip_norm: 1.0, or schedule: {{kind: cosine, warmup_epochs: 1}}"
    )
