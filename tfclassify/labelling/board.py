"""What the labellers of one session have before them: images, answers, whose turn it is.

Owns: the images of a session with everybody's answers, which of them a labeller sees and in
which order, progress. Does not own: journals (``session``), the deal (``overlap``), what a
model has to say (an ``Adviser``), how it is shown (``web``).

An image goes by its place in the source's list, since a name need not be text.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, Protocol

from tfclassify.data.consensus import settle_answers
from tfclassify.data.journals import ADJUDICATOR, Answer, Replay
from tfclassify.errors import RequestError
from tfclassify.labelling.overlap import deal_images, mark_shared
from tfclassify.labelling.session import Journal, Session, hash_names

State = Literal["todo", "done", "skipped", "all", "disputed"]
#: How images may be ordered without a model; an adviser knows more.
ORDERS = ("name", "random")


@dataclass(frozen=True)
class Images:
    """The images of a source.

    Attributes:
        names: Stable names, which journals hold.
        paths: Where the files are.
        given: The labels that the source gives them; empty tuples where it gives none.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    given: tuple[tuple[str, ...], ...]

    @cached_property
    def digest(self) -> str:
        """Hash of the names, by which a source that has changed is known."""
        return hash_names(self.names)


@dataclass(frozen=True)
class Suggestion:
    """What a model says of an image.

    Attributes:
        labels: What it takes it for.
        probability: How sure it is, 0 to 1.
        reason: Why the image is shown, where there is one; a short sentence.
    """

    labels: tuple[str, ...]
    probability: float
    reason: str = ""


class Adviser(Protocol):
    """A model's help, by the images' places."""

    #: Orders that it knows, each with what it means.
    orders: Mapping[str, str]
    #: Whether it learns from answers, and knows which images are alike.
    learns: bool

    def suggest(self, place: int) -> Suggestion | None:
        """Say what the model takes an image for."""

    def order(self, kind: str, answers: Mapping[int, Answer]) -> Sequence[int]:
        """Return all places in an order, given the answers so far."""

    def find_alike(self, place: int, count: int) -> Sequence[int]:
        """Return the places of the images most like one, the most alike first."""

    def retrain(self, answers: Mapping[int, Answer]) -> str:
        """Learn from the answers so far, and say what came of it."""


@dataclass(frozen=True)
class Wish:
    """Which images a labeller wants to see.

    Attributes:
        state: By the labeller's own answers: still to do, done, skipped, all; or, where
            answers are reviewed, those on which labellers differ and nobody has decided.
        label: Only those answered so; empty for any.
        mark: Only those with this mark; empty for any.
        labeller: Only those that this labeller answered, by whose answers ``label`` and
            ``mark`` then go; empty for the labeller's own.
        given: Only those to which the source gives this label; empty for any.
        search: Only those whose name or note holds this, in any case.
        doubt: Only those to whose suggestion the model gives at most this probability.
        is_against: Only those that the model takes for something else than was answered.
        order: A name of ``ORDERS`` or of the adviser's.
    """

    state: State = "todo"
    label: str = ""
    mark: str = ""
    labeller: str = ""
    given: str = ""
    search: str = ""
    doubt: float = 1.0
    is_against: bool = False
    order: str = "name"


@dataclass
class _Desk:
    """One labeller at work: the open journal, and the images that are theirs."""

    journal: Journal
    is_mine: Sequence[bool]
    people: tuple[str, ...] = field(default=())


