"""Blind marks: pairs of answers in random order, and what a person thinks of them, which goes to the run."""

import secrets
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from medft.config.schema import Config
from medft.console import warn
from medft.errors import InputError
from medft.evaluation.judging.human import Choice, Mark
from medft.evaluation.predictions import Prediction
from medft.files import exclusive_lock
from medft.report.run_page import publish_report
from medft.runs.delivery import deliver_more
from medft.runs.local_run import LocalRun
from medft.runs.record import log_mark, read_human_marks, read_predictions

_QUIET = 3.0  # seconds without a mark after which the report is written anew
_LONGEST_NAME = 60  # characters
_MOST_DEALT = 10_000  # pairs that are remembered

Place = Literal["left", "right", "equal"]
PLACES: tuple[Place, ...] = ("left", "right", "equal")


@dataclass(frozen=True)
class Pair:
    """Both answers to a test question as they are shown; only this machine knows which is which.

    Attributes:
        token: by which it is marked.
    """

    token: str
    row: Prediction
    left: Literal["before", "after"]

    @property
    def texts(self) -> tuple[str, str]:
        """The answers on the left and on the right."""
        before, after = (self.row.scores(side).answer for side in ("baseline", "test"))
        return (before, after) if self.left == "before" else (after, before)


class MarkBook:
    """The marks of one run while people give them. They are in the run's folder at once; the report is written anew,
    and MLflow gets them, when nobody has given one for some seconds, and at the end.

    Raises:
        InputError: the run has no pairs of answers that differ.
    """

    def __init__(self, run: LocalRun, config: Config, predictions: Sequence[Prediction]) -> None:
        pairs = [row for row in predictions if row.test.is_written and row.baseline and row.baseline.is_written]
        if not pairs:
            raise InputError("the run has no answers from before fine-tuning (evaluation.baseline, generation)")
        # nobody can say which of two equal texts is better
        self._rows = [row for row in pairs if row.baseline and row.baseline.answer.strip() != row.test.answer.strip()]
        if not self._rows:
            raise InputError("all answers are the same before and after fine-tuning: there is nothing to choose from")
        self._run, self._config, self._predictions = run, config, predictions
        self._lock, self._dealt, self._marks = threading.Lock(), dict[str, Pair](), read_human_marks(run)
        self._given, self._came, self._closing = 0, threading.Event(), threading.Event()
        self._publisher = threading.Thread(target=self._publish_when_quiet, daemon=True, name="publisher")
        self._publisher.start()

    def deal(self, who: str) -> Pair | None:
        """A pair that this person has not marked, in random order; None if there is none left."""
        with self._lock:
            done = self._list_marked(check_name(who))
            unmarked = [row for row in self._rows if row.id not in done]
            if not unmarked:
                return None
            pair = Pair(uuid4().hex, secrets.choice(unmarked), secrets.choice(("before", "after")))
            self._dealt[pair.token] = pair
            if len(self._dealt) > _MOST_DEALT:
                del self._dealt[next(iter(self._dealt))]
            return pair

    def mark(self, token: str, who: str, better: str) -> None:
        """Log which side of a pair is better; marked again, it replaces what the same person said of the question.

        Raises:
            InputError: there is no such pair or place, or no name.
        """
        who, pair = check_name(who), self._dealt.get(token)
        if pair is None:
            raise InputError(
                "this pair is no longer known (the server was started again, or it is old): take another one"
            )
        if better not in PLACES:
            raise InputError(f"better={better}: must be one of {', '.join(PLACES)}")
        is_after = (better == "left") == (pair.left == "after")
        choice: Choice = "equal" if better == "equal" else "better" if is_after else "worse"
        mark = Mark(pair.row.id, choice, who, datetime.now(UTC).isoformat(timespec="seconds"), pair.left)
        with self._lock, self._hold_run():
            self._marks = log_mark(self._run, mark, self._predictions)
            self._given += 1
        self._came.set()

    def count(self, who: str) -> tuple[int, int]:
        """How many pairs this person has marked, and how many there are."""
        return len(self._list_marked(who.strip()) & {row.id for row in self._rows}), len(self._rows)

    def close(self) -> None:
        """Write the report of what was marked since it was written last."""
        self._closing.set()
        self._came.set()
        self._publisher.join()

    def _list_marked(self, who: str) -> set[str]:
        return {mark.id for mark in self._marks if mark.who == who}

    def _hold_run(self) -> AbstractContextManager[None]:
        """Keep other processes, and the other thread, from logging to the run: `medft judge` holds the same lock."""
        return exclusive_lock(self._config.paths.lock(f"judge-{self._run.run_id}"))

    def _publish_when_quiet(self) -> None:
        published = 0
        while not (self._closing.is_set() and published == self._given):
            given = self._given
            if given == published:
                self._came.wait()
                self._came.clear()
            elif self._closing.wait(_QUIET) or given == self._given:
                self._publish()
                published = given

    def _publish(self) -> None:
        try:
            with self._hold_run():
                publish_report(self._run, read_predictions(self._run))
            # outside: a tracker that is slow does not keep anybody from marking
            deliver_more(LocalRun(self._run.folder), self._config, "the marks")
        except Exception as error:  # the marks themselves are in the folder; the thread goes on
            warn(f"the report could not be written ({error}); the marks are in {self._run.folder}")


def check_name(who: str) -> str:
    """A person's name, without surrounding white space.

    Raises:
        InputError: it is empty, too long, or has characters that cannot be shown.
    """
    name = who.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InputError(f"say who you are, in 1 to {_LONGEST_NAME} characters")
    return name
