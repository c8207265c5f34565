"""Compiled layers compute the same, and are compiled for no length of a batch again."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import AutoConfig, AutoModelForCausalLM

from medft.config.schema import Config
from medft.data.batches import Batch, flatten, pad
from medft.data.samples import Sample
from medft.errors import ModelError
from medft.model.loss import supervised_loss, use_flat_attention
from medft.training import compiling
from medft.training.compiling import compile_layers, find_layers
from tests.training.test_fit import train

# torch looks at all that tensors have, and what warns of it is an error in these tests
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]
KINDS = ("llama", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("gpt2", "gpt_neox")))
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
         "vocab_size": 60, "max_position_embeddings": 64}  # fmt: skip


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing that another test has compiled."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch makes of the code is run as it is: to compile it to machine code takes most of a minute."""
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")


def small(kind: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL)).eval()  # without dropout


def batches(lay_out: Callable[[list[Sample]], Batch]) -> list[Batch]:
    lengths = [[9, 21, 4], [30], [12, 7, 7, 13, 2], [25, 25], [6, 40, 17, 3], [11, 18, 22]]
    return [lay_out([Sample([place % 50 + 5 for place in range(size)], 1) for size in each]) for each in lengths]


def learn(network: Any, batch: Batch) -> tuple[float, list[torch.Tensor]]:
    network.zero_grad()
    loss = supervised_loss(network, batch)
    loss.backward()
    return float(loss.detach()), [each.grad.clone() for each in network.parameters() if each.grad is not None]


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_the_same_and_nothing_is_compiled_twice(kind: str) -> None:
    network = small(kind)
    several = batches(flatten)
    with use_flat_attention(network):
        expected = [learn(network, batch) for batch in several]
        with compile_layers(network):
            seen = [learn(network, batch) for batch in several[:2]]
            compiled = counters["stats"]["unique_graphs"]
            seen += [learn(network, batch) for batch in several[2:]]
            assert 0 < compiled == counters["stats"]["unique_graphs"]
    for (loss, gradients), (other, others) in zip(expected, seen, strict=True):
        assert other == pytest.approx(loss, rel=1e-5)
        for one, two in zip(gradients, others, strict=True):
            torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_a_run_learns_the_same(tiny: Callable[..., Config]) -> None:
    _, expected, _ = train(tiny("trainer.max_epochs=2"))
    result, seen, _ = train(tiny("trainer.max_epochs=2", "trainer.compile=true"))
    assert counters["stats"]["unique_graphs"] > 0
    assert seen.curve("val/loss") == pytest.approx(expected.curve("val/loss"), rel=1e-4)
    assert all(layer._compiled_call_impl is None for layer in find_layers(result.network))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_machine_code_computes_the_same() -> None:
    network = small("llama")
    several = batches(lambda samples: pad(samples, 0))
    expected = [learn(network, batch)[0] for batch in several]
    with compile_layers(network):
        assert [learn(network, batch)[0] for batch in several] == pytest.approx(expected, rel=1e-5)


def test_a_model_without_a_list_of_layers_is_refused() -> None:
    network = small("gpt2")
    network.config.num_hidden_layers = 4
    with pytest.raises(ModelError, match="in no list"), compile_layers(network):
        pass
