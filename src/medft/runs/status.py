"""How the jobs of a sweep end, as MLflow has it: what ends one is logged, whatever it was and whenever it came."""

import contextlib
import traceback
from collections.abc import Callable
from typing import Any

from medft.config.schema import Config
from medft.runs.provenance import collect_code_tags, make_identity_tags
from medft.runs.store import get_experiment_id
from medft.runs.sweeps import ERROR, EXIT_CODE, OPEN, UNFINISHED, JobRun, Sweep, make_job_tags, supersede


def is_finished_run(config: Config, run: JobRun) -> bool:
    """Whether a run has finished with the config and the judge of a job; its data are not compared."""
    return run.status == "FINISHED" and is_same_job(config, run)


def is_same_job(config: Config, run: JobRun) -> bool:
    """Whether a run had the same config and the same judge."""
    return make_identity_tags(config.resolved).items() <= run.tags.items()


def record_end(config: Config, since: float, status: str, why: str, trace: str = "", exit_code: int = 1) -> None:
    """Make sure that it is in MLflow how an attempt at a job ended which did not finish.

    What earlier attempts have left stays as it is: a finished run is not replaced by an interrupted look-up, an
    interrupted one can still be resumed.

    Args:
        since: when the attempt began, seconds since 1970.
        status: FAILED or KILLED.
        why: in a line.
        trace: a traceback, kept as the artifact error.txt.
    """
    sweep = Sweep(config)
    run = sweep.list_job_runs().get(config.job.label)
    if run and is_finished_run(config, run):
        return
    if run and (run.status in UNFINISHED or (run.status == "FAILED" and run.ended >= since)):
        run_id, is_open = run.run_id, run.status in OPEN
    else:  # it ended before it could open a run
        tags = {"command": config.job.command, "output_dir": str(config.paths.output), **collect_code_tags()}
        tags = {**make_job_tags(config), **tags}
        experiment = get_experiment_id(sweep.client, config)
        run_id = sweep.client.create_run(experiment, run_name=config.job.label, tags=tags).info.run_id
        is_open = True
        supersede(config, run_id)
    _log_reason(sweep.client, run_id, why, trace, exit_code)
    if is_open:
        sweep.client.set_terminated(run_id, status)


def record_lost(sweep: Sweep, still_runs: Callable[[JobRun], bool] = lambda run: False) -> None:
    """End the runs of jobs whose process is gone and has logged no end.

    Args:
        still_runs: whether the job of a run is known to run without this command.
    """
    for run in sweep.list_all_runs():
        if run.status in OPEN and not still_runs(run):
            _log_reason(sweep.client, run.run_id, "its process ended without a word", "", 1)
            sweep.client.set_terminated(run.run_id, "KILLED")


def describe_exception(error: BaseException) -> tuple[str, str, str, int]:
    """(status, why, traceback, exit code) of what ended a job."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", "interrupted", "", 130
    if isinstance(error, SystemExit):
        return "FAILED", f"the job called sys.exit({error.code!r})", trace, 1
    return "FAILED", f"{type(error).__name__}: {error}", trace, getattr(error, "exit_code", 1)


def record_error(client: Any, run_id: str, error: BaseException) -> None:
    """Why a run did not finish: a line as a tag, the traceback as error.txt."""
    _, why, trace, exit_code = describe_exception(error)
    with contextlib.suppress(Exception):  # what went wrong may be the store itself
        _log_reason(client, run_id, why, trace, exit_code)


def _log_reason(client: Any, run_id: str, why: str, trace: str, exit_code: int) -> None:
    for key, value in {ERROR: why[:5000], EXIT_CODE: str(exit_code)}.items():
        client.set_tag(run_id, key, value)
    if trace:
        client.log_text(run_id, trace, "error.txt")
