"""The trials of a search: an Optuna study in a database proposes them, and they run as jobs that it may prune."""

import hashlib
import logging
import math
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import TrialState
from typing_extensions import override

from medft.comparison.labels import shorten_keys
from medft.config.compose import compose_config
from medft.config.launchers import JobInfo
from medft.errors import InputError
from medft.jobs.executors import Handle
from medft.jobs.plan import Job, Value, freeze, job_command, make_job, swept_values
from medft.jobs.process import Outcome
from medft.jobs.scheduler import INTERRUPTED, JobSource
from medft.runs.local_run import read_local_run
from medft.runs.sweeps import Sweep
from medft.search.config import SamplerConfig, format_value, suggest
from medft.search.plan import SearchPlan, format_overrides

COMPLETE, PRUNED, FAIL, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING
TRIAL = "search.trial"  # tag of a trial's run: its number
_PAUSE = 1.0  # seconds between looks at a trial's validation losses
_INFINITE = 1e300  # databases keep an infinite value as their largest one


def open_storage(url: str | None, folder: Path) -> Any:
    """The database of trials, made if it is not there; without a URL it is sqlite in `folder`.

    Raises:
        InputError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "optuna.lock"):
            return optuna.storages.RDBStorage(url or f"sqlite:///{folder / 'optuna.db'}")
    except Exception as error:  # of any database driver, or that there is none
        raise InputError(f"search.storage: {' '.join(str(error).split())[:300]}") from None


class SearchStudy:
    """The trials of one search.

    Args:
        storage: of `open_storage`.
        name: of the study, which is made if it is not there.
    """

    def __init__(self, storage: Any, name: str, plan: SearchPlan) -> None:
        self.storage, self.plan = storage, plan
        direction, pruner = plan.settings.direction, _make_pruner(plan)
        self.study = optuna.create_study(
            storage=storage, study_name=name, direction=direction, pruner=pruner, load_if_exists=True
        )

    def list_trials(self, *states: Any) -> list[Any]:
        """Optuna's frozen trials by number, of all states unless some are named."""
        return list(self.study.get_trials(states=states or None))

    def count_missing(self) -> int:
        """The number of new trials that a launch makes; those that failed earlier do not count."""
        return max(0, self.plan.settings.trials - len(self.list_trials(COMPLETE, PRUNED, RUNNING)))

    def ask(self) -> Any:
        """A new trial, with its values."""
        self.study.sampler = _make_sampler(self.plan.settings.sampler, len(self.list_trials()))
        return self._suggest_values(self.study.ask())

    def resume_trial(self, number: int) -> Any:
        """A trial that an earlier launch has left running."""
        self.study.sampler = _make_sampler(self.plan.settings.sampler, number)
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        return self._suggest_values(optuna.Trial(self.study, trial_id))

    def tell(self, trial: Any, state: Any, value: float | None = None) -> None:
        """End a trial; one that has ended already stays as it is."""
        self.study.tell(trial, value if state == COMPLETE else None, state=state, skip_if_finished=True)

    def get_best_trial(self) -> Any | None:
        """The best of the completed trials."""
        return self.study.best_trial if self.list_trials(COMPLETE) else None

    def compute_importances(self) -> dict[str, float]:
        """The share of each key in what makes trials differ (PED-ANOVA, Watanabe et al. 2023); empty for few trials."""
        if len(self.list_trials(COMPLETE)) < 8:
            return {}
        try:
            return dict(optuna.importance.get_param_importances(self.study))
        except (ValueError, RuntimeError):  # all trials alike
            return {}

    def _suggest_values(self, trial: Any) -> Any:
        """Propose the values that a trial has not yet."""
        for key, space in self.plan.ranges.items():
            suggest(trial, key, space)
        return trial


def _make_sampler(settings: SamplerConfig, number: int) -> Any:
    """A sampler of its own for each trial: a search that was interrupted proposes what it would have anyway."""
    seed = int(hashlib.sha256(f"{settings.seed}-{number}".encode()).hexdigest()[:8], 16)
    if settings.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=settings.startup_trials)


def _make_pruner(plan: SearchPlan) -> Any:
    pruner = plan.settings.pruner
    if pruner.name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=pruner.startup_trials)
    if pruner.name == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=plan.resource, reduction_factor=pruner.reduction_factor)
    return optuna.pruners.NopPruner()


@dataclass
class _Trial:
    """A trial that runs."""

    trial: Any
    reported: int  # how many of its validations were reported to Optuna
    looked: float = 0.0  # when they were last read
    pruned: str = ""  # why it was pruned


class TrialJobs(JobSource):
    """The trials of one launch of a search, as a source of jobs; a job's number is its trial's."""

    def __init__(self, study: SearchStudy, sweep: Sweep) -> None:
        super().__init__([])  # they are made one by one
        self._plan, self._study, self._sweep = study.plan, study, sweep
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
        label, swept = label_trial(trial.number, values), swept_values(overrides, list(values))
        info = JobInfo(
            parent=self._sweep.run_id,
            label=label,
            values=swept,
            command=job_command(overrides, self._plan.in_experiment),
        )
        try:
            job = make_job(trial.number, self._sweep.settle(compose_config(overrides)), info, self._sweep.folder)
        except InputError as error:
            self._study.tell(trial, FAIL)
            raise InputError(f"{label}: {error}") from None
        freeze(job)
        self._running[job.number] = _Trial(trial, len(self._study.list_trials()[trial.number].intermediate_values))
        return job

    @override
    def watch_job(self, job: Job, handle: Handle) -> None:
        running = self._running[job.number]
        if running.pruned or time.monotonic() - running.looked < _PAUSE:
            return
        running.looked = time.monotonic()
        if run := read_local_run(job.folder):
            self._report(running, run.history(self._plan.settings.metric))
        if running.pruned:
            handle.stop(running.pruned)

    @override
    def finish_job(self, job: Job, outcome: Outcome) -> Outcome:
        running, settings = self._running.pop(job.number), self._plan.settings
        run = read_local_run(job.folder)
        points = run.history(settings.metric) if run else []
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
            run.set_tags({TRIAL: str(job.number), "search.state": state.name.lower()})
        # last: a search that is killed before does it all again
        self._study.tell(running.trial, state, best)
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
        return shown

    def _report(self, running: _Trial, points: Sequence[tuple[int, float]]) -> None:
        """Report new validations by their number, until the trial is to be pruned."""
        metric, pruner = self._plan.settings.metric, self._plan.settings.pruner
        for count, (step, value) in enumerate(points[running.reported :], start=running.reported + 1):
            running.trial.report(value if _is_number(value) else float("nan"), count)
            running.reported = count
            if not running.pruned and step >= pruner.warmup_steps and running.trial.should_prune():
                running.pruned = f"pruned at step {step}: {metric} {value:.4f} falls behind ({pruner.name})"


def label_trial(number: int, values: Mapping[str, Value]) -> str:
    """The label of a trial, such as `trial=3, lr=0.00021`."""
    names = shorten_keys(list(values))
    return ", ".join([f"trial={number}", *(f"{names[key]}={format_value(value)}" for key, value in values.items())])


def _is_number(value: float) -> bool:
    """Whether a logged value is neither NaN nor infinite."""
    return math.isfinite(value) and abs(value) < _INFINITE
