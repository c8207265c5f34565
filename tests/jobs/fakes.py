"""Jobs that no process runs: an executor whose jobs log what real ones do, and end as they are told."""

from collections.abc import Callable, Mapping
from pathlib import Path

from medft.config.schema import Config
from medft.jobs.plan import load_frozen
from medft.jobs.process import Outcome
from medft.runs.local_run import LocalRun
from medft.runs.provenance import config_hash, judge_hash
from medft.runs.splits import read_splits
from medft.runs.sweeps import make_job_tags

METRIC = "test/bits_per_byte"


class FakeHandle:
    """A job that has ended as soon as it is asked, or never."""

    def __init__(self, outcome: Outcome | None) -> None:
        self.started, self.outcome = 0.0, outcome

    def has_begun(self) -> bool:
        return True

    def poll(self) -> Outcome | None:
        return self.outcome

    def stop(self, why: str) -> None:
        self.outcome = Outcome("killed", 1.0, why)


class FakeExecutor:
    """Ends jobs as `run` says, which gets the config that was frozen into the job's folder."""

    pause = 0.0

    def __init__(self, run: Callable[[Config], Outcome | None], n_jobs: int | None = 1, outlives: bool = False) -> None:
        self.run, self.n_jobs, self.outlives = run, n_jobs, outlives
        self.started: list[str] = []
        self.slots: list[int] = []

    def start(self, folder: Path, slot: int) -> FakeHandle:
        config = load_frozen(folder)
        self.started.append(config.job.label)
        self.slots.append(slot)
        return FakeHandle(self.run(config))


def log_run(config: Config, status: str = "FINISHED", metrics: Mapping[str, float] | None = None, **tags: str) -> str:
    """Log what makes the run of a job known again, and end it."""
    known = {
        "config_hash": config_hash(config.resolved),
        "judge_hash": judge_hash(config.resolved),
        "dataset.fingerprint": read_splits(config).fingerprint,
        "output_dir": str(config.paths.output),
    }
    run = LocalRun.create(config, config.paths.output, config.job.label, {**make_job_tags(config), **known, **tags})
    run.log_metrics(metrics or {})
    if status != "RUNNING":
        run.set_status(status)
    return run.run_id


def finish(config: Config) -> Outcome:
    """A job that ends well; the more its seed, the better."""
    metrics = {METRIC: 1 / (1 + config.seed)}
    log_run(config, metrics=metrics)
    return Outcome("finished", 1.0, metrics=metrics)
