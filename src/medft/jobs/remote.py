"""A job on a machine of Slurm or Ray: its process there, whose end is logged to MLflow."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from medft.jobs.job import load_frozen
from medft.jobs.process import JobProcess, Outcome, settle
from medft.runs.store import preload_mlflow

BEGUN = "begun"  # a file in the job's folder: it has left the queue
_GRACE = 20.0  # seconds to log its end; Slurm kills 30 seconds after it has asked


def supervise(folder: str, time_limit: float | None = None, grace: float = _GRACE) -> Outcome:
    """Run the job that was frozen in a folder and wait for it.

    Errors of the job are not raised: they are in MLflow and in the outcome.

    Raises:
        SystemExit: Slurm has put the job back into its queue; it is resumed later.
    """
    config = load_frozen(Path(folder))
    (Path(folder) / BEGUN).touch()
    process = JobProcess(Path(folder), {**os.environ, "PYTHONUNBUFFERED": "1"}, time_limit, grace)
    try:
        with _sigterm_interrupts():
            preload_mlflow()  # takes long, and there is no time for that at the end
            return settle(config, process.wait(), process.started)
    except BaseException as error:  # submitit raises its own when time is up or the job is preempted
        process.stop(f"stopped by the launcher ({str(error) or 'cancelled, or out of time'})")
        outcome = settle(config, process.wait(), process.started)
        if isinstance(error, SystemExit):
            raise
        return outcome


class SlurmTask:
    """`supervise` as submitit runs it: a preempted job is submitted again as it was."""

    def __call__(self, folder: str) -> Outcome:
        """Run the job of a folder."""
        return supervise(folder)

    def checkpoint(self, folder: str) -> Any:
        """The submission of a preempted job: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, folder)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Make SIGTERM a KeyboardInterrupt: launchers ignore it or die of it at once, and the job has to log its end."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
