"""Where jobs run: on this machine, through Slurm, or on a Ray cluster. An executor starts them and gives handles."""

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from medft.config.environment import SECRETS
from medft.config.launchers import LocalLauncherConfig, RayLauncherConfig, SlurmLauncherConfig
from medft.config.schema import Config
from medft.errors import InputError, MedftError
from medft.jobs.process import BEGUN, JobProcess, Outcome, SlurmTask, supervise

# Ray reports usage to its makers unless told not to, as MLflow does (medft.runs.store).
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


class Handle(Protocol):
    """A job that was started."""

    started: float  # seconds since 1970

    def has_begun(self) -> bool:
        """Whether it has left the queue."""

    def poll(self) -> Outcome | None:
        """How it ended; None while it runs."""

    def stop(self, why: str) -> None:
        """Ask it to end, as Ctrl-C does."""


class Executor(Protocol):
    """Starts jobs whose configs are frozen in their folders."""

    n_jobs: int | None  # how many are started at once; None = all of them
    outlives: bool  # whether jobs continue when the command that started them ends
    pause: float  # seconds between two polls of the handles

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
    return LocalExecutor(launcher, config.trainer.devices)


class LocalExecutor(Executor):
    """Processes of this machine."""

    outlives, pause = False, 0.2

    def __init__(self, settings: LocalLauncherConfig, devices: int = 1) -> None:
        self.n_jobs: int | None = settings.n_jobs
        self._settings, self._environments = settings, make_environments(settings.n_jobs, devices=devices)

    @override
    def start(self, folder: Path, slot: int) -> Handle:
        return JobProcess(folder, self._environments[slot], self._settings.time_limit, self._settings.grace)


class SlurmExecutor(Executor):
    """Slurm jobs, or with `cluster: local` submitit's stand-in for them."""

    outlives, pause = True, 1.0

    def __init__(self, settings: SlurmLauncherConfig) -> None:
        if settings.cluster == "slurm" and shutil.which("srun") is None:
            raise InputError("launcher=slurm: there is no Slurm here (no program srun)")
        self.n_jobs, self._settings = settings.n_jobs, settings
        self._submitit: Any = None

    @override
    def start(self, folder: Path, slot: int) -> Handle:
        (folder / BEGUN).unlink(missing_ok=True)
        if self._submitit is None:  # logs of Slurm and pickles of submitit lie beside the jobs' folders
            self._submitit = self._make_submitit(folder.parent / ".submitit")
        job = self._submitit.submit(SlurmTask(), str(folder))

        def cancel() -> None:
            if self._settings.cluster == "local":
                os.kill(int(job.job_id), signal.SIGTERM)  # as scancel does
            else:
                job.cancel(check=False)

        return _RemoteHandle(folder, job.done, job.result, cancel)

    def _make_submitit(self, log_folder: Path) -> Any:
        import submitit

        settings = self._settings
        # a job that runs out of time is not queued again; the same command resumes it
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


class RayExecutor(Executor):
    """Tasks of a Ray cluster."""

    outlives, pause = False, 1.0

    def __init__(self, settings: RayLauncherConfig) -> None:
        self.n_jobs, self._settings = settings.n_jobs, settings

    @override
    def start(self, folder: Path, slot: int) -> Handle:
        (folder / BEGUN).unlink(missing_ok=True)
        ray, task = self._cluster
        job = task.remote(str(folder), self._settings.time_limit, self._settings.grace, os.environ.get(SECRETS))
        return _RemoteHandle(
            folder, lambda: bool(ray.wait([job], timeout=0)[0]), lambda: ray.get(job), lambda: ray.cancel(job)
        )

    @cached_property
    def _cluster(self) -> tuple[Any, Any]:
        """The module `ray`, connected, and `supervise` as its task."""
        import ray

        settings = self._settings
        address = settings.address or os.environ.get("RAY_ADDRESS") or "local"
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"launcher.address={address}: {' '.join(str(error).split())[:300]}") from None
        return ray, ray.remote(num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=0)(supervise)


class _RemoteHandle(Handle):
    """A job that waits in a queue, then runs elsewhere under `supervise`."""

    def __init__(
        self, folder: Path, is_done: Callable[[], bool], result: Callable[[], Outcome], cancel: Callable[[], object]
    ) -> None:
        self.started, self._why = time.time(), ""
        self._folder, self._is_done, self._result, self._cancel = folder, is_done, result, cancel

    @override
    def has_begun(self) -> bool:
        return (self._folder / BEGUN).exists()

    @override
    def poll(self) -> Outcome | None:
        if not self._is_done():
            return None
        try:
            return self._result()
        except MedftError as error:  # of the machine where it was to run, which may lack a package that is here
            return Outcome("failed", time.time() - self.started, self._why or str(error))
        except Exception:  # the launcher's own: cancelled, or its node is gone, before the job could leave a result
            return Outcome("killed", time.time() - self.started, self._why or "its process ended without a word")

    @override
    def stop(self, why: str) -> None:
        self._why = why
        self._cancel()


def make_environments(
    n_jobs: int, environment: Mapping[str, str] = os.environ, devices: int = 1
) -> list[dict[str, str]]:
    """The environment variables of each of `n_jobs` jobs that run at once, each with `devices` GPUs of several."""
    shared: dict[str, str] = {**environment, "PYTHONUNBUFFERED": "1"}
    if n_jobs > 1 and "OMP_NUM_THREADS" not in environment:
        shared["OMP_NUM_THREADS"] = str(max(1, _cores() // n_jobs))
    if len(gpus := list_gpus(environment)) <= devices:
        return [shared] * n_jobs
    parts = [",".join(gpus[start : start + devices]) for start in range(0, len(gpus) - devices + 1, devices)]
    return [{**shared, "CUDA_VISIBLE_DEVICES": parts[slot % len(parts)]} for slot in range(n_jobs)]


def list_gpus(environment: Mapping[str, str]) -> list[str]:
    """The NVIDIA GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [each.strip() for each in visible.split(",") if each.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True, env=dict(environment),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
