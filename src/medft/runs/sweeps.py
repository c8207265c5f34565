"""Sweeps in MLflow: a parent run, a child run for each job, and what earlier launches of the same sweep have left."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from medft.config.schema import Config
from medft.errors import InputError
from medft.metrics.registry import METRICS, PRIMARY
from medft.runs.provenance import collect_code_tags
from medft.runs.store import connect, get_experiment_id, list_runs

KIND = "medft.kind"
SWEEP = "sweep"
PARENT = "mlflow.parentRunId"
SUPERSEDED = "superseded_by"  # tag of a run that a later run of the same job replaces
LABEL = "sweep.label"
NOTE = "mlflow.note.content"
ERROR, EXIT_CODE = "error", "exit_code"
_RESERVED = {"leaking", "device", "command", "output_dir", "config_hash", "judge_hash", "parameters", ERROR, EXIT_CODE}
_NOTE_LIMIT = 8000  # characters of a tag that MLflow keeps
OPEN = ("RUNNING", "SCHEDULED")
UNFINISHED = (*OPEN, "KILLED")  # a later launch resumes these


@dataclass(frozen=True)
class JobRun:
    """A job's run.

    Attributes:
        status: MLflow's: RUNNING, FINISHED, FAILED or KILLED.
        ended: seconds since 1970; infinite while it runs.
    """

    run_id: str
    label: str
    status: str
    ended: float
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def error(self) -> str:
        """Why it did not finish, in a line."""
        return " ".join(self.tags.get(ERROR, "").split())


class Sweep:
    """A sweep or a search in MLflow: its parent run, and the runs of its jobs.

    Args:
        config: of any job; says where runs are kept.
        run_id: of the parent; None = that of the config's job.
    """

    def __init__(self, config: Config, run_id: str | None = None) -> None:
        parent = run_id or config.job.parent
        assert parent
        self.config, self.client, self.run_id = config, connect(config), parent

    @cached_property
    def _run(self) -> Any:
        return self.client.get_run(self.run_id)

    @property
    def folder(self) -> Path:
        """The folder of its jobs."""
        return Path(self._run.data.tags["output_dir"])

    def set_tags(self, tags: Mapping[str, str], run_id: str | None = None) -> None:
        """Set or replace tags of the parent run, or of a job's."""
        for key, value in tags.items():
            self.client.set_tag(run_id or self.run_id, key, value)

    def log_figure(self, figure: Any, name: str) -> None:
        """Log a picture to the parent run."""
        self.client.log_figure(self.run_id, figure, name)

    def describe(self, name: str, keys: Sequence[str], command: str) -> None:
        """Log the question of a sweep, the keys it varies and the command that started it."""
        sweep = self.config.sweep
        texts = {"question": sweep.question, "reference": sweep.reference, "limits": sweep.limits}
        tags = {
            "mlflow.runName": name,
            "sweep.name": name,
            "sweep.keys": json.dumps(list(keys)),
            "sweep.metric": sweep.metric,
            "sweep.direction": sweep.direction,
            **{f"sweep.{key}": text or "" for key, text in texts.items()},
            "command": command,
        }
        self.set_tags({**tags, **collect_code_tags()})

    def close(self, status: str, description: str) -> None:
        """End the parent run, with a description in Markdown."""
        self.set_tags({NOTE: description[:_NOTE_LIMIT]})
        self.client.set_terminated(self.run_id, status)

    def format_link(self) -> str:
        """The address of a table of the jobs, the best first, within MLflow's pages."""
        query = {
            "searchFilter": self._filter,
            "orderByKey": f"metrics.`{self.config.sweep.metric}`",
            "orderByAsc": str(self.config.sweep.direction == "minimize").lower(),
            "workflowType": "machine_learning",
        }
        return f"#/experiments/{self._run.info.experiment_id}/runs?{urlencode(query, quote_via=quote)}"

    def list_all_runs(self) -> list[JobRun]:
        """All runs of the jobs, superseded ones too, the oldest first."""
        runs = list_runs(self.client, [self._run.info.experiment_id], self._filter)
        return [_read_job_run(run) for run in reversed(runs)]

    def list_job_runs(self) -> dict[str, JobRun]:
        """The newest run of each job, by label."""
        return {run.label: run for run in self.list_all_runs() if SUPERSEDED not in run.tags}

    @property
    def _filter(self) -> str:
        return f"tags.`{PARENT}` = '{self.run_id}'"


