"""How jobs elsewhere get on, as far as MLflow tells: the launchers themselves say nothing until the last has ended."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from medft.config.schema import Config
from medft.jobs.process import Outcome
from medft.jobs.progress import SweepProgress
from medft.runs.sweeps import JobRun, children

_PAUSE = 5.0  # seconds between looks at MLflow


@contextlib.contextmanager
def watched(config: Config, parent: str, labels: Sequence[str]) -> Iterator[None]:
    """Say whenever a job begins or ends inside the context.

    Args:
        config: of any job.
        parent: the sweep's MLflow run.
        labels: of the jobs, in order.
    """
    ended = threading.Event()
    with SweepProgress(labels, None, config.sweep.metric, config.sweep.direction) as board:
        watch = _Watch(config, parent, labels, board)
        thread = threading.Thread(target=watch.until, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Watch:
    def __init__(self, config: Config, parent: str, labels: Sequence[str], board: SweepProgress) -> None:
        self.config, self.parent, self.labels, self.board = config, parent, labels, board
        self.opened, self.begun, self.over = time.time(), set[int](), dict[int, str]()

    def until(self, ended: threading.Event) -> None:
        while not ended.wait(_PAUSE):
            with contextlib.suppress(Exception):  # a server that is away for a moment
                self._look()
                self.board.refresh()
        with contextlib.suppress(Exception):
            self._look(last=True)

    def _look(self, last: bool = False) -> None:
        found = children(self.config, self.parent)
        for number, label in enumerate(self.labels):
            if child := found.get(label):
                self._tell(number, child, last)

    def _tell(self, number: int, child: JobRun, last: bool) -> None:
        known = child.ended is not None and child.ended < self.opened
        if known and not (last and child.status == "FINISHED"):
            return  # of an earlier launch; this one has not come to it yet
        if number not in self.begun:
            self.begun.add(number)
            self.board.started(number)
        if child.ended is not None and child.status != self.over.get(number):  # a preempted job ends twice
            self.over[number] = child.status
            self.board.ended(number, self._outcome(child, child.ended, known))

    def _outcome(self, child: JobRun, ended: float, known: bool) -> Outcome:
        seconds = max(0.0, ended - max(child.started, self.opened))
        if child.status == "FINISHED":
            return Outcome("known" if known else "finished", seconds, metrics=child.metrics)
        return Outcome("killed" if child.status == "KILLED" else "failed", seconds, child.error)
