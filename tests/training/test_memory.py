"""What a training may take is planned from what is free; the plan is kept to."""

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medft.config.schema import Config
from medft.data.batches import MicroBatches
from medft.data.tokenizer import Gpt2Tokenizer
from medft.model.build import build_model
from medft.model.hardware import processor_has_bfloat16
from medft.model.head import keep_logits_out
from medft.training import memory
from medft.training.memory import MemoryPlan, keep_to_plan, measure_free, plan_memory, release_memory

MIB = 1 << 20


def plan(config: Config, monkeypatch: pytest.MonkeyPatch, free: float) -> MemoryPlan:
    monkeypatch.setattr(memory, "measure_free", lambda device: int(free))
    network = build_model(config.model, None, Gpt2Tokenizer(), 0).train()
    return plan_memory(config, network, network, "cpu", MicroBatches(config.dataset.collate, 0))


@pytest.fixture
def sized(tiny: Callable[..., Config]) -> Callable[..., Config]:
    """Layers enough that what they keep matters."""
    shape = ("model.shape.n_layer=6", "model.shape.n_embd=64", "dataset.max_length=100")
    return lambda *settings: tiny(*shape, "dataset.collate=pad", *settings)


def test_less_is_read_at_once_where_less_is_free(sized: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = plan(sized(), monkeypatch, 1 << 40)
    assert (roomy.tokens_per_forward, roomy.recompute_above) == (384, 576)
    half = plan(sized("trainer.tokens_per_forward=256"), monkeypatch, 1 << 40)
    per_token = (roomy.peak - half.peak) / 128
    fixed = roomy.peak - 384 * per_token
    enough_for = {tokens: (fixed + tokens * per_token) / 0.8 for tokens in (600, 250, 140, 90, 0)}
    found = {tokens: plan(sized(), monkeypatch, free) for tokens, free in enough_for.items()}
    assert [found[tokens].tokens_per_forward for tokens in (600, 250, 140)] == [384, 192, 96]
    assert found[140].recompute_above == 144
    assert found[90].recompute_above == 0  # no whole sample fits
    assert found[0].tokens_per_forward == 64


def test_what_is_asked_for_is_done(sized: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("trainer.tokens_per_forward=300", "trainer.gradient_checkpointing=false")
    small = plan(sized(*settings), monkeypatch, 0)
    assert (small.tokens_per_forward, small.recompute_above) == (300, None)
    always = plan(sized("trainer.gradient_checkpointing=true"), monkeypatch, 1 << 40)
    assert always.recompute_above == 0
    assert always.peak < plan(sized(), monkeypatch, 1 << 40).peak


def test_a_long_sample_takes_no_more_than_a_forward_pass(
    sized: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sized("trainer.tokens_per_forward=40")
    found = plan(config, monkeypatch, 1 << 40)
    assert found.recompute_above == 60
    network, collate = build_model(config.model, None, Gpt2Tokenizer(), 0).train(), MicroBatches("pad", 0)
    with keep_logits_out(network):  # of this vocabulary they would be most of it
        with keep_to_plan(found, network, collate):
            kept = {tokens: memory._count_kept(network, collate, tokens) for tokens in (40, 60, 100)}
        assert kept[40] < kept[60] and kept[100] < kept[40]
        assert memory._count_kept(network, collate, 100) > kept[60]  # as before
    without = plan(sized("trainer.tokens_per_forward=40", "trainer.gradient_checkpointing=false"), monkeypatch, 1 << 40)
    assert without.recompute_above is None
    assert found.peak < without.peak


def test_a_container_has_less_than_its_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text("1:cpu:/\n0::/job/step\n")
    (tmp_path / "job" / "step").mkdir(parents=True)
    for folder, most in ((tmp_path / "job", str(100 * MIB)), (tmp_path / "job" / "step", "max")):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{60 * MIB}\n")
        (folder / "memory.stat").write_text(f"anon {1 * MIB}\ninactive_file {20 * MIB}\n")
    assert measure_free("cpu") == 60 * MIB
    (tmp_path / "job" / "memory.max").write_text("max\n")
    assert measure_free("cpu") > 100 * MIB


def test_planning_draws_no_random_numbers(sized: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    config = sized("model.dropout=0.1")
    network = build_model(config.model, None, Gpt2Tokenizer(), 0).train()
    before = torch.get_rng_state()
    plan_memory(config, network, network, "cpu", MicroBatches("pad", 0))
    assert torch.equal(torch.get_rng_state(), before)


_SHAPES = """
import torch
import medft.training.memory
layer = torch.nn.Linear(576, 1536, bias=False)
for rows in range(100, 700, 3):
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.zeros(1, rows, 576, requires_grad=True))
    out.sum().backward()
# of this program; `getrusage` also counts the one that has started it
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not processor_has_bfloat16(), reason="no products of bfloat16 in this processor")
def test_batches_of_ever_new_lengths_do_not_fill_the_memory() -> None:
    def measure(**environment: str) -> int:
        """MiB at most."""
        variables = {key: value for key, value in os.environ.items() if "CACHE_CAPACITY" not in key}
        done = subprocess.run(
            [sys.executable, "-c", _SHAPES], env=variables | environment, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        return int(done.stdout) // 1024

    usual = measure(ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024", LRU_CACHE_CAPACITY="1024")
    ours = measure()
    print(f"{usual} and {ours} MiB")
    assert ours < usual - 100


def test_what_earlier_work_has_left_is_given_back() -> None:
    class Left:
        pass

    left = Left()
    left.itself = left  # type: ignore[attr-defined]
    known = weakref.ref(left)
    gc.disable()
    try:
        del left
        assert known() is not None
        release_memory()
        assert known() is None
    finally:
        gc.enable()
