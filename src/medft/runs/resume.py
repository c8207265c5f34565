"""What an earlier attempt at a run has left: nothing, an interrupted run to resume, or a finished one."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from medft.config.defaults import AUTO
from medft.config.schema import Config
from medft.console import say, warn
from medft.data.splits import Splits
from medft.errors import DamagedFile, InputError
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun, hold_folder, read_local_run
from medft.runs.provenance import collect_code_tags, config_hash
from medft.runs.splits import read_splits
from medft.runs.state import CODE, FINGERPRINT, FINISHED, GIT_COMMIT, PRECISION, UNFINISHED, RunState
from medft.runs.status import RESERVE, is_finished_run, is_same_job
from medft.runs.sweeps import find_job_run
from medft.training.checkpoints import find_checkpoint, has_checkpoint, require_checkpoint
from medft.training.precision import settle_precision
from medft.training.settling import list_possible

NEVER = "never"  # of the key `resume`, which is AUTO, or the id of a run else


@dataclass(frozen=True)
class EarlierRun:
    """Where a run stands before it starts.

    Attributes:
        config: to run with; of an interrupted run with its checkpoint and its folder.
        run: the one to go on with; None = a new one.
        metrics: of one that has finished; there is nothing left to do.
    """

    config: Config
    run: LocalRun | None = None
    metrics: dict[str, float] | None = None


@contextmanager
def claim_run(config: Config, splits: Splits) -> Iterator[EarlierRun]:
    """Look up an earlier attempt at this run, and keep other processes from its folder while the context lasts.

    It is found by `trainer.resume_from`, by the job's place in its sweep, by its id in `resume`, or else by config,
    data and code among the runs that were interrupted; one whose process lives is left alone.

    Raises:
        InputError: what is to be resumed is not there, or is of another config or of other data; or another process
            runs in the folder.
        DamagedFile: the interrupted run has checkpoints, and none is what was written.
    """
    with ExitStack() as held:
        yield _claim(config, splits, held)


def _claim(config: Config, splits: Splits, held: ExitStack) -> EarlierRun:
    if config.trainer.resume_from or config.job.parent or config.resume not in (AUTO, NEVER):
        earlier = _find_named(config, splits)
        held.enter_context(hold_folder(earlier.config.paths.output))
        return earlier
    for settled, run in _list_interrupted(config, splits) if config.resume == AUTO else ():
        with suppress(InputError):  # its process lives
            held.enter_context(hold_folder(run.folder))
            if run.state.status != FINISHED:  # it may have, meanwhile
                return _go_on(settled, run)
            if _was_cut_short(run):
                say(f"finished already (run {run.run_id}), and killed before it said so: nothing is left to do")
                return EarlierRun(_in_folder(settled, run.folder), run, run.state.metrics)
            held.pop_all().close()
    config = settle_precision(config)
    held.enter_context(hold_folder(config.paths.output))
    return EarlierRun(config)


def _find_named(config: Config, splits: Splits) -> EarlierRun:
    if checkpoint := config.trainer.resume_from:
        settled, run = _find_run_of_checkpoint(config, checkpoint, splits)
        return EarlierRun(_in_folder(settled, run.folder), run)
    if config.job.parent is None:
        entry = RunIndex(Path(config.paths.root_dir)).get(config.resume)
        named = read_local_run(Path(entry.folder)) if entry else None
        if named is None:
            raise InputError(f"resume={config.resume}: no such run in a folder here")
        return _go_on(_match(f"resume={config.resume}", config, named, splits), named)
    # a run of this job only: another job of equal settings may be running it at this moment
    job_run = find_job_run(config)
    if job_run is None or job_run.state.status not in (FINISHED, *UNFINISHED):
        return EarlierRun(config)
    state = job_run.state
    if not is_same_job(config, state) or state.tags.get(FINGERPRINT) != splits.fingerprint:
        return EarlierRun(config)
    _warn_of_other_code(state, collect_code_tags())
    if state.status == FINISHED:
        say(f"finished already (run {state.run_id}): nothing is left to do")
        return EarlierRun(config, job_run, state.metrics)
    return _go_on(config, job_run)


def _list_interrupted(config: Config, splits: Splits) -> Iterator[tuple[Config, LocalRun]]:
    """The runs of this config, of these data and of this code that have not finished, the newest first, each with the
    config that it began with.
    """
    possible = {config_hash(each.resolved): each for each in list_possible(config)}
    for entry in reversed(RunIndex(Path(config.paths.root_dir)).list_entries()):
        if entry.kind or entry.parent:
            continue
        try:
            run = read_local_run(Path(entry.folder))
            if run is None or run.card["dataset_fingerprint"] != splits.fingerprint:
                continue
            if (own := possible.get(run.card["config_hash"])) is None:
                continue
            state = run.state
        except DamagedFile as error:
            warn(f"{error}; the run is left alone")
            continue
        if not is_same_job(own, state):
            continue
        if state.status == FINISHED and _was_cut_short(run):
            yield own, run
        elif state.status == FINISHED:
            say(f"done before, as run {run.run_id} ({run.folder}): begun anew")
            return
        elif state.tags.get(CODE) not in (None, collect_code_tags()[CODE]):  # None: killed before it could log any
            say(f"an interrupted run of these settings had other code: begun anew; that one stays in {run.folder}")
        elif state.status in UNFINISHED or find_checkpoint(run.folder):
            yield own, run


def _was_cut_short(run: LocalRun) -> bool:
    """Whether a finished run was killed before its last lines; what is removed there is still in its folder."""
    return has_checkpoint(run.folder) or (run.folder / RESERVE).exists()


def _go_on(config: Config, run: LocalRun) -> EarlierRun:
    """Go on with a run, from its checkpoint if it has one, in the precision that it has."""
    config = _in_folder(config, run.folder)
    kept = {"precision": run.card.get(PRECISION, config.trainer.precision)}
    checkpoint = find_checkpoint(run.folder)
    if checkpoint is None:
        say(f"interrupted before its first checkpoint (run {run.run_id}): begun anew in the same run")
    else:
        say(f"interrupted earlier: goes on from {checkpoint} in run {run.run_id}")
        kept["resume_from"] = str(checkpoint)
    trainer = config.trainer.model_copy(update=kept)
    return EarlierRun(config.model_copy(update={"trainer": trainer}), run)


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
    if state.tags.get(GIT_COMMIT) != code.get(GIT_COMMIT):
        warn(f"{state.label}: begun with other code (commit {state.tags.get(GIT_COMMIT, 'unknown')[:10]})")


def _find_run_of_checkpoint(config: Config, checkpoint: str, splits: Splits) -> tuple[Config, LocalRun]:
    key = f"trainer.resume_from={checkpoint}"
    require_checkpoint(checkpoint)
    folder = Path(checkpoint).resolve().parents[1]
    run = read_local_run(folder)
    if run is None:
        raise InputError(f"{key}: no run.json beside it, so it is not a run's checkpoint")
    return _match(key, config, run, splits), run


def _match(key: str, config: Config, run: LocalRun, splits: Splits) -> Config:
    """The config as a run began with it.

    Raises:
        InputError: it began with another, or with other data, or has finished.
    """
    if run.state.status == FINISHED:
        raise InputError(f"{key}: this run has finished")
    own = next((each for each in list_possible(config) if run.card["config_hash"] == config_hash(each.resolved)), None)
    if own is None:
        raise InputError(
            f"{key}: the interrupted run had other settings (see config.yaml in {os.path.relpath(run.folder)}); "
            "use the same command line, or start a new run"
        )
    if run.card["dataset_fingerprint"] != splits.fingerprint:
        raise InputError(f"{key}: the data is not what it was when the run was interrupted")
    return own
