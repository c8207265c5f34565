"""What a sweep shows while it runs: a live table on a terminal, else a line whenever a job begins or ends."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

from rich.live import Live
from rich.table import Table

from medft.console import errors_console, say
from medft.jobs.process import Outcome

_WORDS = {"finished": "done", "known": "done earlier", "pruned": "pruned", "failed": "FAILED", "killed": "KILLED"}
_ROWS = 20  # of the live table; the rest are counted


class SweepProgress:
    """The state of all jobs of a sweep.

    Args:
        labels: of the jobs, in order; a search says them when they begin.
        n_jobs: that run at once; None = as many as are seen to.
        metric, direction: by which the best job is found.
    """

    def __init__(self, labels: Sequence[str], n_jobs: int | None, metric: str, direction: str) -> None:
        self._labels, self._n_jobs, self._metric, self._direction = list(labels), n_jobs, metric, direction
        self._begun: dict[int, float] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._live = Live(console=errors_console, get_renderable=self._table, auto_refresh=False, transient=True)
        self._is_live = errors_console.is_terminal

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def add_known(self, number: int, label: str, outcome: Outcome) -> None:
        """A job had ended before; nothing is shown of it but in what is counted."""
        self._labels[number], self._begun[number], self._outcomes[number] = label, time.monotonic(), outcome

    def show_start(self, number: int, label: str | None = None) -> None:
        """A job has begun."""
        self._labels[number] = label or self._labels[number]
        self._begun[number] = time.monotonic()
        if not self._is_live:
            say(f"[{number + 1}/{len(self._labels)}] {self._labels[number]}: started")

    def show_end(self, number: int, outcome: Outcome) -> None:
        """A job has ended, or had before this launch."""
        self._begun.setdefault(number, time.monotonic())
        self._outcomes[number] = outcome
        text = f"[{number + 1}/{len(self._labels)}] {self._labels[number]}: {self._words(outcome)}"
        if self._is_live:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            say(f"{text}; {self._headline()}")

    def refresh(self) -> None:
        """Show the time that has passed."""
        if self._is_live:
            self._live.refresh()

    def _words(self, outcome: Outcome) -> str:
        value = outcome.metrics.get(self._metric)
        score = f", {self._metric} {value:.4f}" if value is not None else ""
        took = "" if outcome.status == "known" else f" after {format_duration(outcome.seconds)}"
        return f"{_WORDS[outcome.status]}{took}{score}{': ' * bool(outcome.why)}{outcome.why}"

    def _headline(self) -> str:
        counts = Counter(outcome.status for outcome in self._outcomes.values())
        done, bad = counts["finished"] + counts["known"], counts["failed"] + counts["killed"]
        running = len(self._begun) - len(self._outcomes)
        pruned = f"{counts['pruned']} pruned, " if counts["pruned"] else ""
        parts = [
            f"{running} running, {done} done, {pruned}{bad} failed, {len(self._labels) - len(self._begun)} waiting"
        ]
        if left := self._seconds_left():
            parts.append(f"about {format_duration(left)} left")
        if best := self._best():
            parts.append(f"best {self._metric} {self._outcomes[best[0]].metrics[self._metric]:.4f} ({best[1]})")
        return "; ".join(parts)

    def _seconds_left(self) -> float | None:
        """By the mean of the jobs that have run whole."""
        took = [outcome.seconds for outcome in self._outcomes.values() if outcome.status == "finished"]
        if not took or len(self._outcomes) == len(self._labels):
            return None
        mean, now = sum(took) / len(took), time.monotonic()
        running = [
            max(0.0, mean - (now - begun)) for number, begun in self._begun.items() if number not in self._outcomes
        ]
        return (sum(running) + mean * (len(self._labels) - len(self._begun))) / (self._n_jobs or max(1, len(running)))

    def _best(self) -> tuple[int, str] | None:
        scored = {n: each.metrics[self._metric] for n, each in self._outcomes.items() if self._metric in each.metrics}
        if not scored:
            return None
        best = (min if self._direction == "minimize" else max)(scored, key=lambda number: scored[number])
        return best, self._labels[best]

    def _table(self) -> Table:
        grid = Table(title=self._headline(), title_justify="left")
        for name in ("job", "state", "time", self._metric):
            grid.add_column(name, justify="left" if name in ("job", "state") else "right", overflow="fold")
        running = [number for number in self._begun if number not in self._outcomes]
        shown = sorted([*running, *list(self._outcomes)[-(_ROWS - len(running)) :]])
        for number in shown:
            grid.add_row(*self._row(number))
        return grid

    def _row(self, number: int) -> tuple[str, str, str, str]:
        outcome = self._outcomes.get(number)
        if outcome is None:
            return self._labels[number], "running", format_duration(time.monotonic() - self._begun[number]), ""
        value = outcome.metrics.get(self._metric)
        score = "" if value is None else f"{value:.4f}"
        return self._labels[number], _WORDS[outcome.status], format_duration(outcome.seconds), score


def format_duration(seconds: float) -> str:
    """A time as people say it: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
