"""Running the jobs of a sweep: frozen first, then so many at once, each in its own process."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medft.config.check import check
from medft.config.schema import Config
from medft.console import warn
from medft.jobs.config import LauncherConfig
from medft.jobs.devices import slot_environments
from medft.jobs.job import named
from medft.jobs.process import JobProcess, Outcome
from medft.jobs.progress import SweepProgress
from medft.jobs.worker import JOB
from medft.runs.status import finished, record_end
from medft.runs.sweeps import child_of

_PAUSE = 0.2  # seconds between looks at the processes


@dataclass(frozen=True)
class Job:
    """A job whose config is settled, and lies in its folder."""

    label: str
    folder: Path
    config: Config


def job_config(raw: DictConfig, label: str | None = None) -> Config:
    """The settled config of the job that HydraConfig tells of.

    Args:
        raw: composed, without its `hydra` section.
        label: of the job; None = made of the swept values.
    """
    job = HydraConfig.get()
    return check(named(raw, list(job.overrides.task), Path(job.sweep.dir).resolve(), label))


def freeze(config: Config) -> Job:
    """Write a job's config down, resolved, so that nothing edited while a sweep runs changes its later jobs."""
    folder = config.paths.output
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(config.resolved), folder / JOB)
    return Job(config.sweep.label or "", folder, config)


def launch(composed: Sequence[DictConfig], settings: LauncherConfig) -> list[Outcome]:
    """Run all jobs, `settings.n_jobs` at once; returns how each ended, in order.

    Raises:
        KeyboardInterrupt: the sweep was stopped; so were its jobs.
    """
    jobs = [freeze_composed(raw) for raw in composed]
    sweep = jobs[0].config.sweep
    with SweepProgress([job.label for job in jobs], settings.n_jobs, sweep.metric, sweep.direction) as board:
        outcomes = Scheduler(dict(enumerate(jobs)), settings, board).run()
    return [outcomes[number] for number in range(len(jobs))]


def freeze_composed(raw: DictConfig, label: str | None = None) -> Job:
    """The same for a composed config that still has its `hydra` section; `label` as for `job_config`."""
    HydraConfig.instance().set_config(raw)
    return freeze(job_config(OmegaConf.masked_copy(raw, [str(key) for key in raw if key != "hydra"]), label))


class Scheduler:
    """The jobs that wait, run and have ended, by number."""

    what, limit_key = "sweep", "hydra.launcher.time_limit"

    def __init__(self, jobs: dict[int, Job], settings: LauncherConfig, board: SweepProgress) -> None:
        self.jobs, self.settings, self.board = jobs, settings, board
        self.waiting, self.free = deque(jobs), slot_environments(settings.n_jobs)
        self.running: dict[int, tuple[JobProcess, dict[str, str]]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def run(self) -> dict[int, Outcome]:
        """Run all; returns how each ended.

        Raises:
            KeyboardInterrupt: it was stopped; so were its jobs.
        """
        try:
            self._start()
            while self.running:
                self.board.refresh()
                time.sleep(_PAUSE)
                self._collect()
                self._start()
        except BaseException:
            self._stop()
            raise
        return self.outcomes

    def next(self) -> int | None:
        """The number of the job to start now, which is in `jobs`; None = there is none."""
        return self.waiting.popleft() if self.waiting else None

    def watch(self, number: int, process: JobProcess) -> None:
        """Called again and again while a job runs."""

    def ended(self, number: int, outcome: Outcome) -> Outcome:
        """Called when a job has ended and MLflow knows how; returns what is to be shown."""
        return outcome

    def _start(self) -> None:
        while self.free and (number := self.next()) is not None:
            environment = self.free.pop(0)
            limit, grace = self.settings.time_limit, self.settings.grace
            process = JobProcess(self.jobs[number].folder, environment, limit, grace, self.limit_key)
            self.running[number] = process, environment
            self.board.started(number, self.jobs[number].label)

    def _collect(self) -> None:
        for number, (process, environment) in list(self.running.items()):
            if outcome := process.poll():
                self._end(number, outcome)
                self.free.append(environment)
            else:
                self.watch(number, process)

    def _end(self, number: int, outcome: Outcome) -> None:
        process, _ = self.running.pop(number)
        try:
            outcome = settled(self.jobs[number].config, outcome, process.started)
        except Exception as error:  # a store that is away takes no other job along; the sweep's end makes up for it
            warn(f"{self.jobs[number].label}: how it ended could not be logged: {error}")
        self.outcomes[number] = self.ended(number, outcome)
        self.board.ended(number, self.outcomes[number])

    def _stop(self) -> None:
        for process, _ in self.running.values():
            process.stop(f"the {self.what} was interrupted")
        for number, (process, _) in list(self.running.items()):
            self._end(number, process.wait())


def settled(config: Config, outcome: Outcome, started: float) -> Outcome:
    """An outcome as MLflow has it, and MLflow as the outcome has it: who was killed could not log that.

    Args:
        started: when its process was, seconds since 1970.
    """
    if outcome.status in ("finished", "known"):
        return outcome
    child = child_of(config)
    if child and finished(config, child) and (child.ended or 0) >= started:
        return Outcome("finished", outcome.seconds, metrics=child.metrics)  # ended after its last log
    if outcome.status == "failed" and child and child.status == "FAILED" and (child.ended or 0) >= started:
        return replace(outcome, why=child.error)
    record_end(config, started, "KILLED" if outcome.status == "killed" else "FAILED", outcome.why)
    return outcome
