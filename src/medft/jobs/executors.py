"""Where jobs run: on this machine, through Slurm, or on a Ray cluster. An executor starts them and gives handles."""

import logging
import os
import shutil
import signal
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from medft.config.schema import Config, LocalLauncherConfig, RayLauncherConfig, SlurmLauncherConfig
from medft.errors import InputError
from medft.jobs.devices import make_environments
from medft.jobs.process import JobProcess, Outcome
from medft.jobs.remote import BEGUN, SlurmTask, supervise

# Ray reports usage to its makers unless told not to, as MLflow does (medft.runs.store).
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


class Handle(Protocol):
    """A job that was started."""

    started: float  # seconds since 1970

    def has_begun(self) -> bool:
        """Whether it runs already, or has run; else it waits in a queue."""

    def poll(self) -> Outcome | None:
        """How it ended; None while it runs."""

    def stop(self, why: str) -> None:
        """Ask it to end, as Ctrl-C does."""


class Executor(Protocol):
    """Starts jobs that were frozen into folders.

    Attributes:
        n_jobs: how many are started at once; None = all of them.
        outlives: whether jobs go on when the command that started them ends.
        pause: seconds between two looks at handles.
    """

    n_jobs: int | None
    outlives: bool
    pause: float

    def start(self, folder: Path, slot: int) -> Handle:
        """Start the job of a folder; `slot` is below `n_jobs`, and no other job that runs has the same."""


def make_executor(config: Config) -> Executor:
    """The executor that `launcher` asks for.

    Raises:
        InputError: there is no Slurm here.
    """
    launcher = config.launcher
    if isinstance(launcher, SlurmLauncherConfig):
        return SlurmExecutor(launcher)
    if isinstance(launcher, RayLauncherConfig):
        return RayExecutor(launcher)
    return LocalExecutor(launcher)


class LocalExecutor:
    """Processes of this machine."""

    outlives, pause = False, 0.2

    def __init__(self, settings: LocalLauncherConfig) -> None:
        self.n_jobs: int | None = settings.n_jobs
        self._settings, self._environments = settings, make_environments(settings.n_jobs)

    def start(self, folder: Path, slot: int) -> Handle:
        """Start a process."""
        return JobProcess(folder, self._environments[slot], self._settings.time_limit, self._settings.grace)


class SlurmExecutor:
    """Slurm jobs, or with `cluster: local` submitit's stand-in for them."""

    outlives, pause = True, 1.0

    def __init__(self, settings: SlurmLauncherConfig) -> None:
        if settings.cluster == "slurm" and shutil.which("srun") is None:
            raise InputError("launcher=slurm: there is no Slurm here (no program srun)")
        self.n_jobs, self._settings, self._submitit = settings.n_jobs, settings, None

    def start(self, folder: Path, slot: int) -> Handle:
        """Submit a job."""
        if self._submitit is None:  # what Slurm and submitit say, and submitit's pickles, go beside the jobs' folders
            self._submitit = self._make_submitit(folder.parent / ".submitit")
        return _SlurmHandle(folder, self._submitit, is_local=self._settings.cluster == "local")

    def _make_submitit(self, log_folder: Path) -> Any:
        import submitit

        settings = self._settings
        # out of time is the end; the same command again goes on
        executor = submitit.AutoExecutor(
            log_folder / "%j", cluster=settings.cluster, slurm_max_num_timeout=0, local_max_num_timeout=0
        )
        executor.update_parameters(
            name="medft",
            timeout_min=settings.timeout_min,
            gpus_per_node=settings.gpus,
            cpus_per_task=settings.cpus,
            mem_gb=settings.mem_gb,
            slurm_partition=settings.partition,
            slurm_signal_delay_s=settings.signal_delay_s,
            slurm_additional_parameters=settings.sbatch or None,
        )
        return executor


class RayExecutor:
    """Tasks of a Ray cluster."""

    outlives, pause = False, 1.0

    def __init__(self, settings: RayLauncherConfig) -> None:
        self.n_jobs, self._settings = settings.n_jobs, settings

    def start(self, folder: Path, slot: int) -> Handle:
        """Hand a task over."""
        return _RayHandle(folder, self._task.remote(str(folder), self._settings.time_limit, self._settings.grace))

    @cached_property
    def _task(self) -> Any:
        import ray

        address = self._settings.address or os.environ.get("RAY_ADDRESS") or "local"
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"launcher.address={address}: {' '.join(str(error).split())[:300]}") from None
        return ray.remote(num_cpus=self._settings.cpus, num_gpus=self._settings.gpus, max_retries=0)(supervise)


class _RemoteHandle:
    """A job that waits somewhere, then runs there under `supervise`."""

    def __init__(self, folder: Path) -> None:
        (folder / BEGUN).unlink(missing_ok=True)
        self.folder, self.started, self._why = folder, time.time(), ""

    def has_begun(self) -> bool:
        return (self.folder / BEGUN).exists()

    def _lost(self) -> Outcome:
        """What is known of a job that has left no result."""
        return Outcome("killed", time.time() - self.started, self._why or "its process ended without a word")


class _SlurmHandle(_RemoteHandle):
    def __init__(self, folder: Path, executor: Any, is_local: bool) -> None:
        super().__init__(folder)
        self._job, self._is_local = executor.submit(SlurmTask(), str(folder)), is_local

    def poll(self) -> Outcome | None:
        if not self._job.done():
            return None
        try:
            outcome: Outcome = self._job.result()
        except Exception:  # submitit's own: the job was killed before it could leave a result
            return self._lost()
        return outcome

    def stop(self, why: str) -> None:
        self._why = why
        if self._is_local:
            os.kill(int(self._job.job_id), signal.SIGTERM)  # as scancel does
        else:
            self._job.cancel(check=False)


class _RayHandle(_RemoteHandle):
    def __init__(self, folder: Path, reference: Any) -> None:
        super().__init__(folder)
        self._reference = reference

    def poll(self) -> Outcome | None:
        import ray

        if not ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            outcome: Outcome = ray.get(self._reference)
        except Exception:  # Ray's own: the task was cancelled, or its worker or node is gone
            return self._lost()
        return outcome

    def stop(self, why: str) -> None:
        import ray

        self._why = why
        ray.cancel(self._reference)
