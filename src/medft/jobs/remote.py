"""A job under another launcher than ours, which may run it on another machine: our program in a process of its own."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from omegaconf import DictConfig

from medft.jobs.devices import slot_environments
from medft.jobs.process import JobProcess, Outcome
from medft.jobs.scheduler import Job, freeze, job_config, settled
from medft.runs.status import exception_facts, record_end
from medft.runs.store import connect

_GRACE = 20.0  # seconds to log its end; Slurm kills 30 seconds after it has asked


def run_elsewhere(raw: DictConfig) -> dict[str, float]:
    """Run a job of a sweep here and wait for it; returns its final metrics, none if it did not finish.

    Nothing that goes wrong is raised, as that would end the sweep: it is in MLflow, and said at the sweep's end.

    Args:
        raw: of the job, without its `hydra` section.

    Raises:
        SystemExit: the launcher has put the job back into its queue, where it goes on later.
    """
    config, began = job_config(raw), time.time()
    try:
        return dict(_supervised(freeze(config)).metrics)
    except Exception as error:
        record_end(config, began, *exception_facts(error))
        return {}


def _supervised(job: Job) -> Outcome:
    process = JobProcess(job.folder, slot_environments(1)[0], None, _GRACE)
    try:
        with _sigterm_interrupts():
            connect(job.config)  # MLflow takes long to import, and there is no time for that at the end
            return settled(job.config, process.wait(), process.started)
    except BaseException as error:  # submitit raises its own when time is up or the job is preempted
        process.stop(f"stopped by the launcher ({str(error) or 'cancelled, or out of time'})")
        outcome = settled(job.config, process.wait(), process.started)
        if isinstance(error, SystemExit):
            raise
        return outcome


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Launchers pass over SIGTERM or die of it at once; the job needs a word before the end."""

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
