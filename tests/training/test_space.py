"""What a run will write is compared with what is free before it trains."""

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medft.config.schema import Config
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import InputError
from medft.model.build import build_model, count_parameters
from medft.training.checkpoints import FOLDER
from medft.training.space import check_space

Usage = namedtuple("Usage", "total used free")


def check(config: Config, free: float, monkeypatch: pytest.MonkeyPatch, artifacts: Path | None = None) -> None:
    """With `free` times the model's size on each disk."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free * size_of(config) + (17 << 20)))
    check_space(config, network(config), artifacts)


def network(config: Config) -> Any:
    return build_model(config.model, None, Gpt2Tokenizer(), config.seed)


def size_of(config: Config) -> int:
    return 4 * count_parameters(network(config))["total"]


def test_too_little_room_is_told_before_training(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny()
    check(config, 9, monkeypatch)  # two checkpoints of three, the best weights twice, the model
    with pytest.raises(InputError, match=r"are free on its disk, and the run needs .* for two checkpoints.*make room"):
        check(config, 8.5, monkeypatch)


def test_what_is_not_written_needs_no_room(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    check(tiny("tracking.save_model=none"), 8, monkeypatch)
    check(tiny("optimizer=sgd", "optimizer.momentum=0"), 5, monkeypatch)


def test_a_run_that_goes_on_has_its_checkpoints_already(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    place = config.paths.output / FOLDER / "last.ckpt"
    place.parent.mkdir(parents=True)
    with place.open("wb") as file:
        file.truncate(3 * size_of(config))
    check(config, 6, monkeypatch)


def test_the_model_is_there_twice_only_on_two_disks(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tiny()
    check(config, 9, monkeypatch, tmp_path / "mlruns" / "artifacts")
    monkeypatch.setattr("medft.training.space._find_disk", lambda path: (hash(path), path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0 if path.name == "artifacts" else 2**40))
    with pytest.raises(InputError, match=r"artifacts: 0 B are free .* for the model in MLflow"):
        check_space(config, network(config), tmp_path / "mlruns" / "artifacts")
