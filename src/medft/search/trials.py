"""Running the trials of a search: as the jobs of a sweep are run, but asked for one by one, and given up early."""

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from medft.config.compose import compose_raw
from medft.errors import InputError
from medft.jobs.config import LauncherConfig
from medft.jobs.job import short_names
from medft.jobs.process import JobProcess, Outcome
from medft.jobs.progress import SweepProgress
from medft.jobs.scheduler import Scheduler, freeze_composed
from medft.runs.sweeps import child_of
from medft.runs.trials import discard_checkpoints, is_number, metric_history, running_id, tag_child
from medft.search.plan import SearchPlan, point
from medft.search.space import Value, short
from medft.search.study import COMPLETE, FAIL, PRUNED, RUNNING, SearchStudy

_POLL = 1.0  # seconds between looks at a trial's validation losses


class TrialScheduler(Scheduler):
    """The trials of one launch of a search; a job's number is its trial's.

    Args:
        own: the overrides that make a run the child of its search.
    """

    what, limit_key = "search", "search.time_limit"

    def __init__(self, plan: SearchPlan, study: SearchStudy, own: Sequence[str], board: SweepProgress) -> None:
        settings = plan.settings
        limits = LauncherConfig(n_jobs=settings.n_jobs, time_limit=settings.time_limit, grace=settings.grace)
        super().__init__({}, limits, board)
        self.plan, self.study, self.own = plan, study, own
        self.left = deque(each.number for each in study.trials(RUNNING))  # by an earlier launch, to be gone on with
        self.asked = missing(study)
        self.trials: dict[int, Any] = {}
        self.twins: dict[int, list[Any]] = defaultdict(list)  # trials that end as another, which still runs, will
        self.pruned: dict[int, str] = {}  # why
        self.reported: dict[int, int] = {}  # how many validations
        self.polled: dict[int, float] = {}
        self.is_stopping = False
        self.started = time.monotonic()

    def next(self) -> int | None:
        """A trial that was left running, else a new one."""
        while (trial := self._trial()) is not None:
            twin = self.study.twin(trial)
            if twin is None:
                self._freeze(trial)
                return int(trial.number)
            if twin.state == RUNNING:
                self.twins[twin.number].append(trial)
            else:
                self._copy(trial, twin)
        return None

    def watch(self, number: int, process: JobProcess) -> None:
        """Report what a trial has reached, and stop it if it falls behind."""
        if number in self.pruned or time.monotonic() - self.polled.get(number, 0.0) < _POLL:
            return
        self.polled[number] = time.monotonic()
        config = self.jobs[number].config
        run_id = running_id(config)
        if run_id is None:
            return
        why = self._report(number, metric_history(config, run_id, self.plan.settings.metric))
        if why:
            self.pruned[number] = why
            process.stop(why)

    def ended(self, number: int, outcome: Outcome) -> Outcome:
        """Tell Optuna; a trial that ends because the search is stopped stays running there, to be gone on with."""
        if self.is_stopping and outcome.status == "killed" and number not in self.pruned:
            return outcome
        config, metric = self.jobs[number].config, self.plan.settings.metric
        child = child_of(config)
        points = metric_history(config, child.run_id, metric) if child else []
        self._report(number, points)
        found = _best([value for _, value in points], self.plan.settings.direction)
        shown = replace(outcome, metrics={} if found is None else {metric: found})
        if outcome.status in ("finished", "known") and found is not None:
            self._tell(number, COMPLETE, found)
        elif outcome.status in ("finished", "known"):
            shown = replace(shown, status="failed", why=f"{metric} was never a number")
            self._tell(number, FAIL)
        elif outcome.status == "killed" and number in self.pruned:
            shown = replace(shown, status="pruned")
            self._tell(number, PRUNED)
        else:
            self._tell(number, FAIL)
        discard_checkpoints(config)
        return shown

    def _stop(self) -> None:
        self.is_stopping = True
        super()._stop()

    def _trial(self) -> Any | None:
        if self.left:
            return self.study.again(self.left.popleft())
        limit = self.plan.settings.timeout
        if self.asked <= 0 or (limit and time.monotonic() - self.started > limit):
            return None
        self.asked -= 1
        return self.study.ask()

    def _freeze(self, trial: Any) -> None:
        values = self.study.values(trial)
        label = trial_label(trial.number, values)
        try:
            raw = compose_raw([*self.plan.fixed, *point(values), *self.own], with_hydra=True)
            self.jobs[trial.number] = freeze_composed(raw, label)
        except InputError as error:
            self.study.tell(trial, FAIL)
            raise InputError(f"{label}: {error}") from None
        self.trials[trial.number] = trial
        self.reported[trial.number] = len(self.study.trials()[trial.number].intermediate_values)

    def _report(self, number: int, points: Sequence[tuple[int, float]]) -> str:
        """Report new validations by their number; why the trial is to be pruned, if it is."""
        trial, pruner, why = self.trials[number], self.plan.settings.pruner, ""
        for count, (step, value) in enumerate(points, start=1):
            if count <= self.reported[number]:
                continue
            trial.report(value if is_number(value) else float("nan"), count)
            self.reported[number] = count
            if not why and step >= pruner.warmup_steps and trial.should_prune():
                why = f"pruned at step {step}: {self.plan.settings.metric} {value:.4f} falls behind ({pruner.name})"
        return why

    def _tell(self, number: int, state: Any, value: float | None = None) -> None:
        tag_child(self.jobs[number].config, {"search.trial": str(number), "search.state": state.name.lower()})
        self.study.tell(self.trials[number], state, value)  # last: a search that is killed before does it all again
        for twin in self.twins.pop(number, []):
            self._copy(twin, self.study.trials()[number])

    def _copy(self, trial: Any, twin: Any) -> None:
        self.study.copy(trial, twin)
        label = f"{trial_label(trial.number, twin.params)} (the same as trial {twin.number})"
        self.board.started(trial.number, label)
        self.board.ended(trial.number, known_outcome(twin, self.plan.settings.metric))


def missing(study: SearchStudy) -> int:
    """How many new trials a launch makes; those that failed earlier do not count."""
    return max(0, study.settings.trials - len(study.trials(COMPLETE, PRUNED, RUNNING)))


def trial_label(number: int, values: dict[str, Value]) -> str:
    """What a trial is called, such as `trial=3, lr=0.00021`."""
    names = short_names(list(values))
    return ", ".join([f"trial={number}", *(f"{names[key]}={short(value)}" for key, value in values.items())])


def known_outcome(trial: Any, metric: str) -> Outcome:
    """How a trial of an earlier launch has ended."""
    if trial.state == COMPLETE:
        return Outcome("known", 0.0, metrics={metric: trial.value})
    return Outcome("pruned" if trial.state == PRUNED else "failed", 0.0)


def _best(values: Sequence[float], direction: str) -> float | None:
    numbers = [value for value in values if is_number(value)]
    return (min if direction == "minimize" else max)(numbers, default=None)
