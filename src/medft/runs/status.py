"""How the jobs of a sweep end, as MLflow has it: what ends one is logged, whatever it was and whenever it came."""

import contextlib
import traceback
from collections.abc import Callable
from typing import Any

from medft.config.schema import Config
from medft.runs.provenance import collect_code_tags, config_hash, judge_hash
from medft.runs.store import connect, get_experiment_id
from medft.runs.sweeps import ERROR, EXIT_CODE, OPEN, JobRun, find_job_run, list_all_children, make_job_tags, supersede


def is_finished_run(config: Config, child: JobRun | None) -> bool:
    """Whether this is the finished run of just this job. Of its data nothing is known before they are read."""
    return child is not None and child.status == "FINISHED" and is_same_job(config, child)


def is_same_job(config: Config, child: JobRun) -> bool:
    """Whether a run had the same config and the same judge."""
    facts = {"config_hash": config_hash(config.resolved), "judge_hash": judge_hash(config.resolved)}
    return facts.items() <= child.tags.items()


def record_end(config: Config, since: float, status: str, why: str, trace: str = "", exit_code: int = 1) -> None:
    """Make sure that it is in MLflow how an attempt at a job ended which did not finish.

    What earlier attempts have left stays what it is: a finished run is not replaced by an interrupted look-up, an
    interrupted one can still be gone on with.

    Args:
        since: when the attempt began, seconds since 1970.
        status: FAILED or KILLED.
        why: in a line.
        trace: a traceback, kept as the artifact error.txt.
    """
    client, child = connect(config), find_job_run(config)
    if is_finished_run(config, child):
        return
    if child and child.status in OPEN:
        _tell(client, child.run_id, why, trace, exit_code)
        client.set_terminated(child.run_id, status)
    elif child and (child.status == "KILLED" or (child.status == "FAILED" and (child.ended or 0) >= since)):
        _tell(client, child.run_id, why, trace, exit_code)
    else:
        run_id = _bare_child(client, config)
        _tell(client, run_id, why, trace, exit_code)
        client.set_terminated(run_id, status)


def record_lost(config: Config, parent: str, runs_on: Callable[[JobRun], bool] = lambda child: False) -> None:
    """End the runs of jobs whose process is gone without a word; to be called when no other can be running.

    Args:
        runs_on: whether a job is known to run on nevertheless.
    """
    client = connect(config)
    for child in list_all_children(config, parent):
        if child.status in OPEN and not runs_on(child):
            _tell(client, child.run_id, "its process ended without a word", "", 1)
            client.set_terminated(child.run_id, "KILLED")


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
        _tell(client, run_id, why, trace, exit_code)


def _tell(client: Any, run_id: str, why: str, trace: str, exit_code: int) -> None:
    for key, value in {ERROR: why[:5000], EXIT_CODE: str(exit_code)}.items():
        client.set_tag(run_id, key, value)
    if trace:
        client.log_text(run_id, trace, "error.txt")


def _bare_child(client: Any, config: Config) -> str:
    """A child for a job that ended before it could open a run."""
    facts = {"command": config.job.command, "output_dir": str(config.paths.output)}
    tags = {**make_job_tags(config), **collect_code_tags(), **facts}
    run = client.create_run(get_experiment_id(client, config), run_name=config.job.label, tags=tags)
    supersede(config, run.info.run_id)
    return str(run.info.run_id)
