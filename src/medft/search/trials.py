"""The trials of a search as jobs: asked for one by one, watched, and given up early."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medft.comparison.labels import shorten_keys
from medft.config.compose import compose_config
from medft.config.schema import JobInfo
from medft.errors import InputError
from medft.jobs.executors import Handle
from medft.jobs.job import Job, freeze, job_command, make_job, swept_values
from medft.jobs.process import Outcome
from medft.jobs.scheduler import INTERRUPTED, JobSource
from medft.runs.sweeps import find_job_run
from medft.runs.trials import discard_checkpoints, is_number, metric_history, read_run_id, tag_child
from medft.search.plan import SearchPlan, format_overrides
from medft.search.space import Value, format_value
from medft.search.study import COMPLETE, FAIL, PRUNED, RUNNING, SearchStudy

_PAUSE = 1.0  # seconds between looks at a trial's validation losses


@dataclass
class _Trial:
    """A trial that runs.

    Attributes:
        reported: how many of its validations Optuna has heard of.
        looked: when they were last asked for.
        pruned: why it was given up.
    """

    trial: Any
    reported: int
    looked: float = 0.0
    pruned: str = ""


class TrialSource(JobSource):
    """The trials of one launch of a search, as a source of jobs; a job's number is its trial's.

    Args:
        parent: the search's MLflow run.
        folder: for the trials.
    """

    def __init__(self, plan: SearchPlan, study: SearchStudy, parent: str, folder: Path) -> None:
        super().__init__([])  # they are asked for one by one
        self._plan, self._study, self._parent, self._folder = plan, study, parent, folder
        self._interrupted = deque(each.number for each in study.list_trials(RUNNING))  # in an earlier launch
        self._left, self._started = count_missing(study), time.monotonic()
        self._running: dict[int, _Trial] = {}

    def next_job(self) -> Job | None:
        """A trial that was interrupted, else a new one while there are some left and there is time."""
        limit = self._plan.settings.timeout
        if self._interrupted:
            trial = self._study.resume_trial(self._interrupted.popleft())
        elif self._left <= 0 or (limit and time.monotonic() - self._started > limit):
            return None
        else:
            self._left -= 1
            trial = self._study.ask()
        values = self._study.suggest_values(trial)
        overrides = [*self._plan.fixed, *format_overrides(values)]
        info = JobInfo(
            parent=self._parent,
            label=label_trial(trial.number, values),
            values=swept_values(overrides, list(values)),
            command=job_command(overrides),
        )
        try:
            job = make_job(trial.number, compose_config(overrides), info, self._folder)
        except InputError as error:
            self._study.tell(trial, FAIL)
            raise InputError(f"{info.label}: {error}") from None
        freeze(job)
        reported = len(self._study.list_trials()[trial.number].intermediate_values)
        self._running[job.number] = _Trial(trial, reported)
        return job

    def watch_job(self, job: Job, handle: Handle) -> None:
        """Report what a trial has reached, and stop it if it falls behind."""
        running = self._running[job.number]
        if running.pruned or time.monotonic() - running.looked < _PAUSE:
            return
        running.looked = time.monotonic()
        run_id = read_run_id(job.config)
        if run_id is None:
            return
        self._report(running, metric_history(job.config, run_id, self._plan.settings.metric))
        if running.pruned:
            handle.stop(running.pruned)

    def finish_job(self, job: Job, outcome: Outcome) -> Outcome:
        """Tell Optuna how a trial ended, and remove its checkpoints."""
        running, settings = self._running.pop(job.number), self._plan.settings
        child = find_job_run(job.config)
        points = metric_history(job.config, child.run_id, settings.metric) if child else []
        was_pruned = bool(running.pruned)
        self._report(running, points)
        numbers = [value for _, value in points if is_number(value)]
        best = (min if settings.direction == "minimize" else max)(numbers, default=None)
        shown = replace(outcome, metrics={} if best is None else {settings.metric: best})
        if outcome.status in ("finished", "known"):
            state = FAIL if best is None else COMPLETE
            if best is None:
                shown = replace(shown, status="failed", why=f"{settings.metric} was never a number")
        elif outcome.status == "killed" and was_pruned:
            state, shown = PRUNED, replace(shown, status="pruned")
        elif outcome.status == "killed" and outcome.why == INTERRUPTED:
            return shown  # it is gone on with by the same command
        else:
            state = FAIL
        tag_child(job.config, {"search.trial": str(job.number), "search.state": state.name.lower()})
        # last: a search that is killed before does it all again
        self._study.tell(running.trial, state, best if state == COMPLETE else None)
        discard_checkpoints(job.config)
        return shown

    def _report(self, running: _Trial, points: Sequence[tuple[int, float]]) -> None:
        """Report new validations by their number, until the trial is to be pruned."""
        settings = self._plan.settings
        for count, (step, value) in enumerate(points, start=1):
            if count <= running.reported:
                continue
            running.trial.report(value if is_number(value) else float("nan"), count)
            running.reported = count
            if not running.pruned and step >= settings.pruner.warmup_steps and running.trial.should_prune():
                name = settings.pruner.name
                running.pruned = f"pruned at step {step}: {settings.metric} {value:.4f} falls behind ({name})"


def count_missing(study: SearchStudy) -> int:
    """How many new trials a launch makes; those that failed earlier do not count."""
    return max(0, study.settings.trials - len(study.list_trials(COMPLETE, PRUNED, RUNNING)))


def label_trial(number: int, values: dict[str, Value]) -> str:
    """What a trial is called, such as `trial=3, lr=0.00021`."""
    names = shorten_keys(list(values))
    return ", ".join([f"trial={number}", *(f"{names[key]}={format_value(value)}" for key, value in values.items())])


def get_known_outcome(trial: Any, metric: str) -> Outcome:
    """How a trial of an earlier launch has ended."""
    if trial.state == COMPLETE:
        return Outcome("known", 0.0, metrics={metric: trial.value})
    return Outcome("pruned" if trial.state == PRUNED else "failed", 0.0)
