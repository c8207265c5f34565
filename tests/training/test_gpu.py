"""What only a GPU shows: its number formats, its attention, its transfers. `MEDFT_TEST_DEVICE=cpu` runs it without."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medft.config.compose import compose_config
from medft.config.schema import Config, FullConfig, LoraConfig
from medft.data.batches import flatten, pad
from medft.data.samples import Sample
from medft.data.tokenizer import Gpt2Tokenizer
from medft.evaluation.generation import generate
from medft.model.build import build_model
from medft.model.loss import supervised_loss, use_flat_attention
from medft.training import fit as fit_room
from tests.training.test_fit import StopAt, train

DEVICE = os.environ.get("MEDFT_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "")
pytestmark = pytest.mark.skipif(not DEVICE, reason="no NVIDIA GPU")
FULL = compose_config().finetune
LORA = LoraConfig(method="lora", rank=8, alpha=64, dropout=0.0, target_modules="all-linear")


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_it_learns_what_a_processor_learns(
    tiny: Callable[..., Config], precision: str, method: FullConfig | LoraConfig
) -> None:
    if precision == "16-mixed" and DEVICE == "cpu":
        pytest.skip("16-mixed is for NVIDIA GPUs")
    on_device = (f"trainer.accelerator={DEVICE}", f"trainer.precision={precision}")
    # put in afterwards, since adapters around random weights are refused
    usual, other = (tiny(*settings).model_copy(update={"finetune": method}) for settings in ((), on_device))
    _, expected, _ = train(usual)
    result, seen, _ = train(other)
    assert seen.curve("val/loss") == pytest.approx(expected.curve("val/loss"), abs=0.03)
    assert seen.curve("val/loss")[-1] < seen.curve("val/loss")[0]
    assert result.costs and result.costs.peak_memory > 0
    assert {each.dtype for each in result.network.parameters()} == {torch.float32}


def test_an_interrupted_run_goes_on(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("trainer.max_epochs=2", f"trainer.accelerator={DEVICE}", "trainer.precision=bf16-mixed")
    _, whole, _ = train(tiny(*settings))
    interrupted = tiny(*settings, f"paths.output_dir={tmp_path / 'interrupted'}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit_room, "Costs", lambda memory: StopAt(memory, 7))
        train(interrupted)
    last = interrupted.paths.output / "checkpoints" / "last.ckpt"
    _, rest, _ = train(tiny(*settings, f"paths.output_dir={tmp_path / 'on'}", f"trainer.resume_from={last}"))
    assert 0 < len(rest.curve("val/loss")) < len(whole.curve("val/loss"))
    after = whole.curve("val/loss")[-len(rest.curve("val/loss")) :]
    assert rest.curve("val/loss") == pytest.approx(after, abs=0.005)


@pytest.mark.parametrize("low", [None, torch.bfloat16], ids=["float32", "bfloat16"])
def test_flattened_samples_are_read_as_padded_ones(low: torch.dtype | None) -> None:
    network = small_model().to(DEVICE)
    samples = [Sample(list(range(5, 5 + size)), 1) for size in (40, 9, 25)]
    losses = []
    with torch.no_grad(), torch.autocast(DEVICE, low or torch.bfloat16, enabled=low is not None):
        losses.append(float(supervised_loss(network, pad(samples, 0).to(torch.device(DEVICE)))))
        with use_flat_attention(network):
            losses.append(float(supervised_loss(network, flatten(samples).to(torch.device(DEVICE)))))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if low else 1e-5)


def test_answers_are_those_of_a_processor() -> None:
    network, prompts = small_model(), [[number, 7, 9] * (number % 5 + 1) for number in range(20)]
    settings = compose_config(["generation.max_new_tokens=24"]).generation
    expected = generate(network, prompts, settings, 1, 0)
    seen = generate(network.to(DEVICE), prompts, settings, None, 0)
    for one, other in zip(expected, seen, strict=True):
        assert one.token_ids == other.token_ids or one.near_tie


def small_model() -> torch.nn.Module:
    shape = {"n_layer": 2, "n_head": 4, "n_embd": 64}
    config = compose_config(["model=gpt2-nano", *(f"model.shape.{key}={value}" for key, value in shape.items())])
    return build_model(config.model, None, Gpt2Tokenizer(), 3).eval()
