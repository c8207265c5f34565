"""Running jobs, up to `n_jobs` at once: each is watched, and shown, until it has ended and its end is logged."""

import itertools
import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from rich.live import Live
from rich.table import Table

from medft.console import errors_console, say, warn
from medft.jobs.executors import Executor, Handle
from medft.jobs.plan import Job
from medft.jobs.process import Outcome, settle

INTERRUPTED = "the command that started it was interrupted"
_WORDS = {"finished": "done", "known": "done earlier", "pruned": "pruned", "failed": "FAILED", "killed": "KILLED"}
_ROWS = 20  # of the live table; the rest are counted


class SweepProgress:
    """The state of all jobs of a sweep.

    Args:
        labels: of the jobs, in order; a search gives them when they start.
        n_jobs: that run at once; None = no limit.
        metric, direction: that the best job is chosen by.
    """

    def __init__(self, labels: Sequence[str], n_jobs: int | None, metric: str, direction: str) -> None:
        self._labels, self._n_jobs, self._metric, self._direction = list(labels), n_jobs, metric, direction
        self._begun: dict[int, float] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._live = Live(console=errors_console, get_renderable=self._make_table, auto_refresh=False, transient=True)
        self._is_live = errors_console.is_terminal

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def add_known(self, number: int, label: str, outcome: Outcome) -> None:
        """Count a job that an earlier launch has ended, without showing it."""
        self._labels[number], self._begun[number], self._outcomes[number] = label, time.monotonic(), outcome

    def show_start(self, number: int, label: str | None = None) -> None:
        """Show that a job has started."""
        self._labels[number] = label or self._labels[number]
        self._begun[number] = time.monotonic()
        if not self._is_live:
            say(f"[{number + 1}/{len(self._labels)}] {self._labels[number]}: started")

    def show_end(self, number: int, outcome: Outcome) -> None:
        """Show how a job has ended, in this launch or an earlier one."""
        self._begun.setdefault(number, time.monotonic())
        self._outcomes[number] = outcome
        took = "" if outcome.status == "known" else f" after {format_duration(outcome.seconds)}"
        score = f", {self._metric} {text}" if (text := self._format_score(outcome)) else ""
        why = f": {outcome.why}" if outcome.why else ""
        text = f"[{number + 1}/{len(self._labels)}] {self._labels[number]}: {_WORDS[outcome.status]}{took}{score}{why}"
        if self._is_live:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            say(f"{text}; {self._headline()}")

    def refresh(self) -> None:
        """Show the time that has passed."""
        if self._is_live:
            self._live.refresh()

    @property
    def _running(self) -> list[int]:
        return [number for number in self._begun if number not in self._outcomes]

    def _headline(self) -> str:
        counts = Counter(outcome.status for outcome in self._outcomes.values())
        waiting = len(self._labels) - len(self._begun)
        pruned = f"{counts['pruned']} pruned, " if counts["pruned"] else ""
        done, failed = counts["finished"] + counts["known"], counts["failed"] + counts["killed"]
        parts = [f"{len(self._running)} running, {done} done, {pruned}{failed} failed, {waiting} waiting"]
        if left := self._estimate_seconds_left():
            parts.append(f"about {format_duration(left)} left")
        ended = sorted(self._outcomes.items())
        scores = {self._labels[n]: each.metrics.get(self._metric, math.nan) for n, each in ended}
        if scores := {label: score for label, score in scores.items() if math.isfinite(score)}:
            best = (min if self._direction == "minimize" else max)(scores, key=scores.__getitem__)
            parts.append(f"best {self._metric} {scores[best]:.4f} ({best})")
        return "; ".join(parts)

    def _estimate_seconds_left(self) -> float | None:
        """By the mean time of the jobs that have run from start to end."""
        took = [outcome.seconds for outcome in self._outcomes.values() if outcome.status == "finished"]
        if not took or len(self._outcomes) == len(self._labels):
            return None
        mean, now = sum(took) / len(took), time.monotonic()
        running = [max(0.0, mean - (now - self._begun[number])) for number in self._running]
        whole = sum(running) + mean * (len(self._labels) - len(self._begun))
        return max(max(running, default=0.0), whole / (self._n_jobs or max(1, len(running))))

    def _make_table(self) -> Table:
        table = Table(title=self._headline(), title_justify="left")
        for name in ("job", "state", "time", self._metric):
            table.add_column(name, justify="left" if name in ("job", "state") else "right", overflow="fold")
        newest_first = [*self._running, *reversed(self._outcomes)]
        for number in sorted(newest_first[:_ROWS]):
            outcome = self._outcomes.get(number)
            state = _WORDS[outcome.status] if outcome else "running"
            seconds = outcome.seconds if outcome else time.monotonic() - self._begun[number]
            score = self._format_score(outcome) if outcome else ""
            table.add_row(self._labels[number], state, format_duration(seconds), score)
        return table

    def _format_score(self, outcome: Outcome) -> str:
        return f"{outcome.metrics[self._metric]:.4f}" if self._metric in outcome.metrics else ""


def format_duration(seconds: float) -> str:
    """A time in words: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


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
        """Run all. What interrupts this, such as KeyboardInterrupt, stops the jobs too, unless they outlive it."""
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
            if (job := self._source.next_job()) is None:
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
