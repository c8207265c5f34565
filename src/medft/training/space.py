"""The room on disk that a training needs, looked at before hours are spent on it."""

import shutil
from collections import defaultdict
from pathlib import Path

from transformers import PreTrainedModel

from medft.config.schema import Config, SgdConfig
from medft.console import format_size
from medft.errors import InputError
from medft.model.build import count_parameters
from medft.training.checkpoints import get_checkpoint_folder

BYTES_PER_NUMBER = 4  # weights, gradients and the optimizer's states are kept in float32
_ADAPTERS = 0.05  # share of LoRA's weights in the model's, at most, but for very high ranks
_OTHER = 16 << 20  # bytes for answers, curves and the like


def check_space(config: Config, network: PreTrainedModel, artifacts: Path | None) -> None:
    """Compare what the run will write with what is free.

    Args:
        artifacts: the folder of this machine where MLflow keeps a run's files; None = it is elsewhere.

    Raises:
        InputError: there is too little room; the message says for what it is needed.
    """
    output = config.paths.output
    needed: dict[tuple[int, Path], dict[str, float]] = defaultdict(dict)
    needed[_find_disk(output)] |= list_needs(config, network)
    if artifacts and config.saves_model and (disk := _find_disk(artifacts))[0] != _find_disk(output)[0]:
        needed[disk]["the model in MLflow"] = _count_bytes(network)  # on one disk it is there once, under two names
    for (_, place), parts in needed.items():
        there = _count_written(config) if place == _find_disk(output)[1] else 0  # by the run that goes on
        free, wanted = shutil.disk_usage(place).free, sum(parts.values()) - there
        if wanted > free:
            listed = ", ".join(f"{format_size(size)} for {name}" for name, size in parts.items())
            raise InputError(
                f"{place}: {format_size(free)} are free on its disk, and the run needs {format_size(wanted)} "
                f"({listed}): make room, or use another paths.root_dir or tracking.save_model=none"
            )


def list_needs(config: Config, network: PreTrainedModel) -> dict[str, float]:
    """The most bytes that a run's folder has at once."""
    weights = float(_count_bytes(network))
    trained = weights if config.finetune.method == "full" else weights * _ADAPTERS
    states = int(config.optimizer.momentum > 0) if isinstance(config.optimizer, SgdConfig) else 2
    needs = {
        "two checkpoints": 2 * (weights + states * trained),
        "the best weights": 2 * trained,  # the better ones are written while the others are there
        "answers and curves": _OTHER,
    }
    return needs | ({"the model": weights} if config.saves_model else {})


def _count_bytes(network: PreTrainedModel) -> int:
    return BYTES_PER_NUMBER * count_parameters(network)["total"]


def _count_written(config: Config) -> int:
    folder = get_checkpoint_folder(config)
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) if folder.is_dir() else 0


def _find_disk(folder: Path) -> tuple[int, Path]:
    """The file system of a folder that may not be there yet, and the part of its path that is."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    return place.stat().st_dev, place
