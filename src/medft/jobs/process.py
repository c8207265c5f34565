"""A job's process: started, watched, stopped, and how it ended; here, or on a machine of Slurm or Ray."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from medft.config.environment import SECRETS
from medft.config.schema import Config
from medft.errors import describe_signal
from medft.interpreter import make_command
from medft.jobs.plan import load_frozen
from medft.jobs.worker import RESULT
from medft.runs.state import FAILED, KILLED
from medft.runs.status import is_finished_run, record_end
from medft.runs.sweeps import find_job_run

LOG = "job.log"
BEGUN = "begun"  # a file in the job's folder: it has left the queue
_GRACE = 20.0  # seconds to log its end; Slurm kills 30 seconds after it has asked


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    `known`: finished in an earlier launch; `pruned`: stopped by a search; `killed`: stopped, or ended by a signal.
    """

    status: Literal["finished", "known", "pruned", "failed", "killed"]
    seconds: float  # in this launch
    why: str = ""  # the reason, in a line, where it did not finish
    metrics: Mapping[str, float] = field(default_factory=dict)


def settle(config: Config, outcome: Outcome, started: float) -> Outcome:
    """Make an outcome and the job's run agree: the run knows why a job failed, a killed job could not log its end.

    `started` is when its process was, in seconds since 1970.
    """
    if outcome.status in ("finished", "known"):
        return outcome
    run = find_job_run(config)
    if run and run.state.ended >= started:
        if is_finished_run(config, run.state):
            return Outcome("finished", outcome.seconds, metrics=run.state.metrics)  # killed after its last log
        if outcome.status == run.state.status.lower() == "failed":
            return replace(outcome, why=run.state.error)
    record_end(config, started, KILLED if outcome.status == "killed" else FAILED, outcome.why)
    return outcome


class JobProcess:
    """A job that runs in a process and a process group of its own.

    Args:
        folder: where the job was frozen; its log goes there.
        time_limit: seconds until it is stopped; None = never.
        grace: seconds from stopping it to killing it.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], time_limit: float | None, grace: float) -> None:
        self.folder, self._time_limit, self._grace = folder, time_limit, grace
        (folder / RESULT).unlink(missing_ok=True)
        self.started, self._clock = time.time(), time.monotonic()
        self._stopped_at, self._why = 0.0, ""
        with (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                make_command("-m", "medft.jobs.worker", str(folder)),
                stdin=subprocess.PIPE,  # closed when this process ends, however it ends
                stdout=log,
                stderr=log,
                env={**environment, SECRETS: os.environ.get(SECRETS, "{}")},
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._clock

    def has_begun(self) -> bool:
        """There is no queue here."""
        return True

    def stop(self, why: str) -> None:
        """Ask it to end, as Ctrl-C does; it is killed if it has not after the grace."""
        if not self._stopped_at:
            self._why, self._stopped_at = why, time.monotonic()
            self._signal(signal.SIGTERM)

    def poll(self) -> Outcome | None:
        """How it ended; None while it runs."""
        if (code := self._process.poll()) is None:
            if self._stopped_at and time.monotonic() - self._stopped_at > self._grace:
                self._signal(signal.SIGKILL)
            elif self._time_limit and self.seconds > self._time_limit:
                self.stop(f"took longer than launcher.time_limit={self._time_limit:g} seconds")
            return None
        self._signal(signal.SIGKILL)  # what it may have started
        if self._process.stdin:
            self._process.stdin.close()
        return self._read_outcome(code)

    def wait(self) -> Outcome:
        """Wait until it has ended."""
        while (outcome := self.poll()) is None:
            time.sleep(0.1)
        return outcome

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read_outcome(self, code: int) -> Outcome:
        if (file := self.folder / RESULT).exists():
            result = json.loads(file.read_text(encoding="utf-8"))
            return Outcome("known" if result["skipped"] else "finished", self.seconds, metrics=result["metrics"])
        why = self._why or ("interrupted" if code == 130 else "")
        if code < 0 and not why:
            why = f"ended by {describe_signal(-code)}"
        if why:
            return Outcome("killed", self.seconds, why)
        return Outcome("failed", self.seconds, f"ended with exit code {code}")


def supervise(
    folder: str, time_limit: float | None = None, grace: float = _GRACE, secrets: str | None = None
) -> Outcome:
    """Run the job that was frozen in a folder and wait for it; its errors are in its run and in the outcome.

    Args:
        secrets: what its config does not say, where the environment is not that of the sweep.

    Raises:
        SystemExit: Slurm has put the job back into its queue; it is resumed later.
    """
    if secrets:
        os.environ[SECRETS] = secrets
    config = load_frozen(Path(folder))
    (Path(folder) / BEGUN).touch()
    process = JobProcess(Path(folder), {**os.environ, "PYTHONUNBUFFERED": "1"}, time_limit, grace)
    try:
        with _sigterm_interrupts():
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
        """Run it."""
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
