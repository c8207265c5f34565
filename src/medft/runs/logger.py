"""Lightning's metrics to the run."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from typing_extensions import override

from medft.runs.local_run import LocalRun


class RunLogger(Logger):
    """Passes the documented metrics on, and nothing that Lightning adds of its own (such as `epoch`)."""

    def __init__(self, run: LocalRun) -> None:
        super().__init__()
        self._run = run

    @property
    @override
    def name(self) -> str:
        return "medft"

    @property
    @override
    def version(self) -> str:
        return self._run.run_id

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        known = {key: value for key, value in metrics.items() if key.startswith(("train/", "val/"))}
        if known:
            self._run.log_metrics(known, step=step or 0)

    @override
    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass  # parameters were logged when the run started
