"""How runs end: what ends one is logged, whatever it was and whenever it came."""

import contextlib
import platform
import traceback
from pathlib import Path

from medft.config.schema import Config
from medft.errors import OUTPUT_CLOSED, DamagedFile, OutOfSpace, explain
from medft.model.sources.resolve import NOT_PINNED, digest_local, find_commit
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun, read_local_run
from medft.runs.provenance import collect_code_tags, make_identity_tags
from medft.runs.state import (
    COMMAND,
    COMMIT,
    ERROR,
    EXIT_CODE,
    FAILED,
    FINISHED,
    KILLED,
    OUTPUT_DIR,
    RUNNING,
    UNFINISHED,
    WEIGHTS,
    RunState,
)
from medft.runs.sweeps import Sweep, find_job_run, make_job_tags
from medft.secrets import hide
from medft.training.settling import list_possible

RESERVE = ".reserve"  # a file in the folder of a run: room to say how it ended where the disk is full
_LOST = "its process ended without a word"


def is_finished_run(config: Config, state: RunState) -> bool:
    """Whether a run has finished with the config and the judge of a job; its data are not compared."""
    return state.status == FINISHED and is_same_job(config, state)


def is_same_job(config: Config, state: RunState) -> bool:
    """Whether a run had the same config, weights and judge, with whatever was settled where the config says `auto`."""
    if (had := state.tags.get(WEIGHTS)) and had != digest_local(config.model):
        return False
    commits = {state.tags.get(COMMIT, ""), find_commit(config.model)} - {"", NOT_PINNED}
    if len(commits) > 1:  # where it is not known, as on a machine without the hub's cache, nothing speaks against it
        return False
    return any(make_identity_tags(each.resolved).items() <= state.tags.items() for each in list_possible(config))


def record_end(config: Config, since: float, status: str, why: str, trace: str = "", exit_code: int = 1) -> None:
    """Make sure that it is logged how an attempt at a job ended which did not finish.

    What earlier attempts have left stays as it is: a finished run is not replaced by an interrupted look-up, an
    interrupted one can still be resumed.

    Args:
        since: when the attempt began, seconds since 1970.
        status: FAILED or KILLED.
        why: in a line.
        trace: a traceback, kept as error.txt.
    """
    run = find_job_run(config)
    if run and is_finished_run(config, run.state):
        return
    if run is None or not (run.state.status in UNFINISHED or (run.state.status == FAILED and run.state.ended >= since)):
        # it ended before it could open a run
        tags = {COMMAND: config.job.command, OUTPUT_DIR: str(config.paths.output), **collect_code_tags()}
        run = LocalRun.create(config, config.paths.output, config.job.label, {**make_job_tags(config), **tags})
    _log_reason(run, why, trace, exit_code)
    if run.state.status == RUNNING:
        run.set_status(status)


def record_lost(sweep: Sweep) -> None:
    """End the runs of jobs whose process is gone and has logged no end."""
    for run in sweep.list_runs():
        _close_if_lost(run)


def close_lost(config: Config, but: LocalRun) -> None:
    """End the runs on this machine whose process is gone: a killed one could not say that it ended.

    Args:
        but: the run that is being started.
    """
    for entry in RunIndex(Path(config.paths.root_dir)).list_pending():
        if entry.run_id != but.run_id:
            with contextlib.suppress(DamagedFile, OSError):  # whoever opens it is told
                run = read_local_run(Path(entry.folder))
                if run and run.state.host == platform.node():
                    _close_if_lost(run)


def _close_if_lost(run: LocalRun) -> None:
    if run.state.status == RUNNING and not run.is_alive():
        _log_reason(run, _LOST, "", 1)
        run.set_status(KILLED)


def describe_exception(error: BaseException) -> tuple[str, str, str, int]:
    """(status, why, traceback, exit code) of what ended a job."""
    trace = hide("".join(traceback.format_exception(error)))
    if isinstance(error, KeyboardInterrupt):
        return KILLED, "interrupted", "", 130
    if isinstance(error, BrokenPipeError):
        return KILLED, "who read its output has stopped", "", OUTPUT_CLOSED
    if isinstance(error, SystemExit):
        return FAILED, f"the job called sys.exit({error.code!r})", trace, 1
    shown = explain(error)
    if isinstance(shown, OutOfSpace):  # nothing is wrong with the run: it goes on when there is room
        return KILLED, str(shown), trace, shown.exit_code
    why = str(shown) if shown is not error else f"{type(error).__name__}: {error}"
    return FAILED, hide(why), trace, getattr(shown, "exit_code", 1)


def record_error(run: LocalRun, error: BaseException) -> None:
    """How and why a run did not finish: its status, a line as a tag, the traceback as error.txt."""
    status, why, trace, exit_code = describe_exception(error)
    (run.folder / RESERVE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        run.set_status(status)
        _log_reason(run, why, trace, exit_code)


def _log_reason(run: LocalRun, why: str, trace: str, exit_code: int) -> None:
    run.set_tags({ERROR: why[:5000], EXIT_CODE: str(exit_code)})
    if trace:
        run.log_text("error.txt", trace)
