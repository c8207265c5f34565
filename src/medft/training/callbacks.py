"""Callbacks: when to validate, time and memory, progress."""

import sys
import threading
import time
from typing import Any

import psutil
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar
from typing_extensions import override

from medft.console import Heartbeat, say


class ValidationPoints(Callback):
    """Validates at even distances, the last time at the end of each epoch.

    Lightning has a fixed interval only, which leaves the last batches of an epoch without a validation unless it
    divides the epoch; so this sets the interval after each batch.
    """

    def __init__(self, checks_per_epoch: int) -> None:
        self.checks = checks_per_epoch

    @override
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        trainer.val_check_batch = batch_idx + 1 if batch_idx + 1 in self._points(trainer) else 2**62

    def _points(self, trainer: Any) -> set[int]:
        """The numbers of optimizer steps after which to validate."""
        steps = trainer.num_training_batches
        if trainer.max_steps > 0:  # the last epoch may end early
            steps = min(steps, trainer.max_steps - trainer.current_epoch * steps)
        return {-(-steps * check // self.checks) for check in range(1, self.checks + 1)}


class PeakMemory:
    """Measures memory inside its `with` block: the GPU's own peak, or the process's resident set 50 times a second."""

    def __init__(self, device: str) -> None:
        self._most = 0.0
        self._on_gpu, self._begun = device == "cuda", False
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def mib(self) -> float:
        """The peak so far."""
        return torch.cuda.max_memory_allocated() / 2**20 if self._on_gpu and self._begun else self._most

    def __enter__(self) -> None:
        self._begun = True
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            self._watcher.start()

    def __exit__(self, *_: object) -> None:
        if self._on_gpu:
            self._most, self._on_gpu = self.mib, False
        else:
            self._done.set()
            self._watcher.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self._most = max(self._most, process.memory_info().rss / 2**20)
            if self._done.wait(0.02):
                return


class Costs(Callback):
    """Adds up what training takes, over all parts of a run that was interrupted and resumed."""

    def __init__(self, memory: PeakMemory) -> None:
        self._memory = memory
        self._before = dict.fromkeys(("train_seconds", "step_seconds", "tokens", "peak_memory"), 0.0)
        self._started = self._step_started = time.perf_counter()
        self._step_seconds = 0.0
        self._module: Any = None

    def measure(self) -> dict[str, float]:
        """Measure what all parts of the run have taken so far.

        Returns:
            `train_seconds`, the wall time of fitting with validation; `step_seconds`, the time in training steps;
            `tokens`, those that this process has trained on, without padding; `peak_memory` in MiB.
        """
        return {
            "train_seconds": self._before["train_seconds"] + time.perf_counter() - self._started,
            "step_seconds": self._before["step_seconds"] + self._step_seconds,
            "tokens": self._before["tokens"] + float(self._module.tokens_seen if self._module else 0),
            "peak_memory": max(self._before["peak_memory"], self._memory.mib),
        }

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._module = pl_module

    @override
    def on_train_batch_start(self, *_: Any) -> None:
        self._step_started = time.perf_counter()

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        self._step_seconds += time.perf_counter() - self._step_started

    @override
    def state_dict(self) -> dict[str, Any]:
        return self.measure()

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = dict(state_dict)


class Progress(RichProgressBar):
    """A progress bar in a terminal, one line per validation everywhere, and in a file a line now and then."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        if not sys.stdout.isatty():
            self.disable()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        self._heartbeat = Heartbeat(float(trainer.estimated_stepping_batches), trainer.global_step)

    @override
    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        super().on_train_batch_end(trainer, *arguments)
        if self._heartbeat.is_due() and trainer.is_global_zero:
            loss = f"loss {float(trainer.progress_bar_metrics['loss']):.3f}"
            self._heartbeat.tell(f"step {self._count_steps()}: {loss}", trainer.global_step)

    @override
    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *loader: Any
    ) -> None:
        super().on_validation_batch_end(trainer, module, outputs, batch, batch_idx, *loader)
        if self._heartbeat.is_due() and trainer.is_global_zero:
            self._heartbeat.tell(f"step {self._count_steps()}: validating, {batch_idx + 1} batches so far", 0)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_validation_end(trainer, pl_module)
        if trainer.is_global_zero:
            say(f"step {self._count_steps()}: val/loss {float(trainer.callback_metrics['val/loss']):.3f}")
            self._heartbeat.rest()

    @override
    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(*arguments)
        metrics.pop("v_num", None)  # the run's id
        return metrics

    def _count_steps(self) -> str:
        return f"{self.trainer.global_step}/{int(self.trainer.estimated_stepping_batches)}"

    @override
    def _get_train_description(self, current_epoch: int) -> str:
        """Lightning counts epochs from 0. The width is that of the bar of validations, as there."""
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}".ljust(len(self.validation_description))
