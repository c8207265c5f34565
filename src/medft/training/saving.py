"""What training leaves for going on with it: checkpoints, the best weights, the random state."""

import random
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file, save_file
from typing_extensions import override

from medft.console import note, warn
from medft.errors import NOT_AS_WRITTEN, DamagedFile
from medft.files import is_as_written, write_checked
from medft.training.checkpoints import PREVIOUS

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # the last is Slurm's warning that time is nearly up
_ONE_ASKING = 1.0  # seconds; a terminal and whoever supervises a job tell it at the same moment
_PATIENCE = 10.0  # seconds that a validation may still take


class BestWeights(Callback):
    """Keeps the trained weights with the lowest val/loss: in memory, and with a checkpoint in a file beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loss, self.step = float("inf"), 0
        self._weights: dict[str, torch.Tensor] | None = None  # None = those in the file, of a run that was resumed
        self._is_written = True

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        loss = float(trainer.callback_metrics["val/loss"])
        if loss < self.loss:
            self.loss, self.step = loss, trainer.global_step
            if trainer.is_global_zero:
                self._weights = None  # the better ones take its place, not a place beside it
                parameters = pl_module.network.named_parameters()  # tied ones come once
                trained = {name: each.detach() for name, each in parameters if each.requires_grad}
                self._weights = {name: each.to("cpu", copy=True).contiguous() for name, each in trained.items()}
                self._is_written = False

    def write(self) -> None:
        """Write them to the file, unless they are there."""
        if not self._is_written and self._weights is not None:
            with write_checked(self.path) as partial:
                save_file(self._weights, partial)
            self._is_written = True

    def load(self, network: torch.nn.Module) -> None:
        """Restore the best weights; if no validation loss was a number the last ones stay, with a warning.

        Raises:
            DamagedFile: they are not what was written, or not of this model.
        """
        if self.loss == float("inf"):
            warn("val/loss was never a number: the last weights are kept, not the best")
            return
        if self._weights is None and not is_as_written(self.path):
            raise DamagedFile(f"{self.path}: {NOT_AS_WRITTEN}; resume=never starts anew")
        weights = self._weights or load_file(self.path)
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


class Checkpoints(Checkpoint):
    """Writes all that a resumed run needs, at the end of a step: every so many minutes, or after each validation, and
    where Ctrl-C or SIGTERM asks to stop. Asked a second time, the training stops at once.
    """

    def __init__(self, path: Path, minutes: float, best: BestWeights) -> None:
        self.path, self._minutes, self._best = path, minutes, best
        self._written = time.monotonic()
        self._asked_at: float | None = None
        # Lightning has one of its own for SIGTERM, which broadcasts to the other processes first; that blocks for ever
        # where those wait for something else of this one
        self._handlers = {number: signal.getsignal(number) for number in _ASKING}

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._written = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number, before in self._handlers.items():
                signal.signal(number, self._ask if callable(before) else before)

    @override
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.val_check_batch != batch_idx + 1:  # else after the validation, which a resumed run would leave out
            is_due = 0 < self._minutes <= (time.monotonic() - self._written) / 60
            self._save(trainer, is_due)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._save(trainer, self._minutes <= (time.monotonic() - self._written) / 60)

    @override
    def on_validation_batch_end(self, *_: Any) -> None:
        if self._asked_at is not None and time.monotonic() - self._asked_at > _PATIENCE:
            raise KeyboardInterrupt  # whoever asked may not wait for the end of a long validation

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._restore_handlers()
        if self._asked_at is not None:  # after the last checkpoint
            raise KeyboardInterrupt

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._restore_handlers()

    def _save(self, trainer: pl.Trainer, is_due: bool) -> None:
        if not trainer.strategy.broadcast(is_due or self._asked_at is not None):  # the first process decides for all
            return
        if trainer.is_global_zero:
            self._best.write()
        trainer.save_checkpoint(self.path, weights_only=False)
        self._written = time.monotonic()
        if self._asked_at is not None:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            note("stops after this step, with a checkpoint; once more: at once")
        elif now - self._asked_at > _ONE_ASKING:
            self._restore_handlers()
            signal.raise_signal(number)

    def _restore_handlers(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                # else it was told meanwhile to ignore it; SIGINT is, by Lightning, and for good
                if number == signal.SIGINT or signal.getsignal(number) == self._ask:
                    signal.signal(number, handler)


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
