"""What an earlier attempt at a run has left: nothing, an interrupted run to go on with, or all there is to know."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medft.config.schema import Config
from medft.console import say, warn
from medft.data.splits import Splits
from medft.errors import InputError
from medft.runs.provenance import collect_code_tags, config_hash
from medft.runs.splits import read_splits
from medft.runs.status import is_same_job
from medft.runs.sweeps import UNFINISHED, JobRun, find_job_run, list_children

FINGERPRINT = "dataset.fingerprint"


@dataclass(frozen=True)
class EarlierRun:
    """Where a run stands before it starts.

    Attributes:
        config: to run with; of an interrupted run with its checkpoint and its folder.
        run_id: the MLflow run to go on in; None = a new one.
        metrics: of a sweep's job that has finished; there is nothing left to do.
    """

    config: Config
    run_id: str | None = None
    metrics: dict[str, float] | None = None


def find_earlier_run(config: Config, splits: Splits) -> EarlierRun:
    """Look up what there is of this run: by `trainer.resume_from`, or by the job's config and data in its sweep.

    Raises:
        InputError: the checkpoint to resume from is not there, or is one of another config or of other data.
    """
    if config.trainer.resume_from:
        return EarlierRun(config, _run_of_checkpoint(config, splits))
    child = _same_job(config, splits) if config.job.parent else None
    if child is None:
        return EarlierRun(config)
    _warn_of_other_code(child, collect_code_tags())
    if child.status == "FINISHED":
        say(f"finished already (MLflow run {child.run_id}): nothing is left to do")
        return EarlierRun(config, child.run_id, child.metrics)
    return _go_on(config, child)


def _same_job(config: Config, splits: Splits) -> JobRun | None:
    """The newest run of this job, if it had the same config, the same data and the same judge, and did not fail."""
    # a run of this job only: another job of equal settings may be running it at this moment
    child = find_job_run(config)
    if child is None or child.status not in ("FINISHED", *UNFINISHED):
        return None
    is_same = is_same_job(config, child) and child.tags.get(FINGERPRINT) == splits.fingerprint
    return child if is_same else None


def find_finished_runs(configs: Sequence[Config]) -> dict[str, JobRun]:
    """The runs of those jobs of a sweep that have nothing left to do, by label.

    Data are read once for each way they are asked for, and only for jobs that have finished with just this config.
    """
    parent = configs[0].job.parent
    assert parent
    runs, fingerprints = list_children(configs[0], parent), dict[str, str | None]()
    finished: dict[str, JobRun] = {}
    for config in configs:
        run = runs.get(config.job.label)
        if run is None or run.status != "FINISHED" or not is_same_job(config, run):
            continue
        data = repr(config.dataset)
        if data not in fingerprints:
            fingerprints[data] = _fingerprint(config)
        if run.tags.get(FINGERPRINT) == fingerprints[data]:
            finished[config.job.label] = run
    code = collect_code_tags() if finished else {}
    for run in finished.values():
        _warn_of_other_code(run, code)
    return finished


def _fingerprint(config: Config) -> str | None:
    """Of the data as they are now; None = they cannot be read, which the job will say."""
    try:
        return read_splits(config).fingerprint
    except Exception:
        return None


def _warn_of_other_code(run: JobRun, code: Mapping[str, str]) -> None:
    if run.tags.get("git.commit") != code.get("git.commit"):
        warn(f"{run.label}: begun with other code (commit {run.tags.get('git.commit', 'unknown')[:10]})")


def _go_on(config: Config, child: JobRun) -> EarlierRun:
    """From the last checkpoint where there is one, else from the start, in the same MLflow run."""
    folder = Path(child.tags["output_dir"])
    checkpoint = folder / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file() or _run_json(folder).get("run_id") != child.run_id:
        say(f"interrupted before its first checkpoint (MLflow run {child.run_id}): begun anew in the same run")
        return EarlierRun(config, child.run_id)
    say(f"interrupted earlier: goes on from {checkpoint} in MLflow run {child.run_id}")
    trainer = config.trainer.model_copy(update={"resume_from": str(checkpoint)})
    paths = config.paths.model_copy(update={"output_dir": str(folder)})
    return EarlierRun(config.model_copy(update={"trainer": trainer, "paths": paths}), child.run_id)


def _run_of_checkpoint(config: Config, splits: Splits) -> str:
    checkpoint = config.trainer.resume_from
    assert checkpoint
    if not Path(checkpoint).is_file():
        raise InputError(f"trainer.resume_from={checkpoint}: no such checkpoint (a finished run has none left)")
    folder = Path(checkpoint).resolve().parents[1]
    run = _run_json(folder)
    if not run:
        raise InputError(f"trainer.resume_from={checkpoint}: no run.json beside it, so it is not a run's checkpoint")
    if run["config_hash"] != config_hash(config.resolved):
        raise InputError(
            f"trainer.resume_from={checkpoint}: the interrupted run had other settings (see config.yaml in "
            f"{os.path.relpath(folder)}); use the same command line, or start a new run"
        )
    if run["dataset_fingerprint"] != splits.fingerprint:
        raise InputError(f"trainer.resume_from={checkpoint}: the data is not what it was when the run was interrupted")
    return str(run["run_id"])


def _run_json(folder: Path) -> dict[str, str]:
    file = folder / "run.json"
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found
