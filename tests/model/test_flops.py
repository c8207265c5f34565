"""The work of training: as torch counts the operations that it does, and a machine's peak."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from medft.config.compose import compose_config
from medft.config.schema import LoraConfig
from medft.data.encode import Encoded, Tokens
from medft.data.samples import make_samples
from medft.model.build import prepare
from medft.model.flops import count_training_flops, measure_peak_flops
from medft.model.loss import supervised_loss

LORA = LoraConfig(method="lora", rank=2, alpha=4, dropout=0.0, target_modules="all-linear")


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_they_are_those_that_torch_does(family: str, method: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from medft.data.batches import pad

    shape = {"num_attention_heads": 4, "num_hidden_layers": 12, "hidden_size": 64, "vocab_size": 96}
    more = {"num_key_value_heads": 2, "intermediate_size": 96, "tie_word_embeddings": False}
    config = AutoConfig.for_model(family, **shape, **(more if family == "llama" else {}))
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    tuned = prepare(network, compose_config().finetune if method == "full" else LORA)
    settings = compose_config().dataset.model_copy(update={"max_length": 64})
    samples, _ = make_samples(Tokens.from_encoded([Encoded([7] * 20, [5] * 30)]), settings, [])
    with FlopCounterMode(display=False) as counter:
        # as padded rows are read, but with the head where something is learned
        batch = pad([samples[0]], pad_token_id=0)
        supervised_loss(tuned, batch).backward()
    # a sample of n tokens has n - 1 that are read, and the first layer's inputs need no gradients beside LoRA's
    assert counter.get_total_flops() == pytest.approx(count_training_flops(tuned, samples) * 49, rel=0.05)


def test_a_processor_multiplies_faster_than_nothing_and_a_gpu_as_its_data_sheet_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = measure_peak_flops("cpu", "32-true")
    assert measured and 1e8 < measured < 1e14
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    look_up = measure_peak_flops.__wrapped__
    assert look_up("cuda", "bf16-mixed") == 989e12
    assert look_up("cuda", "32-true") is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 PCIe")
    assert look_up("cuda", "bf16-mixed") == 756e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card of next year")
    assert look_up("cuda", "16-mixed") is None
