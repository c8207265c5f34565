"""The program of a job's process: `python -m medft.jobs.worker FOLDER` runs the job that was frozen in FOLDER."""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from filelock import FileLock

from medft.files import write_atomically
from medft.interpreter import end_quickly
from medft.secrets import hide_in_tracebacks

RESULT, LOCK = "result.json", "job.lock"


def main(folder: Path) -> None:
    """Run the job and leave `result.json`."""
    end_quickly()
    hide_in_tracebacks()
    end_with_parent(lambda: os.killpg(os.getpgrp(), signal.SIGKILL))
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the second is Slurm's warning that time is nearly up
        signal.signal(number, _interrupt)
    with FileLock(folder / LOCK):  # a process of an earlier launch may still be ending
        _run(folder)


def _run(folder: Path) -> None:
    """Run the job; whatever ends it is logged to MLflow, an error before it has opened a run too."""
    from medft.console import quieten, quieten_loggers, warn
    from medft.jobs.plan import load_frozen
    from medft.runs.status import describe_exception, record_end
    from medft.runs.sweeps import find_job_run

    config, began = load_frozen(folder), time.time()
    try:
        quieten()
        from medft.experiment import run

        quieten_loggers()
        metrics = run(config)
    except BaseException as error:
        try:
            record_end(config, began, *describe_exception(error))
        except Exception:  # the store itself may be what is broken
            warn(f"the end of this job could not be logged: {traceback.format_exc(limit=1)}")
        raise
    tracked = find_job_run(config)
    assert tracked
    result = {"run_id": tracked.run_id, "skipped": tracked.state.ended < began, "metrics": metrics}
    with write_atomically(folder / RESULT) as partial:
        partial.write_text(json.dumps(result), encoding="utf-8")


def end_with_parent(end: Callable[[], object]) -> None:
    """Die with the process that has started this one, whatever ends that: standard input is a pipe from there, and is
    closed then.

    Args:
        end: how to die.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):  # not through a buffer, whose lock would outlive this thread
            pass
        end()

    threading.Thread(target=wait, daemon=True).start()


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, signal.SIGUSR2):  # once is enough: a second would interrupt the logging of the end
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(Path(sys.argv[1]))
