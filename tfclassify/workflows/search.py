"""The course of one search: what is proposed runs as trials, until a bound is reached.

Owns: the order of events, the bounds, the choice at the end. Does not own: proposing
(``tuning``), a trial (``trial``), where trials run (``executors``), what is left (``tune``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from tfclassify.data.index import Index
from tfclassify.errors import JobError, RequestError
from tfclassify.events import Observer
from tfclassify.executors.jobs import Executor, FinishedJob, Job
from tfclassify.pages.tune_page import show_value
from tfclassify.pages.wording import count_of
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.search_schema import find_space
from tfclassify.scoring.tasks import get_task
from tfclassify.tuning.folder import SearchFolder
from tfclassify.tuning.proposals import Goal, propose
from tfclassify.tuning.selection import Selection, TrialAnswers, select
from tfclassify.tuning.trials import Asked, Ended, TrialJournal
from tfclassify.workflows.trial import run_trial


class TrialProgress(Observer):
    """Shows a trial as one bar, so that a search is a line a trial.

    Args:
        observer: Who is told of the search.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer, self._task = observer, ""

    def on_warning(self, message: str) -> None:
        """Pass a warning on."""
        self._observer.on_warning(message)

    def on_task_start(self, task: str, total: int | None) -> None:
        """Pass it on, such as the storing of features."""
        self._observer.on_task_start(task, total)

    def on_task_step(self, task: str, done: int) -> None:
        """Pass it on."""
        self._observer.on_task_step(task, done)

    def on_task_end(self, task: str) -> None:
        """Pass it on."""
        self._observer.on_task_end(task)

    def on_phase_start(
        self, phase: str, epochs: int, steps: int, images: int, watched: str = ""
    ) -> None:
        """Begin a bar of epochs."""
        self._task = f"epochs of {phase}"
        self._observer.on_task_start(self._task, epochs)

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Move it."""
        self._observer.on_task_step(self._task, epoch)

    def on_stop(self) -> None:
        """Take the bar away."""
        self._observer.on_stop()


#: Keys that what a network costs depends on, and refusals in a row after which no more are tried.
_COSTLY, _REFUSALS = ("model.", "data.image_size"), 20


class Search:
    """One sitting of a search: proposals out, results in.

    Args:
        folder: Its folder, with the images prepared.
        recipe: What is searched from, with the space.
        executor: Where the trials run.
        observer: Told of progress.
        reserve: Trainings that must fit into its time behind the last trial.

    Attributes:
        folder: As given.
        recipe: As given.
        facts: What was asked for.
        journal: Its trials.
        space: What may change.
        is_exhausted: Whether all of a finite space was tried.
        goal: What it looks for.
    """

    def __init__(
        self,
        folder: SearchFolder,
        recipe: Recipe,
        executor: Executor,
        observer: Observer,
        reserve: int = 0,
    ) -> None:
        self.folder, self.recipe, self.facts = folder, recipe, folder.facts
        self._reserve = reserve
        self.journal: TrialJournal = folder.journal()
        self.space = find_space(recipe)
        self.is_exhausted = False
        higher = get_task(recipe.task).metrics[recipe.metric].higher_is_better
        self.goal = Goal(higher, has_cost=folder.facts.also is not None)
        self._executor, self._observer = executor, observer
        self._started = time.perf_counter()
        self._before = max(
            (trial.ended.at_seconds for trial in self.journal.list_ended() if trial.ended),
            default=0.0,
        )

    @property
    def seconds(self) -> float:
        """Time of the search over all sittings."""
        return self._before + time.perf_counter() - self._started

    def run(self) -> None:
        """Search until a bound is reached."""
        self._observer.on_task_start("trials", self.facts.trials)
        running = 0
        for trial in self.journal.list_running():  # a kill broke them off
            self._submit(trial.number)
            running += 1
        while True:
            while running < self._executor.slots and self._has_room():
                asked = self._ask()
                if asked is None:
                    self.is_exhausted = True
                    break
                self.journal.note(asked)
                self._submit(asked.number)
                running += 1
            if not running:
                break
            self._take(self._executor.wait())
            running -= 1
        self._observer.on_task_end("trials")
        self._check_bound()

    def _has_room(self) -> bool:
        """Say whether another trial may begin; the start is trained first, alone."""
        trials = self.journal.trials
        if not trials:
            return True
        if len(trials) == 1 and trials[0].ended is None:
            return False
        if self.is_exhausted or len(trials) >= self.facts.trials or self._is_hopeless():
            return False
        if self.facts.seconds_each is None:
            return True
        ended = [trial.ended.seconds for trial in self.journal.list_ended() if trial.ended]
        usual = float(np.median(ended)) if ended else 0.0
        return self.seconds + (1 + self._reserve) * usual <= self.facts.seconds_each

    def _is_hopeless(self) -> bool:
        """Say whether it seems that no network of the space meets the bound."""
        ended = self.journal.list_ended()
        if not ended or any(trial.state != "refused" for trial in ended):
            return False
        changes_network = any(key.startswith(_COSTLY) for key in self.space)
        return len(ended) >= _REFUSALS or not changes_network

    def _check_bound(self) -> None:
        """Raise where every network was over the bound."""
        ended = [trial.ended for trial in self.journal.list_ended() if trial.ended]
        if not ended or any(each.state != "refused" for each in ended):
            return
        reasons = "; ".join(dict.fromkeys(each.reason for each in ended[:3]))
        raise RequestError(
            f"--max-macs: none of the {count_of(len(ended), 'network')} that were looked at meets "
            f"it ({reasons}); give a higher bound, or put smaller ones into the search, such as "
            "model.backbone or data.image_size"
        )

    def _ask(self) -> Asked | None:
        number, ended = len(self.journal.trials), self.journal.list_ended()
        known = tuple(trial.number for trial in ended)
        if number == 0:
            return Asked(number=0, values={}, known=())
        values = propose(
            self.space,
            number,
            ended,
            self.journal.list_running(),
            goal=self.goal,
            sampler=self.facts.sampler,
            seed=self.facts.seed,
        )
        return None if values is None else Asked(number=number, values=values, known=known)

    def _submit(self, number: int) -> None:
        arguments = {"search": str(self.folder.path), "number": number}
        call = f"{run_trial.__module__}:{run_trial.__name__}"
        self._executor.submit(Job(f"trial-{number:04d}", call, arguments))

    def _take(self, finished: FinishedJob) -> None:
        """Remember how a trial ended; nothing is searched from a start that fails."""
        number = int(finished.job.arguments["number"])
        if finished.error is not None:
            if number == 0:
                raise JobError(1, {"the recipe as it is": finished.error})
            result = Ended(number=number, state="failed", reason=finished.error)
        else:
            result = Ended.model_validate_json(finished.value)
        result = result.model_copy(update={"at_seconds": self.seconds})
        self.journal.note(result)
        self._observer.on_task_step("trials", len(self.journal.order))
        self._tell(result)

    def _tell(self, ended: Ended) -> None:
        values = self.journal.trials[ended.number].asked.values
        shown = ", ".join(
            f"{key.rpartition('.')[2]} {show_value(value)}" for key, value in values.items()
        )
        outcome = (
            f"{ended.score:.4f}" if ended.score is not None else f"{ended.state}: {ended.reason}"
        )
        self._observer.on_note(
            f"trial {ended.number}: {self.recipe.metric} {outcome}{self._say_best(ended.number)}  "
            f"{shown or 'as written'}"
        )

    def _say_best(self, number: int) -> str:
        """Say which trial is the best so far, where it is not this one."""
        scores = {
            trial.number: trial.ended.score
            for trial in self.journal.list_complete()
            if trial.ended and trial.ended.score is not None
        }
        if not scores:
            return ""
        sign = 1.0 if self.goal.higher_is_better else -1.0
        best = max(scores, key=lambda each: (sign * scores[each], -each))
        return ", the best" if best == number else f" (best {scores[best]:.4f}, trial {best})"


def choose(search: Search, index: Index) -> Selection | None:
    """Choose the best trial, and say what the choice is worth; None where there is no choice."""
    folder, recipe, complete = search.folder, search.recipe, search.journal.list_complete()
    if len(complete) < 2:
        return None
    held_out = index.in_split("validation")
    groups = held_out.frame["group"].tolist()
    answers = [np.load(folder.answers_path(trial.number), allow_pickle=False) for trial in complete]
    fixed = recipe.thresholds if isinstance(recipe.thresholds, float) else None
    return select(
        TrialAnswers(
            recipe.task,
            recipe.metric,
            held_out.targets(),
            [trial.number for trial in complete],
            np.stack(answers),
            groups if any(groups) else None,
            fixed,
            has_start=complete[0].number == 0,
        ),
        seed=search.facts.seed,
    )