class Board:
    """A session at work, for any number of labellers and tabs at once.

    Args:
        session: The session.
        images: The images of its source.
        adviser: A model's help, if there is one.
        is_review: Whether others' answers are shown, to adjudicate.
    """

    def __init__(
        self,
        session: Session,
        images: Images,
        adviser: Adviser | None = None,
        *,
        is_review: bool = False,
    ) -> None:
        self.session, self.images, self.adviser = session, images, adviser
        self.is_review = is_review
        self.vocabulary = session.vocabulary
        self.places = {name: place for place, name in enumerate(images.names)}
        self._desks: dict[str, _Desk] = {}
        self._others: dict[str, Replay] = {}
        self._open = ExitStack()
        self._turn = threading.RLock()
        facts = session.facts
        self._is_shared: Sequence[bool] = [False] * len(images.names)
        if facts.overlap:  # hashing the names of a large source takes its time
            shared = mark_shared(images.names, overlap=facts.overlap, seed=facts.seed)
            self._is_shared = shared.tolist()

    def close(self) -> None:
        """Let go of all journals."""
        self._open.close()

    def sit_down(self, labeller: str) -> Journal:
        """Open a labeller's journal, unless it is open.

        Raises:
            RunError: If another process has it open.
        """
        with self._turn:
            if labeller not in self._desks:
                journal = self._open.enter_context(self.session.open_journal(labeller))
                self._desks[labeller] = _Desk(journal, ())
            return self._desks[labeller].journal

    def _seat(self, labeller: str) -> Journal:
        """Return the journal of somebody at the page, where adjudicating is a work of its own.

        Raises:
            RequestError: If somebody labels as the adjudicator, or reviews as somebody else.
        """
        if (labeller == ADJUDICATOR) != self.is_review:
            raise RequestError(
                f"{labeller}: this page is to {'review' if self.is_review else 'label'}, and "
                f"{ADJUDICATOR!r} is who reviews; tfclassify label SESSION --review is that page"
            )
        return self.sit_down(labeller)

    def _read_own(self, labeller: str) -> dict[str, Answer]:
        """Return a labeller's answers as they stand now; others may be written meanwhile."""
        return dict(self._seat(labeller).answers)

    def _hear_others(self) -> dict[str, Mapping[str, Answer]]:
        """Return everybody's answers but the adjudicator's, as they stand now."""
        names = set(self.session.list_labellers()) | self._desks.keys()
        heard: dict[str, Mapping[str, Answer]] = {}
        for name in sorted(names - {ADJUDICATOR}):
            if name in self._desks:
                heard[name] = dict(self._desks[name].journal.answers)
            else:
                self._others[name] = self.session.replay(name, self._others.get(name))
                heard[name] = self._others[name].answers
        return heard

    def _deal(self, labeller: str, people: Sequence[str]) -> Sequence[bool]:
        """Say which images are a labeller's, as it depends on who is there."""
        desk = self._desks[labeller]
        if len(people) == 1:
            return [True] * len(self.images.names)
        if desk.people != tuple(people):
            facts = self.session.facts
            dealt = deal_images(
                self.images.names, list(people), overlap=facts.overlap, seed=facts.seed
            )
            desk.is_mine, desk.people = dealt[labeller].tolist(), tuple(people)
        return desk.is_mine

    def list_places(self, labeller: str, wish: Wish) -> list[int]:
        """Return the places of the images that a labeller wants to see, in order.

        Raises:
            RequestError: If the wish names what is not there, or what is not to be seen.
        """
        with self._turn:
            own, heard = self._read_own(labeller), self._hear_others()
            self._check(wish, heard)
            passes = self._make_test(labeller, wish, own, heard)
            places = [place for place in self._order(wish.order, own) if passes(place)]
            if wish.state == "disputed" and wish.order == "name":
                places.sort(key=partial(self._has_majority, heard))
            return places

    def _has_majority(self, heard: Mapping[str, Mapping[str, Answer]], place: int) -> bool:
        """Say whether an image comes to something without anybody deciding on it."""
        name, words = self.images.names[place], self.vocabulary
        answers = [said[name] for said in heard.values() if name in said]
        settled = settle_answers(answers, is_multi_label=words.is_multi_label, classes=words.names)
        return settled[name].outcome == "majority"

    def _check(self, wish: Wish, heard: Mapping[str, object]) -> None:
        fault = self.vocabulary.find_fault(
            [wish.label] if wish.label else [], "", [wish.mark] if wish.mark else []
        )
        if fault:
            raise RequestError(fault)
        if (wish.labeller or wish.state == "disputed") and not self.is_review:
            raise RequestError(
                "others' answers are not shown to a labeller; tfclassify label SESSION --review "
                "shows them"
            )
        if wish.labeller and wish.labeller not in heard:
            raise RequestError(f"labeller {wish.labeller!r}: has answered nothing here")
        self.check_order(wish.order)

    def check_order(self, name: str) -> None:
        """Check that images can be put in an order.

        Raises:
            RequestError: If there is no such order, or it needs a model.
        """
        known = (*ORDERS, *(self.adviser.orders if self.adviser else ()))
        if name not in known:
            advice = "" if self.adviser else "; others need a model: --run RUN"
            raise RequestError(f"--order {name}: there are {', '.join(known)}{advice}")

    def _order(self, kind: str, own: Mapping[str, Answer]) -> Sequence[int]:
        if kind == "name":
            return range(len(self.images.names))
        if kind == "random" or self.adviser is None:
            places = list(range(len(self.images.names)))
            random.Random(self.session.facts.seed).shuffle(places)  # nosec B311
            return places
        return self.adviser.order(kind, self._by_place(own))

    def _by_place(self, answers: Mapping[str, Answer]) -> dict[int, Answer]:
        known = ((self.places.get(name), answer) for name, answer in answers.items())
        return {place: answer for place, answer in known if place is not None}

    def _make_test(
        self,
        labeller: str,
        wish: Wish,
        own: Mapping[str, Answer],
        heard: Mapping[str, Mapping[str, Answer]],
    ) -> Callable[[int], bool]:
        """Make the test that an image must pass to be shown."""
        names, given = self.images.names, self.images.given
        answers = heard[wish.labeller] if wish.labeller else own
        tests: list[Callable[[int], bool]] = [self._test_state(labeller, wish.state, own, heard)]
        if wish.labeller:
            tests.append(lambda place: names[place] in answers)
        if wish.label or wish.mark:
            label, mark = wish.label, wish.mark

            def is_answered_so(place: int) -> bool:
                said = answers.get(names[place])
                if said is None:
                    return False
                return (not label or label in said.labels) and (not mark or mark in said.marks)

            tests.append(is_answered_so)
        if wish.given:
            tests.append(lambda place: wish.given in given[place])
        if wish.search:
            tests.append(self._test_search(wish.search.casefold(), answers))
        if self.adviser is not None and (wish.doubt < 1.0 or wish.is_against):
            tests.append(self._test_model(wish, answers))
        return lambda place: all(test(place) for test in tests)

    def _test_state(
        self,
        labeller: str,
        state: State,
        own: Mapping[str, Answer],
        heard: Mapping[str, Mapping[str, Answer]],
    ) -> Callable[[int], bool]:
        names = self.images.names
        if state == "all":
            return lambda place: True
        if state == "done":
            return lambda place: names[place] in own and not own[names[place]].is_skipped
        if state == "skipped":
            return lambda place: names[place] in own and own[names[place]].is_skipped
        if state == "disputed":
            return lambda place: names[place] not in own and _is_disputed(heard, names[place])
        if self.is_review:
            return lambda place: names[place] not in own
        is_mine = self._deal(labeller, sorted({*heard, labeller}))
        others = [answers for name, answers in heard.items() if name != labeller]
        counts = Counter(name for answers in others for name in answers)

        def is_to_do(place: int) -> bool:
            name = names[place]
            wanted = 2 if self._is_shared[place] else 1
            return is_mine[place] and name not in own and counts[name] < wanted

        return is_to_do

    def _test_search(self, words: str, answers: Mapping[str, Answer]) -> Callable[[int], bool]:
        names = self.images.names

        def is_found(place: int) -> bool:
            name = names[place]
            if words in name.casefold():
                return True
            return name in answers and words in answers[name].note.casefold()

        return is_found

    def _test_model(self, wish: Wish, answers: Mapping[str, Answer]) -> Callable[[int], bool]:
        names, adviser = self.images.names, self.adviser
        assert adviser is not None

        def is_doubtful(place: int) -> bool:
            said = adviser.suggest(place)
            if said is None or said.probability > wish.doubt:
                return False
            answer = answers.get(names[place])
            return not wish.is_against or (
                answer is not None and set(answer.labels) != set(said.labels)
            )

        return is_doubtful

    def describe(self, labeller: str, places: Sequence[int]) -> list[dict[str, Any]]:
        """Return what is shown of images: names, answers, suggestions."""
        with self._turn:
            own = self._seat(labeller).answers
            heard = self._hear_others() if self.is_review else {}
            return [self._describe(place, own, heard) for place in places]

    def _describe(
        self,
        place: int,
        own: Mapping[str, Answer],
        heard: Mapping[str, Mapping[str, Answer]],
    ) -> dict[str, Any]:
        if not 0 <= place < len(self.images.names):
            raise RequestError(f"image {place}: there are {len(self.images.names):,} images")
        name = self.images.names[place]
        said = self.adviser.suggest(place) if self.adviser else None
        return {
            "place": place,
            # A page is text, and a name of a file need not be.
            "name": name.encode("utf-8", "replace").decode(),
            "answer": show_answer(own.get(name)),
            "given": list(self.images.given[place]),
            "suggestion": said and {**vars(said), "labels": list(said.labels)},
            "others": {
                labeller: show_answer(answers[name])
                for labeller, answers in heard.items()
                if name in answers
            },
        }

    def answer(
        self,
        labeller: str,
        answers: Mapping[int, Answer | None],
        *,
        seconds: float,
        seen: Mapping[int, int],
    ) -> int:
        """Write answers, by the images' places; on the disk when this returns.

        Returns:
            The number of the act.
        """
        names = self.images.names
        for place in answers:
            if not 0 <= place < len(names):
                raise RequestError(f"image {place}: there are {len(names):,} images")
        return self._seat(labeller).answer(
            {names[place]: answer for place, answer in answers.items()},
            seconds=seconds,
            seen={names[place]: entry for place, entry in seen.items()},
        )

    def undo(self, labeller: str) -> list[int]:
        """Take the labeller's last act back; return the places it was about."""
        changed = self._seat(labeller).undo()
        return [self.places[name] for name in changed if name in self.places]

    def count(self, labeller: str) -> dict[str, Any]:
        """Say how far a labeller is: images done, skipped, to do, and answers by label."""
        with self._turn:
            own = self._read_own(labeller)
            todo = len(self.list_places(labeller, Wish("disputed" if self.is_review else "todo")))
            done = [answer for answer in own.values() if not answer.is_skipped]
            labels = Counter(label for answer in done for label in answer.labels)
            return {
                "done": len(done),
                "skipped": len(own) - len(done),
                "todo": todo,
                "seconds": sum(answer.seconds for answer in own.values()),
                "labels": dict(labels),
                "can_undo": bool(self._desks[labeller].journal.replay.acts),
            }

    def find_alike(self, place: int, count: int) -> list[int]:
        """Return the images most like one.

        Raises:
            RequestError: If there is no model whose features would tell.
        """
        if self.adviser is None:
            raise RequestError("look-alikes need a model's features; use --run RUN")
        return list(self.adviser.find_alike(place, count))

    def retrain(self, labeller: str) -> str:
        """Let the model learn from a labeller's answers so far, and say what came of it.

        Raises:
            RequestError: If there is no model.
        """
        if self.adviser is None:
            raise RequestError("there is no model to train; use --run RUN")
        own = self._by_place(self._read_own(labeller))
        return self.adviser.retrain(own)


def _is_disputed(heard: Mapping[str, Mapping[str, Answer]], name: str) -> bool:
    said = [answers[name] for answers in heard.values() if name in answers]
    verdicts = {(frozenset(each.labels), each.sublabel) for each in said if not each.is_skipped}
    return len(verdicts) > 1


def show_answer(answer: Answer | None) -> dict[str, Any] | None:
    """Return an answer as plain values for a page."""
    if answer is None:
        return None
    return {
        "labels": list(answer.labels),
        "sublabel": answer.sublabel,
        "marks": sorted(answer.marks),
        "note": answer.note,
        "skipped": answer.is_skipped,
        "entry": answer.entry,
    }
