"""Sweeps in MLflow: a parent run, a child run for each job, and what earlier launches of the same sweep have left."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from medft.config.schema import Config
from medft.runs.provenance import collect_code_tags
from medft.runs.store import connect, get_experiment_id, list_runs

KIND = "medft.kind"
SWEEP = "sweep"
PARENT = "mlflow.parentRunId"
SUPERSEDED = "superseded_by"  # a child that a later run of the same job stands for
LABEL = "sweep.label"
NOTE = "mlflow.note.content"
ERROR, EXIT_CODE = "error", "exit_code"
_RESERVED = {"leaking", "device", "command", "output_dir", "config_hash", "judge_hash", "parameters", ERROR, EXIT_CODE}
_NOTE_LIMIT = 8000  # characters of a tag that MLflow keeps
OPEN = ("RUNNING", "SCHEDULED")
UNFINISHED = (*OPEN, "KILLED")  # a later launch goes on with these


@dataclass(frozen=True)
class JobRun:
    """A job's run.

    Attributes:
        status: MLflow's: RUNNING, FINISHED, FAILED or KILLED.
        started: seconds since 1970, when the job was first begun.
        ended: seconds since 1970; None while it runs.
    """

    run_id: str
    label: str
    status: str
    started: float
    ended: float | None
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def error(self) -> str:
        """Why it did not finish, in a line."""
        return " ".join(self.tags.get(ERROR, "").split())


def open_parent(config: Config, identity: str, folder: Path, kind: str = SWEEP) -> tuple[str, Path]:
    """The parent run of a sweep, RUNNING: that of an earlier launch, or a new one with `sweep.fresh`.

    Args:
        config: of any job; says where runs are kept.
        identity: of the sweep.
        folder: for its jobs, unless an earlier launch has one.
        kind: `sweep` or `search`.

    Returns:
        The run's id and the folder for its jobs.
    """
    client = connect(config)
    experiment = get_experiment_id(client, config)
    earlier = list_runs(client, [experiment], f"tags.`sweep.identity` = '{identity}'")
    if earlier and not config.sweep.fresh:
        parent = earlier[0]
        client.update_run(parent.info.run_id, status="RUNNING")
        return parent.info.run_id, Path(parent.data.tags["output_dir"])
    for old in earlier:  # a launch that was killed could not end its runs
        for child in list_all_children(config, old.info.run_id):
            if child.status in OPEN:
                client.set_terminated(child.run_id, "KILLED")
        if old.info.status in OPEN:
            client.set_terminated(old.info.run_id, "KILLED")
    tags = {KIND: kind, "sweep.identity": identity, "output_dir": str(folder), "mlflow.source.type": "LOCAL"}
    parent = client.create_run(experiment, run_name=config.sweep.name or kind, tags=tags)
    return parent.info.run_id, folder


def describe_parent(config: Config, parent: str, name: str, swept: Sequence[str], command: str) -> None:
    """Log what a sweep asks and what it was started with."""
    client, sweep = connect(config), config.sweep
    texts = {"question": sweep.question, "reference": sweep.reference, "limits": sweep.limits}
    tags = {
        "mlflow.runName": name,
        "sweep.name": name,
        "sweep.keys": json.dumps(list(swept)),
        "sweep.metric": sweep.metric,
        "sweep.direction": sweep.direction,
        **{f"sweep.{key}": text or "" for key, text in texts.items()},
        "command": command,
        **collect_code_tags(),
    }
    for key, value in tags.items():
        client.set_tag(parent, key, value)


def close_parent(config: Config, parent: str, status: str, note: str) -> None:
    """End the parent run, with a description in Markdown."""
    client = connect(config)
    client.set_tag(parent, NOTE, note[:_NOTE_LIMIT])
    client.set_terminated(parent, status)


def format_children_link(config: Config, parent: str) -> str:
    """The address of a table of a sweep's jobs, the best first, within MLflow's pages."""
    experiment, sweep = connect(config).get_run(parent).info.experiment_id, config.sweep
    query = {
        "searchFilter": f"tags.`{PARENT}` = '{parent}'",
        "orderByKey": f"metrics.`{sweep.metric}`",
        "orderByAsc": str(sweep.direction == "minimize").lower(),
        "workflowType": "machine_learning",
    }
    return f"#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"


def list_children(config: Config, parent: str) -> dict[str, JobRun]:
    """The newest run of each job of a sweep, by label."""
    return {child.label: child for child in list_all_children(config, parent) if SUPERSEDED not in child.tags}


def list_all_children(config: Config, parent: str) -> list[JobRun]:
    """All runs of the jobs of a sweep, those that later ones stand for too, the oldest first."""
    client = connect(config)
    experiment = client.get_run(parent).info.experiment_id
    return [_child(run) for run in reversed(list_runs(client, [experiment], f"tags.`{PARENT}` = '{parent}'"))]


def find_job_run(config: Config) -> JobRun | None:
    """The newest run of this job, if it has one."""
    assert config.job.parent
    return list_children(config, config.job.parent).get(config.job.label)


def make_job_tags(config: Config) -> dict[str, str]:
    """What makes a run the child of its sweep; empty for a run of its own."""
    if config.job.parent is None:
        return {}
    values = {tag_name(name): value for name, value in config.job.values.items()}
    return {PARENT: config.job.parent, LABEL: config.job.label, **values}


def tag_name(name: str) -> str:
    """The tag of a swept value; a name that means something else among a run's tags gets a prefix."""
    return f"swept.{name}" if name in _RESERVED else name


def supersede(config: Config, run_id: str) -> None:
    """Mark earlier runs of the same job, so that they count no more."""
    assert config.job.parent
    client = connect(config)
    for child in list_all_children(config, config.job.parent):
        if child.label == config.job.label and child.run_id != run_id:
            client.set_tag(child.run_id, SUPERSEDED, run_id)


def _child(run: Any) -> JobRun:
    ended, tags = run.info.end_time, dict(run.data.tags)
    if run.info.status in OPEN:
        ended = None  # MLflow keeps the old one when a run goes on
    return JobRun(
        run_id=run.info.run_id,
        label=tags.get(LABEL, run.info.run_name),
        status=run.info.status,
        started=run.info.start_time / 1000,
        ended=ended / 1000 if ended else None,
        metrics=dict(run.data.metrics),
        tags=tags,
    )
