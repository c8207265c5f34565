"""Running jobs: so many at once, watched until each has ended, and MLflow told how."""

import itertools
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from medft.console import warn
from medft.jobs.executors import Executor, Handle
from medft.jobs.job import Job
from medft.jobs.process import Outcome, settle
from medft.jobs.progress import SweepProgress

INTERRUPTED = "the command that started it was interrupted"


class JobSource:
    """Where jobs come from, and who hears of them: here those of a sweep, which are known before the first starts."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = deque(jobs)

    def next_job(self) -> Job | None:
        """The job to start now, which is frozen; None = there is none."""
        return self._waiting.popleft() if self._waiting else None

    def watch_job(self, job: Job, handle: Handle) -> None:
        """Called again and again while a job runs."""

    def finish_job(self, job: Job, outcome: Outcome) -> Outcome:
        """Called when a job has ended and MLflow knows how; returns what is to be shown."""
        return outcome


@dataclass
class _Running:
    job: Job
    handle: Handle
    slot: int
    has_begun: bool = False


class Scheduler:
    """Starts the jobs of a source with an executor, until there are no more."""

    def __init__(self, source: JobSource, executor: Executor, progress: SweepProgress) -> None:
        self._source, self._executor, self._progress = source, executor, progress
        self._running: list[_Running] = []

    def run(self) -> None:
        """Run all.

        Raises:
            KeyboardInterrupt: it was stopped; so were its jobs, unless they outlive it.
        """
        try:
            self._start()
            while self._running:
                self._progress.refresh()
                time.sleep(self._executor.pause)
                self._look()
                self._start()
        except BaseException:
            if not self._executor.outlives:
                for each in self._running:
                    each.handle.stop(INTERRUPTED)
                while self._running:
                    time.sleep(self._executor.pause)
                    self._look()
            raise

    def _start(self) -> None:
        taken = {each.slot for each in self._running}
        slots = itertools.count() if self._executor.n_jobs is None else range(self._executor.n_jobs)
        for slot in slots:
            if slot in taken:
                continue
            job = self._source.next_job()
            if job is None:
                return
            self._running.append(_Running(job, self._executor.start(job.folder, slot), slot))

    def _look(self) -> None:
        for each in list(self._running):
            outcome = each.handle.poll()
            if not each.has_begun and (outcome or each.handle.has_begun()):
                each.has_begun = True
                self._progress.show_start(each.job.number, each.job.label)
            if outcome:
                self._end(each, outcome)
            elif each.has_begun:
                self._source.watch_job(each.job, each.handle)

    def _end(self, ended: _Running, outcome: Outcome) -> None:
        self._running.remove(ended)
        job = ended.job
        try:
            outcome = settle(job.config, outcome, ended.handle.started)
        except Exception as error:  # a store that is away takes no other job along; the sweep's end makes up for it
            warn(f"{job.label}: how it ended could not be logged: {error}")
        self._progress.show_end(job.number, self._source.finish_job(job, outcome))