def open_sweep(config: Config, identity: str, folder: Path, kind: str = SWEEP) -> Sweep:
    """Open the parent run of a sweep: that of an earlier launch, or a new one with `sweep.fresh`.

    Args:
        config: of any job.
        folder: for its jobs, unless an earlier launch has one.
        kind: `sweep` or `search`.
    """
    client = connect(config)
    experiment = get_experiment_id(client, config)
    earlier = list_runs(client, [experiment], f"tags.`sweep.identity` = '{identity}'")
    if earlier and not config.sweep.fresh:
        client.update_run(earlier[0].info.run_id, status="RUNNING")
        return Sweep(config, earlier[0].info.run_id)
    for old in earlier:  # a launch that was killed could not end its runs
        runs = {run.run_id: run.status for run in Sweep(config, old.info.run_id).list_all_runs()}
        for run_id, status in {**runs, old.info.run_id: old.info.status}.items():
            if status in OPEN:
                client.set_terminated(run_id, "KILLED")
    tags = {KIND: kind, "sweep.identity": identity, "output_dir": str(folder), "mlflow.source.type": "LOCAL"}
    parent = client.create_run(experiment, run_name=config.sweep.name or kind, tags=tags)
    return Sweep(config, parent.info.run_id)


def find_job_run(config: Config) -> JobRun | None:
    """The newest run of a job, if it has one."""
    return Sweep(config).list_job_runs().get(config.job.label)


def make_job_tags(config: Config) -> dict[str, str]:
    """The tags that make a run the child of its sweep; none for a run of its own.

    A swept value whose name means something else among a run's tags gets a prefix.
    """
    if config.job.parent is None:
        return {}
    values = {f"swept.{name}" if name in _RESERVED else name: value for name, value in config.job.values.items()}
    return {PARENT: config.job.parent, LABEL: config.job.label, **values}


def supersede(config: Config, run_id: str) -> None:
    """Mark earlier runs of the same job, so that they count no more."""
    sweep = Sweep(config)
    for run in sweep.list_all_runs():
        if run.label == config.job.label and run.run_id != run_id:
            sweep.client.set_tag(run.run_id, SUPERSEDED, run_id)


def _read_job_run(run: Any) -> JobRun:
    tags, is_open = dict(run.data.tags), run.info.status in OPEN  # MLflow keeps an old end when a run is resumed
    return JobRun(
        run_id=run.info.run_id,
        label=tags.get(LABEL, run.info.run_name),
        status=run.info.status,
        ended=math.inf if is_open else run.info.end_time / 1000,
        metrics=dict(run.data.metrics),
        tags=tags,
    )


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as its parent run describes it: what was asked, and how.

    Attributes:
        keys: that were varied, in order, with `seed` if that was.
        reference: the variant to compare with; empty = the first.
        limits: what the sizes allow to conclude, in words.
        metric: what it was about, as the runs log it, such as `test/bits_per_byte`.
    """

    run_id: str
    name: str
    keys: list[str]
    question: str
    reference: str
    limits: str
    metric: str
    command: str
    started: datetime
    tags: Mapping[str, str]

    @property
    def settings(self) -> list[str]:
        """The keys that were varied, but the seed."""
        return [key for key in self.keys if key != "seed"]

    @property
    def primary(self) -> str:
        """The metric of the comparison; one that is not of test questions cannot be compared by question."""
        name = self.metric.removeprefix("test/").removesuffix("/score")
        can_rank = name.startswith("judge/") or (name in METRICS and METRICS[name].can_rank)
        return name if can_rank else PRIMARY


def is_sweep(run: Any) -> bool:
    """Whether a run is the parent of a sweep."""
    return bool(run.data.tags.get(KIND) == SWEEP)


def read_sweep(run: Any) -> SweepRecord:
    """Read the tags of a parent run.

    Raises:
        InputError: it is no sweep.
    """
    tags = dict(run.data.tags)
    if not is_sweep(run):
        raise InputError(f"parent={run.info.run_id}: this run is no sweep (medft compare takes any runs)")
    try:
        keys = [str(key) for key in json.loads(tags.get("sweep.keys", "[]"))]
    except (json.JSONDecodeError, TypeError):
        raise InputError(f"parent={run.info.run_id}: its tag sweep.keys is not a JSON list") from None
    return SweepRecord(
        run_id=run.info.run_id,
        name=tags.get("sweep.name") or run.info.run_name,
        keys=keys,
        question=tags.get("sweep.question", ""),
        reference=tags.get("sweep.reference", ""),
        limits=tags.get("sweep.limits", ""),
        metric=tags.get("sweep.metric", f"test/{PRIMARY}"),
        command=tags.get("command", ""),
        started=datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC),
        tags=tags,
    )
