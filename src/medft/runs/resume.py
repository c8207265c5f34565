"""What an earlier attempt at a run has left: nothing, an interrupted run to resume, or a finished one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medft.config.schema import Config
from medft.console import say, warn
from medft.data.splits import Splits
from medft.errors import InputError
from medft.runs.local_run import LocalRun, read_local_run
from medft.runs.provenance import collect_code_tags, config_hash
from medft.runs.splits import read_splits
from medft.runs.state import FINISHED, UNFINISHED, RunState
from medft.runs.status import is_finished_run, is_same_job
from medft.runs.sweeps import find_job_run

FINGERPRINT = "dataset.fingerprint"


@dataclass(frozen=True)
class EarlierRun:
    """Where a run stands before it starts.

    Attributes:
        config: to run with; of an interrupted run with its checkpoint and its folder.
        run: the one to go on with; None = a new one.
        metrics: of a sweep's job that has finished; there is nothing left to do.
    """

    config: Config
    run: LocalRun | None = None
    metrics: dict[str, float] | None = None


def find_earlier_run(config: Config, splits: Splits) -> EarlierRun:
    """Look up an earlier attempt at this run: by `trainer.resume_from`, or by the job's config and data in its sweep.

    Raises:
        InputError: the checkpoint to resume from is not there, or is one of another config or of other data.
    """
    if config.trainer.resume_from:
        run = _find_run_of_checkpoint(config, config.trainer.resume_from, splits)
        return EarlierRun(_in_folder(config, run.folder), run)
    # a run of this job only: another job of equal settings may be running it at this moment
    job_run = find_job_run(config) if config.job.parent else None
    if job_run is None or job_run.state.status not in (FINISHED, *UNFINISHED):
        return EarlierRun(config)
    state = job_run.state
    if not is_same_job(config, state) or state.tags.get(FINGERPRINT) != splits.fingerprint:
        return EarlierRun(config)
    _warn_of_other_code(state, collect_code_tags())
    if state.status == FINISHED:
        say(f"finished already (run {state.run_id}): nothing is left to do")
        return EarlierRun(config, job_run, state.metrics)
    checkpoint = job_run.folder / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():
        say(f"interrupted before its first checkpoint (run {state.run_id}): begun anew in the same run")
        return EarlierRun(config, job_run)
    say(f"interrupted earlier: goes on from {checkpoint} in run {state.run_id}")
    trainer = config.trainer.model_copy(update={"resume_from": str(checkpoint)})
    return EarlierRun(_in_folder(config.model_copy(update={"trainer": trainer}), job_run.folder), job_run)


def _in_folder(config: Config, folder: Path) -> Config:
    return config.model_copy(update={"paths": config.paths.model_copy(update={"output_dir": str(folder)})})


def find_finished_runs(configs: Sequence[Config]) -> dict[str, RunState]:
    """The runs of those jobs of a sweep that have nothing left to do, by label.

    Data are read once for each `dataset` section, and only for jobs that have finished with just this config.
    """
    fingerprints: dict[str, str | None] = {}
    finished: dict[str, RunState] = {}
    for config in configs:
        run = find_job_run(config)
        if run is None or not is_finished_run(config, run.state):
            continue
        data = repr(config.dataset)
        if data not in fingerprints:
            try:
                fingerprints[data] = read_splits(config).fingerprint
            except Exception:  # the job itself says what is wrong with its data
                fingerprints[data] = None
        if run.state.tags.get(FINGERPRINT) == fingerprints[data]:
            finished[config.job.label] = run.state
    code = collect_code_tags() if finished else {}
    for state in finished.values():
        _warn_of_other_code(state, code)
    return finished


def _warn_of_other_code(state: RunState, code: Mapping[str, str]) -> None:
    if state.tags.get("git.commit") != code.get("git.commit"):
        warn(f"{state.label}: begun with other code (commit {state.tags.get('git.commit', 'unknown')[:10]})")


def _find_run_of_checkpoint(config: Config, checkpoint: str, splits: Splits) -> LocalRun:
    key = f"trainer.resume_from={checkpoint}"
    if not Path(checkpoint).is_file():
        raise InputError(f"{key}: no such checkpoint (a finished run has none left)")
    folder = Path(checkpoint).resolve().parents[1]
    run = read_local_run(folder)
    if run is None:
        raise InputError(f"{key}: no run.json beside it, so it is not a run's checkpoint")
    if run.card["config_hash"] != config_hash(config.resolved):
        raise InputError(
            f"{key}: the interrupted run had other settings (see config.yaml in {os.path.relpath(folder)}); "
            "use the same command line, or start a new run"
        )
    if run.card["dataset_fingerprint"] != splits.fingerprint:
        raise InputError(f"{key}: the data is not what it was when the run was interrupted")
    return run
