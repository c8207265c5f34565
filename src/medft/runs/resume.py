"""What an earlier attempt at a run has left: nothing, an interrupted run to resume, or a finished one."""

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
from medft.runs.status import is_finished_run, is_same_job
from medft.runs.sweeps import UNFINISHED, JobRun, Sweep, find_job_run

FINGERPRINT = "dataset.fingerprint"


@dataclass(frozen=True)
class EarlierRun:
    """Where a run stands before it starts.

    Attributes:
        config: to run with; of an interrupted run with its checkpoint and its folder.
        run_id: the MLflow run to resume; None = a new one.
        metrics: of a sweep's job that has finished; there is nothing left to do.
    """

    config: Config
    run_id: str | None = None
    metrics: dict[str, float] | None = None


def find_earlier_run(config: Config, splits: Splits) -> EarlierRun:
    """Look up an earlier attempt at this run: by `trainer.resume_from`, or by the job's config and data in its sweep.

    Raises:
        InputError: the checkpoint to resume from is not there, or is one of another config or of other data.
    """
    if config.trainer.resume_from:
        return EarlierRun(config, _find_run_of_checkpoint(config, config.trainer.resume_from, splits))
    # a run of this job only: another job of equal settings may be running it at this moment
    run = find_job_run(config) if config.job.parent else None
    if run is None or run.status not in ("FINISHED", *UNFINISHED):
        return EarlierRun(config)
    if not is_same_job(config, run) or run.tags.get(FINGERPRINT) != splits.fingerprint:
        return EarlierRun(config)
    _warn_of_other_code(run, collect_code_tags())
    if run.status == "FINISHED":
        say(f"finished already (MLflow run {run.run_id}): nothing is left to do")
        return EarlierRun(config, run.run_id, run.metrics)
    folder = Path(run.tags["output_dir"])
    checkpoint = folder / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file() or read_run_json(folder).get("run_id") != run.run_id:
        say(f"interrupted before its first checkpoint (MLflow run {run.run_id}): begun anew in the same run")
        return EarlierRun(config, run.run_id)
    say(f"interrupted earlier: goes on from {checkpoint} in MLflow run {run.run_id}")
    trainer = config.trainer.model_copy(update={"resume_from": str(checkpoint)})
    paths = config.paths.model_copy(update={"output_dir": str(folder)})
    return EarlierRun(config.model_copy(update={"trainer": trainer, "paths": paths}), run.run_id)


def find_finished_runs(configs: Sequence[Config]) -> dict[str, JobRun]:
    """The runs of those jobs of a sweep that have nothing left to do, by label.

    Data are read once for each `dataset` section, and only for jobs that have finished with just this config.
    """
    runs, fingerprints = Sweep(configs[0]).list_job_runs(), dict[str, str | None]()
    finished: dict[str, JobRun] = {}
    for config in configs:
        run = runs.get(config.job.label)
        if run is None or not is_finished_run(config, run):
            continue
        data = repr(config.dataset)
        if data not in fingerprints:
            try:
                fingerprints[data] = read_splits(config).fingerprint
            except Exception:  # the job itself says what is wrong with its data
                fingerprints[data] = None
        if run.tags.get(FINGERPRINT) == fingerprints[data]:
            finished[config.job.label] = run
    code = collect_code_tags() if finished else {}
    for run in finished.values():
        _warn_of_other_code(run, code)
    return finished


def read_run_json(folder: Path) -> dict[str, str]:
    """What run.json in a run's folder says of its MLflow run; empty where there is none."""
    file = folder / "run.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _warn_of_other_code(run: JobRun, code: Mapping[str, str]) -> None:
    if run.tags.get("git.commit") != code.get("git.commit"):
        warn(f"{run.label}: begun with other code (commit {run.tags.get('git.commit', 'unknown')[:10]})")


def _find_run_of_checkpoint(config: Config, checkpoint: str, splits: Splits) -> str:
    key = f"trainer.resume_from={checkpoint}"
    if not Path(checkpoint).is_file():
        raise InputError(f"{key}: no such checkpoint (a finished run has none left)")
    folder = Path(checkpoint).resolve().parents[1]
    run = read_run_json(folder)
    if not run:
        raise InputError(f"{key}: no run.json beside it, so it is not a run's checkpoint")
    if run["config_hash"] != config_hash(config.resolved):
        raise InputError(
            f"{key}: the interrupted run had other settings (see config.yaml in {os.path.relpath(folder)}); "
            "use the same command line, or start a new run"
        )
    if run["dataset_fingerprint"] != splits.fingerprint:
        raise InputError(f"{key}: the data is not what it was when the run was interrupted")
    return run["run_id"]
