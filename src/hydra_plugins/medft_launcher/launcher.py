"""Hydra's side of a sweep: composes each job's config; `medft.jobs` runs them."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class MedftLauncher(Launcher):
    """Runs each job in a process of its own, see conf/hydra/launcher/medft.yaml for the options."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what composes jobs. The task is not used: a job's process calls `medft.experiment.run` itself."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs. None of them raises: how each ended is in MLflow, and is said at the sweep's end."""
        # imported here, as Hydra imports this file whenever it starts
        from medft.jobs.config import LauncherConfig
        from medft.jobs.scheduler import launch

        settings = LauncherConfig.checked(self.settings)
        jobs = [self._compose(overrides, initial_job_idx + number) for number, overrides in enumerate(job_overrides)]
        outcomes = launch(jobs, settings)
        return [
            JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=outcome)
            for overrides, outcome in zip(job_overrides, outcomes, strict=True)
        ]

    def _compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        assert self.hydra_context and self.config
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config
