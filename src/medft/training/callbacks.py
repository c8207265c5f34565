"""Callbacks: when to validate, the best weights, random state for resuming, time and memory, progress."""

import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file, save_file
from typing_extensions import override

from medft.console import Heartbeat, say, warn
from medft.errors import NOT_AS_WRITTEN, DamagedFile
from medft.files import is_as_written, write_checked
from medft.training.checkpoints import PREVIOUS


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
        """The numbers of batches after which to validate, never in the middle of an optimizer step."""
        together = trainer.accumulate_grad_batches
        batches = trainer.num_training_batches
        if trainer.max_steps > 0:  # the last epoch may end early
            done = trainer.current_epoch * -(-batches // together)  # optimizer steps of the epochs before
            batches = min(batches, (trainer.max_steps - done) * together)
        even = (-(-batches * check // self.checks) for check in range(1, self.checks + 1))
        return {min(batches, -(-point // together) * together) for point in even}


class BestWeights(Callback):
    """Keeps the trained weights with the lowest val/loss, as safetensors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loss, self.step = float("inf"), 0

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        loss = float(trainer.callback_metrics["val/loss"])
        if loss < self.loss:
            self.loss, self.step = loss, trainer.global_step
            if trainer.is_global_zero:
                parameters = pl_module.network.named_parameters()  # tied ones come once
                trained = {name: each.detach().contiguous() for name, each in parameters if each.requires_grad}
                with write_checked(self.path) as partial:
                    save_file(trained, partial)

    def load(self, network: torch.nn.Module) -> None:
        """Restore the best weights; if no validation loss was a number the last ones stay, with a warning.

        Raises:
            DamagedFile: they are not what was written, or not of this model.
        """
        if self.loss == float("inf"):
            warn("val/loss was never a number: the last weights are kept, not the best")
            return
        if not is_as_written(self.path):
            raise DamagedFile(f"{self.path}: {NOT_AS_WRITTEN}; resume=never starts anew")
        weights = load_file(self.path)
        trained = {name for name, each in network.named_parameters() if each.requires_grad}
        if weights.keys() != trained:
            raise DamagedFile(f"{self.path}: has the weights of another model; resume=never starts anew")
        network.load_state_dict(weights, strict=False)  # what was not trained is not in it

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "step": self.step}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loss, self.step = state_dict["loss"], state_dict["step"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their final name, not in TMPDIR: on another disk than that a rename is a copy.

    The one before is kept until the next is whole, and after that in case the next is damaged: never three at once,
    each of which is three times the size of the model.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        before = Path(path).with_name(PREVIOUS)
        if Path(path).exists():
            before.unlink(missing_ok=True)
        # into an open file: where torch opens it, it does not say why it could not write
        with write_checked(Path(path), keep=before) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)


class RandomState(Callback):
    """Saves the states of torch's and Python's random generators in checkpoints.

    They are restored when training starts, after everything that draws random numbers while a run is set up.
    """

    def __init__(self) -> None:
        self._resumed: dict[str, Any] | None = None

    @override
    def state_dict(self) -> dict[str, Any]:
        # tensors and tuples of numbers only, so that a checkpoint loads without unpickling
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"torch": torch.get_rng_state(), "cuda": cuda, "python": random.getstate()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed = state_dict

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._resumed:
            torch.set_rng_state(self._resumed["torch"].cpu())
            version, numbers, gauss = self._resumed["python"]
            random.setstate((version, tuple(numbers), gauss))
            if self._resumed["cuda"]:
                torch.cuda.set_rng_state_all([state.cpu() for state in self._resumed["cuda"]])


class OwnSigterm(Callback):
    """Keeps the handler of SIGTERM that there was. Lightning's broadcasts to the other processes before it, which
    blocks for ever where those wait for something else of this one.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


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
