"""One precision for all jobs of a sweep, wherever and whenever they are launched."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medft.config.schema import Config
from medft.model.sources.resolve import digest_local
from medft.runs.provenance import make_identity_tags
from medft.runs.state import RunState
from medft.runs.status import is_same_job
from medft.runs.sweeps import open_sweep

AUTO = "trainer.precision=auto"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Makes this machine one that multiplies in bfloat16, or one that does not."""
    return lambda has: monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has}, raising=False)


def test_the_first_launch_chooses_for_all(
    tiny: Callable[..., Config], tmp_path: Path, machine: Callable[[bool], None]
) -> None:
    machine(True)
    first = open_sweep(tiny(AUTO), "x", tmp_path / "sweep")
    assert first.settle(tiny(AUTO, "seed=1")).trainer.precision == "bf16-mixed"
    machine(False)
    again = open_sweep(tiny(AUTO), "x", tmp_path / "other")
    assert again.run_id == first.run_id
    for launcher in ("local", "slurm", "ray"):
        settled = again.settle(tiny(AUTO, f"launcher={launcher}"))
        assert settled.trainer.precision == settled.resolved["trainer"]["precision"] == "bf16-mixed"
    assert again.settle(tiny("trainer.precision=64-true")).trainer.precision == "64-true"


def test_a_launch_on_other_machines_leaves_the_choice_to_them(tiny: Callable[..., Config], tmp_path: Path) -> None:
    elsewhere = tiny(AUTO, "launcher=slurm")
    assert open_sweep(elsewhere, "x", tmp_path / "sweep").settle(elsewhere) is elsewhere


def test_a_job_is_known_in_whatever_precision_it_was_run(
    tiny: Callable[..., Config], machine: Callable[[bool], None]
) -> None:
    machine(False)
    auto = tiny(AUTO)
    for precision in ("auto", "bf16-mixed", "16-mixed", "32-true"):
        state = RunState("1")
        state.tags.update(make_identity_tags(auto.with_precision(precision).resolved))
        assert is_same_job(auto, state)
        assert is_same_job(tiny(f"trainer.precision={precision}"), state)
        assert not is_same_job(tiny("trainer.precision=64-true"), state)
        assert not is_same_job(tiny(AUTO, "seed=7"), state)


def test_other_weights_in_the_same_place_are_another_run(compose: Callable[..., Config], tmp_path: Path) -> None:
    weights = tmp_path / "m"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(b"one")
    config = compose("model=gpt2", f"model.source={weights}")
    tags = {**make_identity_tags(config.resolved), "model.weights": digest_local(config.model)}
    state = RunState("r", tags=tags)
    assert is_same_job(config, state)
    (weights / "model.safetensors").write_bytes(b"two!")
    assert not is_same_job(config, state)
    assert is_same_job(config, RunState("r", tags=make_identity_tags(config.resolved))), "it did not say which it had"
    (weights / "model.safetensors").unlink()
    assert not is_same_job(config, state)
