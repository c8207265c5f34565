"""GGUF files: weights come back as they were, llama.cpp's server computes what transformers does."""

import contextlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import gguf
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from medft.config.schema import Config
from medft.data.example import Example
from medft.data.pre_tokenizers import PRE_TOKENIZERS, name_pre_tokenizer
from medft.data.tokenizer import OwnTokenizer
from medft.errors import ModelError
from medft.export import gguf_tensors
from medft.export.gguf_file import NumberType, read_back, write_gguf
from medft.export.gguf_tensors import ARCHITECTURES, Architecture, find_architecture
from medft.export.hf_folder import write_folder
from medft.export.readers import start_llama
from medft.export.verify import LIMITS, Limits, NotVerified, verify
from medft.model.sources.gguf import convert
from medft.runs.trained_model import TrainedModel
from tests.composed import composed
from tests.export.small import END, SHAPES, make_model

QUESTIONS = [
    Example(str(number), "g", text, given, answer)
    for number, (text, given, answer) in enumerate([
        ("What is gout?", "", "Gout is a kind of arthritis."),
        ("How many of 1,234 patients?", "In 2024, 56% of them.", "About 691."),
        ("什么是痛风？ \U0001f600", "", "痛风是一种关节炎。"),
        ("Don't  they\n\nneed  100mg?", "", "No."),
    ])
]  # fmt: skip
needs_llama = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")


def write(model: TrainedModel, place: Path, kind: Any = "f32") -> Path:
    folder, file = place / "folder", place / "model.gguf"
    write_folder(model, folder)
    write_gguf(model.network, folder, file, kind, "small")
    return file


@pytest.mark.parametrize("kind", SHAPES)
def test_weights_come_back(kind: str, tmp_path: Path) -> None:
    model = make_model(kind, tmp_path / "own")
    back = read_back(write(model, tmp_path), model.network)
    own, other = model.network.state_dict(), back.state_dict()
    assert own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)
    changed = {"gpt2": "h.0.attn.c_attn", "llama": "0.self_attn.q_proj", "gpt_neox": "0.attention.query_key_value"}
    if kind in changed:  # they are laid out otherwise in the file
        stored = {each.name: each for each in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
        name = next(each for each in own if changed[kind] in each)
        there = stored[gguf_tensors.rename([name], find_architecture(model.network.config), 2)[name]]
        assert not torch.equal(torch.tensor(there.data).reshape(own[name].shape), own[name])


def test_words_are_not_of_eight_bits(tmp_path: Path) -> None:
    model = make_model("llama", tmp_path / "own")
    numbers = {each.name: each.tensor_type.name for each in gguf.GGUFReader(write(model, tmp_path, "q8_0")).tensors}
    assert {name: number for name, number in numbers.items() if number != "Q8_0"} == {
        "token_embd.weight": "F16", "output.weight": "F16",
        **{name: "F32" for name in numbers if "norm" in name},
    }  # fmt: skip


def test_the_end_token_comes_back(tmp_path: Path) -> None:
    model = make_model("gpt2", tmp_path / "own")
    assert read_back(write(model, tmp_path), model.network).generation_config.eos_token_id == END
    model.network.config.eos_token_id = 11
    assert read_back(write(model, tmp_path), model.network).generation_config.eos_token_id == 11


@needs_llama
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "prompt", "numbers"),
    [
        ("gpt2", "alpaca", ("f32", "f16")),
        ("llama", "chat", get_args(NumberType)),
        ("qwen2", "alpaca", ("f32", "q8_0")),
        ("qwen3", "chat", ("f32", "q8_0")),
        ("gpt_neox", "alpaca", ("f32", "q8_0")),
    ],
)
def test_llama_answers_as_the_trained_model_does(
    kind: str, prompt: str, numbers: Sequence[NumberType], tmp_path: Path
) -> None:
    split = PRE_TOKENIZERS[{"llama": "smollm", "qwen2": "qwen2", "qwen3": "qwen2"}.get(kind, "gpt-2")]
    model = make_model(kind, tmp_path / "own", prompt, split)
    questions = QUESTIONS if prompt == "alpaca" else [each for each in QUESTIONS if not each.input]
    for number in numbers:
        (tmp_path / number).mkdir()
        file = write(model, tmp_path / number, number)
        with start_llama(file, 250, 12) as reader:
            found = verify(model, read_back(file, model.network), reader, questions, LIMITS[number])
        print(kind, prompt, number, found)
        assert found.equal + found.near_ties == len(questions)
        assert number != "f32" or (found.equal, found.loss_difference) == (len(questions), 0)


