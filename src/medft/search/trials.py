"""The trials of a search as jobs: started one by one, watched, and pruned."""

import math
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import override

from medft.comparison.labels import shorten_keys
from medft.config.compose import compose_config
from medft.config.schema import JobInfo
from medft.errors import InputError
from medft.jobs.executors import Handle
from medft.jobs.job import Job, freeze, job_command, make_job, swept_values
from medft.jobs.process import Outcome
from medft.jobs.scheduler import INTERRUPTED, JobSource
from medft.runs.resume import read_run_json
from medft.runs.store import read_history
from medft.runs.sweeps import Sweep
from medft.search.plan import SearchPlan, format_overrides
from medft.search.space import Value, format_value
from medft.search.study import COMPLETE, FAIL, PRUNED, RUNNING, SearchStudy

TRIAL = "search.trial"  # tag of a trial's run: its number
_PAUSE = 1.0  # seconds between looks at a trial's validation losses
_INFINITE = 1e300  # databases keep an infinite value as their largest one


@dataclass
class _Trial:
    """A trial that runs.

    Attributes:
        reported: how many of its validations were reported to Optuna.
        looked: when they were last read.
        pruned: why it was pruned.
    """

    trial: Any
    reported: int
    looked: float = 0.0
    pruned: str = ""


class TrialSource(JobSource):
    """The trials of one launch of a search, as a source of jobs; a job's number is its trial's."""

    def __init__(self, plan: SearchPlan, study: SearchStudy, sweep: Sweep) -> None:
        super().__init__([])  # they are made one by one
        self._plan, self._study, self._sweep = plan, study, sweep
        self._interrupted = deque(each.number for each in study.list_trials(RUNNING))  # in an earlier launch
        self._left, self._started = study.count_missing(), time.monotonic()
        self._running: dict[int, _Trial] = {}

    @override
    def next_job(self) -> Job | None:
        limit = self._plan.settings.timeout
        if self._interrupted:
            trial = self._study.resume_trial(self._interrupted.popleft())
        elif self._left <= 0 or (limit and time.monotonic() - self._started > limit):
            return None
        else:
            self._left -= 1
            trial = self._study.ask()
        values = {key: trial.params[key] for key in self._plan.ranges}
        overrides = [*self._plan.fixed, *format_overrides(values)]
        info = JobInfo(
            parent=self._sweep.run_id,
            label=label_trial(trial.number, values),
            values=swept_values(overrides, list(values)),
            command=job_command(overrides),
        )
        try:
            job = make_job(trial.number, compose_config(overrides), info, self._sweep.folder)
        except InputError as error:
            self._study.tell(trial, FAIL)
            raise InputError(f"{info.label}: {error}") from None
        freeze(job)
        reported = len(self._study.list_trials()[trial.number].intermediate_values)
        self._running[job.number] = _Trial(trial, reported)
        return job

    @override
    def watch_job(self, job: Job, handle: Handle) -> None:
        running = self._running[job.number]
        if running.pruned or time.monotonic() - running.looked < _PAUSE:
            return
        running.looked = time.monotonic()
        if run_id := read_run_json(job.folder).get("run_id"):
            self._report(running, read_history(self._sweep.client, run_id, self._plan.settings.metric))
        if running.pruned:
            handle.stop(running.pruned)

    @override
    def finish_job(self, job: Job, outcome: Outcome) -> Outcome:
        running, settings = self._running.pop(job.number), self._plan.settings
        run = self._sweep.list_job_runs().get(job.label)
        points = read_history(self._sweep.client, run.run_id, settings.metric) if run else []
        was_pruned = bool(running.pruned)
        self._report(running, points)
        numbers = [value for _, value in points if _is_number(value)]
        best = (min if settings.direction == "minimize" else max)(numbers, default=None)
        shown, state = replace(outcome, metrics={} if best is None else {settings.metric: best}), FAIL
        if outcome.status in ("finished", "known"):
            if best is None:
                shown = replace(shown, status="failed", why=f"{settings.metric} was never a number")
            else:
                state = COMPLETE
        elif outcome.status == "killed" and was_pruned:
            state, shown = PRUNED, replace(shown, status="pruned")
        elif outcome.status == "killed" and outcome.why == INTERRUPTED:
            return shown  # the same command resumes it
        if run:
            self._sweep.set_tags({TRIAL: str(job.number), "search.state": state.name.lower()}, run.run_id)
        # last: a search that is killed before does it all again
        self._study.tell(running.trial, state, best if state == COMPLETE else None)
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
        return shown

    def _report(self, running: _Trial, points: Sequence[tuple[int, float]]) -> None:
        """Report new validations by their number, until the trial is to be pruned."""
        settings = self._plan.settings
        for count, (step, value) in enumerate(points[running.reported :], start=running.reported + 1):
            running.trial.report(value if _is_number(value) else float("nan"), count)
            running.reported = count
            if not running.pruned and step >= settings.pruner.warmup_steps and running.trial.should_prune():
                name = settings.pruner.name
                running.pruned = f"pruned at step {step}: {settings.metric} {value:.4f} falls behind ({name})"


def label_trial(number: int, values: Mapping[str, Value]) -> str:
    """The label of a trial, such as `trial=3, lr=0.00021`."""
    names = shorten_keys(list(values))
    return ", ".join([f"trial={number}", *(f"{names[key]}={format_value(value)}" for key, value in values.items())])


def _is_number(value: float) -> bool:
    """Whether a logged value is neither NaN nor infinite."""
    return math.isfinite(value) and abs(value) < _INFINITE
