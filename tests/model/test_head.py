"""The head's loss in chunks is that of the whole logits, in double precision; who does more with logits keeps them."""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from medft.data.batches import flatten, pad
from medft.data.samples import Sample
from medft.model import head as head_room
from medft.model.head import HeadLoss, keep_logits_out, read_head
from medft.model.loss import supervised_loss, use_flat_attention

SAMPLES = [Sample([5, 9, 11, 7, 3], 1), Sample([8, 2, 6], 2)]
SHAPES = {
    "gpt2": {"n_layer": 1, "n_head": 2, "n_embd": 16},
    "llama": {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24},
    "gemma2": {
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 16, "head_dim": 8,
        "intermediate_size": 24, "final_logit_softcapping": 0.5,
    },
}  # fmt: skip


def make(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SHAPES[kind], vocab_size=101, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    network: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
    return network


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("has_bias", [True, False])
def test_loss_and_gradients_are_those_of_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, rows: int, has_bias: bool
) -> None:
    monkeypatch.setitem(head_room._CHUNK, "cpu", 3 * 11 * 8)  # three rows
    torch.manual_seed(1)
    parts = [torch.randn(rows, 8), torch.randn(11, 8), *([torch.randn(11)] if has_bias else [])]
    targets = torch.randint(0, 11, (rows,))
    inputs = [part.double().requires_grad_() for part in parts]
    others = [part.double().requires_grad_() for part in parts]
    expected = cross_entropy(linear(*inputs), targets, reduction="sum")
    (expected * 0.3).backward()
    loss = HeadLoss.apply(*others, *([] if has_bias else [None]), targets)
    (loss * 0.3).backward()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(inputs, others, strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-10, atol=1e-12)


def test_enormous_logits_do_not_overflow() -> None:
    hidden, weight = torch.full((2, 1), 1000.0), torch.tensor([[1.0], [-1.0]])
    loss = HeadLoss.apply(hidden, weight, None, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(2000.0)


def test_a_frozen_head_costs_no_gradient() -> None:
    hidden = torch.randn(4, 8, requires_grad=True)
    weight = torch.randn(11, 8)
    HeadLoss.apply(hidden, weight, None, torch.tensor([1, 2, 3, 4])).backward()
    assert hidden.grad is not None and weight.grad is None


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("is_flat", [True, False])
def test_models_learn_the_same_without_their_logits(kind: str, is_flat: bool) -> None:
    network = make(kind)
    batch = flatten(SAMPLES) if is_flat else pad(SAMPLES, 0)
    results = []
    for kept_out in (False, True):
        network.zero_grad()
        with keep_logits_out(network) if kept_out else torch.enable_grad():
            assert (read_head(network) is not None) == kept_out
            if is_flat:
                with use_flat_attention(network):
                    loss = supervised_loss(network, batch)
            else:
                loss = supervised_loss(network, batch)
            loss.backward()
        results.append([loss.detach(), *(each.grad for each in network.parameters() if each.grad is not None)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


def test_a_validation_computes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    network, asked = make("llama"), []
    monkeypatch.setattr(torch, "zeros_like", lambda *_: asked.append(1))
    with keep_logits_out(network):
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                supervised_loss(network, pad(SAMPLES, 0))
    assert not asked


def test_the_head_is_its_own_again() -> None:
    network = make("llama")
    ids = torch.tensor([[1, 2, 3]])
    before = network(ids).logits
    with pytest.raises(RuntimeError, match="in the middle"), keep_logits_out(network):
        assert network(ids).logits.shape[-1] == 16
        raise RuntimeError("in the middle")
    assert torch.equal(network(ids).logits, before)


def test_a_model_that_caps_its_logits_keeps_them() -> None:
    network = make("gemma2")
    plain = supervised_loss(network, pad(SAMPLES, 0))
    with keep_logits_out(network):
        assert read_head(network) is None
        assert torch.equal(supervised_loss(network, pad(SAMPLES, 0)), plain)
