"""Any causal language model from a directory: its own tokenizer and template, and learned from flattened batches."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from medft.config.schema import Config
from medft.data.batches import flatten, pad
from medft.data.encode import encode_examples
from medft.data.example import Example
from medft.data.samples import Sample
from medft.data.tokenizer import load_tokenizer
from medft.errors import ModelError
from medft.model.build import build_model, get_context_length
from medft.model.loss import supervised_loss, use_flat_attention
from medft.model.sources.resolve import resolve
from medft.training.settling import settle_model
from tests.model.small import SHAPES, save_model

ROWS = [Example("1", "1", "What is gout?", "", "A disease of joints."), Example("2", "2", "痛风?", "", "It hurts.")]


@pytest.mark.parametrize("chat", [None, "U: {{ messages[0].content }} A:"], ids=["alpaca", "chat"])
@pytest.mark.parametrize("family", SHAPES)
def test_a_directory_of_each_architecture_learns_from_flattened_batches(
    compose: Callable[..., Config], tmp_path: Path, family: str, chat: str | None
) -> None:
    folder = save_model(tmp_path / "mine", family, chat=chat)
    config = compose("model=auto", f"model.source={folder}", "dataset.max_length=64", "evaluation.max_length=64")
    directory = resolve(config.model, tmp_path)
    tokenizer = load_tokenizer(config.model, directory)
    network = build_model(config.model, directory, tokenizer, seed=0)
    assert (config.model.name, network.config.model_type, get_context_length(network)) == ("mine", family, 64)
    settled = settle_model(config, network, tokenizer)
    assert settled.dataset.collate == "flatten"
    encoded = encode_examples(ROWS, tokenizer, settled.dataset.prompt)
    assert tokenizer.decode(encoded[0].prompt).startswith("U: What" if chat else "Below is an instruction")
    samples = [Sample([*row.prompt, *row.answer][-64:], 10) for row in encoded]
    for parameter in network.double().parameters():  # what tells tokens apart is small at initialisation
        parameter.data.mul_(4)
    expected = supervised_loss(network.eval(), pad(samples, tokenizer.pad_token_id))
    with use_flat_attention(network):
        flattened = supervised_loss(network, flatten(samples))
    torch.testing.assert_close(flattened, expected, rtol=1e-12, atol=0)


def load(compose: Callable[..., Config], folder: Path) -> None:
    model = compose("model=auto", f"model.source={folder}").model
    directory = resolve(model, folder)
    build_model(model, directory, load_tokenizer(model, directory), seed=0)


def change(file: Path, **settings: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


CODE = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}


def ask_for_a_config(folder: Path) -> None:
    change(folder / "config.json", auto_map=CODE, model_type="evil")


def ask_for_a_tokenizer(folder: Path) -> None:
    change(folder / "tokenizer_config.json", auto_map=CODE, tokenizer_class="EvilTokenizer")


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def cut_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def reshape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "transformer.ln_f.weight": torch.ones(17)}, folder / "model.safetensors", {"format": "pt"})


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"transformer.ln_f.weight": Evil()}, folder / "pytorch_model.bin")


def lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.ln_f.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def add_adapters(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def lose_the_tokenizer(folder: Path) -> None:
    for file in (*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("merges*")):
        file.unlink()


def pickle_under_another_name(folder: Path) -> None:
    torch.save({"transformer.ln_f.weight": Evil()}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("poison", "told"),
    [
        (ask_for_a_config, "config.json: model_type=evil is none that transformers knows, and the code"),
        (ask_for_a_tokenizer, "tokenizer_config.json: tokenizer_class=EvilTokenizer is none that transformers knows"),
        (cut, "cannot be loaded (SafetensorError"),
        (cut_header, "cannot be loaded (SafetensorError"),
        (reshape, "the tensor transformer.ln_f.weight has the shape 17, by config.json it is 16"),
        (lose_a_weight, "weights are missing, among them transformer.ln_f.weight"),
        (add_adapters, "has adapters (adapter_config.json) beside its weights; merge them first"),
        (lose_the_tokenizer, "no tokenizer in it"),
        (pickle, "no weights in safetensors in it; pickled weights are not loaded"),
        (pickle_under_another_name, "cannot be loaded (SafetensorError"),
    ],
)
def test_poisoned_files_are_one_line_and_nothing_is_executed(
    compose: Callable[..., Config], tmp_path: Path, poison: Callable[[Path], None], told: str
) -> None:
    folder = save_model(tmp_path / "mine")
    (folder / "evil.py").write_text("from pathlib import Path\nPath('executed').touch()\n\n\nclass Evil: ...\n")
    load(compose, folder)
    poison(folder)
    with pytest.raises(ModelError) as caught:
        load(compose, folder)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("executed"))


def test_code_of_a_model_that_transformers_knows_is_left_alone(compose: Callable[..., Config], tmp_path: Path) -> None:
    folder = save_model(tmp_path / "mine")
    (folder / "evil.py").write_text("from pathlib import Path\nPath('executed').touch()\n\n\nclass Evil: ...\n")
    change(folder / "config.json", auto_map=CODE)
    change(folder / "tokenizer_config.json", auto_map=CODE)
    load(compose, folder)
    assert not list(tmp_path.rglob("executed"))


def test_a_model_that_says_no_context_length_is_one_line() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    network = MambaForCausalLM(MambaConfig(hidden_size=8, num_hidden_layers=1, vocab_size=20, state_size=2))
    with pytest.raises(ModelError, match="mamba models: how long a text they read stands nowhere"):
        get_context_length(network)
