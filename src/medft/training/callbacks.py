"""What happens beside training: the best weights kept, time taken, random state saved."""

import random
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar
from safetensors.torch import load_file, save_file

from medft.console import say, warn
from medft.files import write_atomically
from medft.training.memory import PeakMemory


class ValidationPoints(Callback):
    """Validates at even distances, the last time at the end of each epoch.

    Lightning knows a fixed interval only, which leaves the last batches of an epoch out unless it divides the epoch;
    this sets the interval anew after each batch.
    """

    def __init__(self, checks_per_epoch: int) -> None:
        self.checks = checks_per_epoch

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let the validation that may follow this batch happen, or not."""
        trainer.val_check_batch = batch_idx + 1 if batch_idx + 1 in self._points(trainer) else 2**62

    def _points(self, trainer: Any) -> set[int]:
        """Numbers of batches after which to validate; never between two that make one optimizer step."""
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

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the weights if they are the best so far."""
        loss = float(trainer.callback_metrics["val/loss"])
        if loss < self.loss:
            self.loss, self.step = loss, trainer.global_step
            if trainer.is_global_zero:
                with write_atomically(self.path) as partial:
                    save_file(_trained(pl_module.network), partial)

    def load(self, network: torch.nn.Module) -> None:
        """Put the best weights back; where no validation gave a number the last ones stay, with a warning."""
        if self.loss == float("inf"):
            warn("val/loss was never a number: the last weights are kept, not the best")
        else:
            network.load_state_dict(load_file(self.path), strict=False)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to beat."""
        return {"loss": self.loss, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what was best before the interruption."""
        self.loss, self.step = state_dict["loss"], state_dict["step"]


class RandomState(Callback):
    """Puts the states of torch's and Python's random generators into checkpoints.

    They are set again when training starts, after everything that draws random numbers while a run is set up.
    """

    def __init__(self) -> None:
        self._resumed: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The states, as tensors and tuples of numbers: nothing that needs a pickle."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"torch": torch.get_rng_state(), "cuda": cuda, "python": random.getstate()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember them until training starts."""
        self._resumed = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Set them."""
        if self._resumed:
            torch.set_rng_state(self._resumed["torch"].cpu())
            version, numbers, gauss = self._resumed["python"]
            random.setstate((version, tuple(numbers), gauss))
            if self._resumed["cuda"]:
                torch.cuda.set_rng_state_all([state.cpu() for state in self._resumed["cuda"]])


class Costs(Callback):
    """Adds up what training takes, over all parts of a run that was interrupted and resumed.

    Attributes:
        train_seconds: wall time of fitting, validation included.
        step_seconds: time in training steps, validation left out.
        tokens: tokens trained on by this process, padding left out.
        peak_memory: MiB.
    """

    def __init__(self, memory: PeakMemory) -> None:
        self._memory = memory
        self._before = {"train_seconds": 0.0, "step_seconds": 0.0, "tokens": 0.0, "peak_memory": 0.0}
        self._started = self._step_started = time.perf_counter()
        self._step_seconds = 0.0
        self._module: Any = None

    @property
    def train_seconds(self) -> float:
        """Wall time of fitting so far, in seconds."""
        return self._before["train_seconds"] + time.perf_counter() - self._started

    @property
    def step_seconds(self) -> float:
        """Time in training steps so far, in seconds."""
        return self._before["step_seconds"] + self._step_seconds

    @property
    def tokens(self) -> float:
        """Tokens trained on so far."""
        return self._before["tokens"] + (self._module.tokens_seen if self._module else 0)

    @property
    def peak_memory(self) -> float:
        """Most memory so far, in MiB."""
        return max(self._before["peak_memory"], self._memory.mib)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Know who counts the tokens."""
        self._module = pl_module

    def on_train_batch_start(self, *_: Any) -> None:
        """Start."""
        self._step_started = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop."""
        self._step_seconds += time.perf_counter() - self._step_started

    def state_dict(self) -> dict[str, Any]:
        """What has been spent so far."""
        return {name: float(getattr(self, name)) for name in self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What had been spent before the interruption."""
        self._before = dict(state_dict)


class Progress(RichProgressBar):
    """A bar on a terminal, and everywhere one line for each validation."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        if not sys.stdout.isatty():
            self.disable()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Say where training is."""
        super().on_validation_end(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        total = int(trainer.estimated_stepping_batches)
        say(f"step {trainer.global_step}/{total}: val/loss {float(trainer.callback_metrics['val/loss']):.3f}")

    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        """Without the run's id, which Lightning would show as `v_num`."""
        metrics: dict[str, Any] = super().get_metrics(*arguments)
        metrics.pop("v_num", None)
        return metrics


def _trained(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Trainable weights by name; tied ones once."""
    return {
        name: parameter.detach().contiguous()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }
