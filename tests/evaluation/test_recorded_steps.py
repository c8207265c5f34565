"""Steps of writing as a GPU records them; here a recorded step is computed again, in the same memory."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from medft.config.schema import Config
from medft.evaluation import generation
from medft.evaluation.generation import generate
from medft.evaluation.recorded_steps import RecordedSteps, can_record
from medft.evaluation.shared_cache import SharedCache
from tests.evaluation.test_generation import most_scattered_token, questions, small

KINDS = ("gpt2", "llama", "gpt_neox")


class Recorder:
    """Repeats a computation into the memory of its first result, as a CUDA graph does."""

    def __init__(self) -> None:
        self.recorded = self.repeated = 0

    def __call__(self, compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        logits = compute()
        self.recorded += 1

        def repeat() -> None:
            self.repeated += 1
            logits.copy_(compute())

        return repeat, logits


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(generation, "record_graph", recorder)
    monkeypatch.setattr("medft.evaluation.recorded_steps._COLUMNS", 16)
    return recorder


@pytest.mark.parametrize("places", [3, 7, None])
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_steps_write_the_same(
    tiny: Callable[..., Config], recorder: Recorder, monkeypatch: pytest.MonkeyPatch, kind: str, places: int | None
) -> None:
    model, prompts = small(kind), questions(24)
    config = tiny("generation.max_new_tokens=20").generation
    model.generation_config.eos_token_id = most_scattered_token(
        [each.token_ids for each in generate(model, prompts, config, None, seed=0)]
    )
    expected = generate(model, prompts, config, places, seed=0)
    assert not recorder.recorded
    monkeypatch.setattr(generation, "can_record", lambda network: True)
    assert generate(model, prompts, config, places, seed=0) == expected
    assert len({len(each.token_ids) for each in expected}) > 3  # rows leave, others take their places
    assert 1 < recorder.recorded < recorder.repeated / 2


def test_repetitions_and_chances_are_those_of_other_steps(
    tiny: Callable[..., Config], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompts = small("llama"), questions(12)
    config = tiny(
        "generation=sample", "generation.max_new_tokens=20", "generation.temperature=2.0",
        "generation.repetition_penalty=1.3",
    ).generation  # fmt: skip
    expected = generate(model, prompts, config, 5, seed=0)
    monkeypatch.setattr(generation, "can_record", lambda network: True)
    assert generate(model, prompts, config, 5, seed=0) == expected
    assert recorder.repeated


def test_a_model_that_cannot_be_recorded_writes_without(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, prompts = small("llama"), questions(6)
    config = tiny("generation.max_new_tokens=8").generation
    expected = generate(model, prompts, config, None, seed=0)

    def fail(compute: Callable[[], Tensor]) -> Any:
        compute()  # what it has written is written again
        raise RuntimeError("operation not permitted when stream is capturing\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(generation, "record_graph", fail)
    monkeypatch.setattr(generation, "can_record", lambda network: True)
    assert generate(model, prompts, config, None, seed=0) == expected
    said = capsys.readouterr()
    assert (said.out + said.err).count("without CUDA graphs") == 1
    assert "TORCH_USE" not in said.out + said.err


def test_places_that_are_not_in_use_see_something() -> None:
    """Attention to nothing is no number, in some kernels, and would stay in the cache."""
    masks: list[Tensor] = []

    def network(attention_mask: Tensor, **_: Any) -> Any:
        masks.append(attention_mask)
        return SimpleNamespace(logits=torch.zeros(len(attention_mask), 1, 5))

    cache = SharedCache(2, places=8, columns=64)
    cache.rows, cache.filled = 5, 3
    mask = torch.zeros(8, 64, dtype=torch.bool)
    mask[:5, :4] = True
    zeros = torch.zeros(8, dtype=torch.long)
    logits = RecordedSteps(network, cache, zeros, zeros, mask, Recorder()).compute()
    assert logits.shape == (5, 5)
    assert masks[0].shape == (8, 1, 1, 64)
    assert masks[0].any(-1).all()
    assert masks[0][5:].sum() == 3


def test_only_a_gpu_records_and_only_what_sees_all_tokens() -> None:
    class Network:
        def __init__(self, device: str, window: int | None) -> None:
            self.device = torch.device(device)
            self.config = type("Shape", (), {"sliding_window": window})()

    assert can_record(Network("cuda", None))
    assert not can_record(Network("cuda", 128))
    assert not can_record(Network("cpu", None))
