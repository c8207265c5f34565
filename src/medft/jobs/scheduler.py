"""Running jobs: up to `n_jobs` at once, each watched until it has ended and its end is logged."""

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
    """Gives jobs to a scheduler and hears how they end; here those of a sweep, all known from the start."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = deque(jobs)

    def next_job(self) -> Job | None:
        """The job to start now, which is frozen; None = there is none."""
        return self._waiting.popleft() if self._waiting else None

    def watch_job(self, job: Job, handle: Handle) -> None:
        """Called at every poll while a job runs."""

    def finish_job(self, job: Job, outcome: Outcome) -> Outcome:
        """Called when a job has ended and that is logged; returns the outcome to show."""
        return outcome


@dataclass
class _Running:
    job: Job
    handle: Handle
    slot: int
    has_begun: bool = False


class Scheduler:
    """Runs the jobs of a source with an executor, until there are no more."""

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
                self._poll()
                self._start()
        except BaseException:
            if not self._executor.outlives:
                for each in self._running:
                    each.handle.stop(INTERRUPTED)
                while self._running:
                    time.sleep(self._executor.pause)
                    self._poll()
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

    def _poll(self) -> None:
        for each in list(self._running):
            outcome = each.handle.poll()
            if not each.has_begun and (outcome or each.handle.has_begun()):
                each.has_begun = True
                self._progress.show_start(each.job.number, each.job.label)
            if outcome:
                self._running.remove(each)
                try:
                    outcome = settle(each.job.config, outcome, each.handle.started)
                except Exception as error:  # no store: other jobs continue, and the sweep's end logs this one again
                    warn(f"{each.job.label}: how it ended could not be logged: {error}")
                self._progress.show_end(each.job.number, self._source.finish_job(each.job, outcome))
            elif each.has_begun:
                self._source.watch_job(each.job, each.handle)
