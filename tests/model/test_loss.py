"""Both collates give the same losses and gradients, in double precision."""

from collections.abc import Iterator

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from medft.config.compose import compose_config
from medft.data.batches import Batch, flatten, pad
from medft.data.encode import Encoded, Tokens
from medft.data.samples import Sample, make_samples
from medft.errors import ModelError
from medft.model.build import prepare
from medft.model.loss import check_flat_attention, supervised_loss, use_flat_attention
from tests.model.small import SHAPES, shape_of


@pytest.fixture(params=SHAPES)
def network(request: pytest.FixtureRequest) -> Iterator[PreTrainedModel]:
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **shape_of(request.param, 101))
    for name in ("embd_pdrop", "resid_pdrop", "attn_pdrop"):
        setattr(config, name, 0.0)
    yield AutoModelForCausalLM.from_config(config, dtype=torch.float64).train()


def samples(loss_on: str) -> list[Sample]:
    generator = torch.Generator().manual_seed(7)
    encoded = []
    for prompt, answer in ((5, 12), (1, 3), (9, 30), (2, 1), (7, 7)):
        ids = torch.randint(1, 101, (prompt + answer,), generator=generator).tolist()
        encoded.append(Encoded(ids[:prompt], [*ids[prompt:], 0]))
    config = compose_config(["dataset.max_length=32", f"dataset.loss_on={loss_on}"])
    return list(make_samples(Tokens.from_encoded(encoded), config.dataset, [])[0])


def loss_and_gradients(network: PreTrainedModel, batches: list[Batch]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The mean over all supervised tokens of several micro-batches, as one optimizer step sees it."""
    network.zero_grad()
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for batch in batches:
        loss = supervised_loss(network, batch)
        loss.backward()
        total, tokens = total + loss.detach(), tokens + batch.learned
    gradients = [p.grad / tokens for p in network.parameters() if p.grad is not None]
    return total / tokens, gradients


def assert_same(one: tuple[torch.Tensor, list[torch.Tensor]], other: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=1e-12, atol=1e-12)
    assert len(one[1]) == len(other[1])
    for left, right in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss_on", ["response", "all"])
def test_flatten_and_pad_agree(network: PreTrainedModel, loss_on: str) -> None:
    rows = samples(loss_on)
    expected = loss_and_gradients(network, [pad(rows, 0)])
    with use_flat_attention(network):
        flattened = loss_and_gradients(network, [flatten(rows)])
    assert_same(expected, flattened)


@pytest.mark.parametrize("loss_on", ["response", "all"])
def test_accumulation_is_weighted_by_supervised_tokens(network: PreTrainedModel, loss_on: str) -> None:
    rows = samples(loss_on)
    expected = loss_and_gradients(network, [pad(rows, 0)])
    with use_flat_attention(network):
        flattened = loss_and_gradients(network, [flatten(rows[:2]), flatten(rows[2:])])
    assert_same(expected, flattened)


def test_padded_loss_is_that_of_transformers(network: PreTrainedModel) -> None:
    for row in samples("response"):
        ids = torch.tensor([row.input_ids])
        labels = ids.clone()
        labels[:, : row.supervised_from] = -100
        expected = network(input_ids=ids, labels=labels).loss
        batch = pad([row], 0)
        loss = supervised_loss(network, batch) / batch.learned
        torch.testing.assert_close(loss.float(), expected.float())


def test_no_token_sees_another_sample(network: PreTrainedModel) -> None:
    first, second = Sample([3, 4, 5, 6], 1), Sample([7, 8, 9], 1)
    other = Sample([50, 51, 52, 53], 1)
    with use_flat_attention(network), torch.no_grad():
        one = network(**flatten([first, second]).inputs).logits[0, 3:]
        two = network(**flatten([other, second]).inputs).logits[0, 3:]
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_generation_works_again_after_flat(network: PreTrainedModel) -> None:
    before = network.config._attn_implementation
    with use_flat_attention(network):
        assert network.config._attn_implementation == "medft_flat"
    assert network.config._attn_implementation == before
    written = network.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert 3 < written.shape[1] <= 6


def test_a_model_that_ignores_where_samples_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = AutoConfig.for_model("gpt2", **shape_of("gpt2", 101))
    network = AutoModelForCausalLM.from_config(config).eval()
    check_flat_attention(network, 64)

    def one_long_sequence(module: object, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
                          attention_mask: object, **_: object) -> tuple[torch.Tensor, None]:  # fmt: skip
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return out.transpose(1, 2).contiguous(), None

    monkeypatch.setattr("medft.model.loss.flat_attention", one_long_sequence)
    for block in network.transformer.h:  # the effect is small at initialisation
        block.attn.c_attn.weight.data.mul_(40)
        block.attn.c_proj.weight.data.mul_(40)
    with pytest.raises(ModelError, match="set dataset.collate=pad"):
        check_flat_attention(network, 64)


def make_windowed(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 16,
             "intermediate_size": 24, "max_position_embeddings": 64, "vocab_size": 101, "sliding_window": 8,
             "head_dim": 4, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
    more = {"qwen2": {"use_sliding_window": True, "max_window_layers": 0}}.get(family, {})
    config = AutoConfig.for_model(family, **sizes, **more)
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float64)
    for parameter in network.parameters():  # the effect is small at initialisation
        parameter.data.mul_(4)
    return network.eval()


@pytest.mark.parametrize("family", ["mistral", "qwen2", "phi3", "gemma3_text"])
def test_sliding_windows_are_kept(family: str) -> None:
    network = make_windowed(family)
    check_flat_attention(network, 64)
    generator = torch.Generator().manual_seed(7)
    rows = [Sample(torch.randint(1, 101, (size,), generator=generator).tolist(), 1) for size in (40, 25)]
    with torch.no_grad():
        expected = supervised_loss(network, pad(rows, 0))
        with use_flat_attention(network):
            flattened = supervised_loss(network, flatten(rows))
        network.config.sliding_window = 64
        for module in network.modules():
            if getattr(module, "sliding_window", None):
                module.sliding_window = 64
        with use_flat_attention(network):
            unbounded = supervised_loss(network, flatten(rows))
    torch.testing.assert_close(flattened, expected, rtol=1e-9, atol=0)
    assert abs(float(unbounded - expected)) > 1e-3, "the window makes a difference here"


def test_a_window_that_is_ignored_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from medft.model import loss

    kept = loss.flat_attention
    monkeypatch.setattr(loss, "flat_attention", lambda *parts, sliding_window=None, **more: kept(*parts, **more))
    with pytest.raises(ModelError, match="set dataset.collate=pad"):
        check_flat_attention(make_windowed("mistral"), 64)
    check_flat_attention(make_windowed("mistral"), 8)  # no sample is longer than the window


def test_soft_caps_are_refused() -> None:
    with pytest.raises(ModelError, match="soft caps.*set dataset.collate=pad"):
        check_flat_attention(make_windowed("gemma2"), 64)


def test_lora_reads_flattened_batches(network: PreTrainedModel) -> None:
    from medft.config.schema import LoraConfig

    lora = LoraConfig(method="lora", rank=2, alpha=4.0, dropout=0.0, target_modules="all-linear")
    tuned = prepare(network, lora).double()
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:  # zero at first, which would hide the adapters
            torch.nn.init.normal_(parameter, std=0.1)
    expected = loss_and_gradients(tuned, [pad(samples("response"), 0)])
    with use_flat_attention(network):
        flattened = loss_and_gradients(tuned, [flatten(samples("response"))])
    assert 0 < len(flattened[1]) < len(list(tuned.parameters()))
    assert_same(expected, flattened)