def test_a_number_that_f16_cannot_hold_is_refused(tmp_path: Path) -> None:
    model = make_model("llama", tmp_path / "own")
    with torch.no_grad():
        model.network.model.layers[1].mlp.up_proj.weight[3, 4] = 7e4
    with pytest.raises(ModelError, match=r"type=f16: blk\.1\.ffn_up\.weight has 70000, and f16 ends at 65504"):
        write(model, tmp_path, "f16")


def test_code_beside_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("llama", tmp_path / "own")
    file = write(model, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"})
    )
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # transformers would ask
    settings = composed("model=smollm2-135m", f"model.source={file}", "model.sha256=null").model
    with contextlib.suppress(ModelError):
        convert(file, settings, tmp_path / "cache")
    assert not (tmp_path / "ran").exists()


def test_what_llama_has_not_is_refused(tmp_path: Path) -> None:
    opt = AutoConfig.for_model("opt")
    with pytest.raises(ModelError, match=r"opt models are not among those it can write \(gpt2, llama"):
        find_architecture(opt)
    scaled = AutoConfig.for_model("llama")
    scaled.rope_parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(ModelError, match="rope_type=linear"):
        find_architecture(scaled)
    model = make_model("llama", tmp_path / "own", pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(ModelError, match="no name for how its tokenizer splits"):
        write(model, tmp_path)


def test_a_file_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    model = make_model("gpt2", tmp_path / "own")
    file = write(model, tmp_path)
    larger = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", **SHAPES["gpt2"] | {"n_layer": 3, "vocab_size": END + 1})
    )
    with pytest.raises(ModelError, match=r"has no weight blk\.2\."):
        read_back(file, larger)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_a_converted_file_splits_texts_as_it_says(name: str, tmp_path: Path, compose: Callable[..., Config]) -> None:
    model = make_model("llama", tmp_path / "own", pre_tokenizer=PRE_TOKENIZERS[name])
    file = write(model, tmp_path)
    ends = ("model.sha256=null", "model.end_token_id=null", "model.pad_token_id=null")
    settings = compose("model=smollm2-135m", f"model.source={file}", *ends).model
    again = OwnTokenizer(convert(file, settings, tmp_path / "cache"), None, None)
    texts = [text for each in QUESTIONS for text in (each.instruction, each.input, each.output)]
    assert again.encode_batch(texts) == model.tokenizer.encode_batch(texts)


def test_ways_to_split_a_text_are_told_apart() -> None:
    assert [name_pre_tokenizer(each) for each in PRE_TOKENIZERS.values()] == list(PRE_TOKENIZERS)
    assert name_pre_tokenizer({**PRE_TOKENIZERS["gpt-2"], "trim_offsets": False}) == "gpt-2"
    assert name_pre_tokenizer({**PRE_TOKENIZERS["gpt-2"], "use_regex": False}) is None
    assert name_pre_tokenizer(None) is None


@needs_llama
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("llama", gguf_tensors._keep),  # the rotary halves are not paired
        ("gpt_neox", gguf_tensors._keep),  # heads are not parted
    ],
)
def test_a_wrong_layout_is_found_by_the_answers(
    kind: str, broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's own reader undoes what its writer did wrong: only llama.cpp's answers tell."""
    right = ARCHITECTURES[kind]
    monkeypatch.setitem(ARCHITECTURES, kind, Architecture(right.name, right.number, broken, right.describe))
    model = make_model(kind, tmp_path / "own")
    file = write(model, tmp_path)
    with start_llama(file, 250, 12) as reader, pytest.raises(NotVerified, match=r"llama\.cpp answers .* otherwise"):
        verify(model, read_back(file, model.network), reader, QUESTIONS, Limits())
