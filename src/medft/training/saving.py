"""What training leaves for going on with it: checkpoints, the best weights, the random state."""

import random
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file, save_file
from typing_extensions import override

from medft.console import warn
from medft.errors import NOT_AS_WRITTEN, DamagedFile
from medft.files import is_as_written, write_checked
from medft.training.checkpoints import PREVIOUS


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
