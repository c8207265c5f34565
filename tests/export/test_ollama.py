"""A real Ollama server answers as the trained model does, by what the Modelfile says alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from medft.data.example import Example
from medft.data.tokenizer import load_tokenizer
from medft.errors import InputError, ModelError
from medft.export.gguf_file import read_back, write_gguf
from medft.export.hf_folder import TEMPLATE, write_folder
from medft.export.modelfile import Modelfile, make_modelfile
from medft.export.ollama import create_model
from medft.export.readers import OllamaReader
from medft.export.verify import LIMITS, NotVerified, Verification, verify
from medft.model.build import build_model
from medft.runs.trained_model import TrainedModel
from tests.composed import TINY, composed
from tests.export.small import make_model
from tests.export.test_gguf_file import QUESTIONS

ASKED = [Example(str(number), "g", text, "", "Yes.") for number, text in enumerate([
    "Is water wet? Answer with one word.",
    "Say hello.",
    "什么是痛风？",
    "List ten diseases of the heart.",
])]  # fmt: skip


@pytest.fixture(scope="module")
def model(smollm2: Path) -> TrainedModel:
    config = composed(*TINY[3:], "model=smollm2-135m", "generation.max_new_tokens=24")
    tokenizer = load_tokenizer(config.model, smollm2)
    return TrainedModel(build_model(config.model, smollm2, tokenizer, 0), tokenizer, config)


@pytest.fixture(scope="module")
def written(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Modelfile]]:
    place = tmp_path_factory.mktemp("gguf")
    write_folder(model, place / "folder")
    write_gguf(model.network, place / "folder", place / "model.gguf", "f16", "small")
    yield place / "model.gguf", make_modelfile(model, place / "folder", "none")


def check(model: TrainedModel, file: Path, modelfile: Modelfile, host: str) -> Verification:
    create_model(host, "exported", file, modelfile)
    return verify(model, read_back(file, model.network), OllamaReader(host, "exported"), ASKED, LIMITS["f16"])


@pytest.mark.slow
def test_ollama_answers_as_the_trained_model_does(
    model: TrainedModel, written: tuple[Path, Modelfile], ollama: str
) -> None:
    found = check(model, *written, ollama)
    assert found.equal + found.near_ties == len(ASKED)
    turns = [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Again."},
    ]
    told = httpx.post(
        f"{ollama}/api/chat", json={"model": "exported", "messages": turns, "stream": False}, timeout=60
    ).json()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(written[0].parent / "folder")
    expected = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert told["prompt_eval_count"] == len(expected)


@pytest.mark.slow
def test_the_servers_own_repeat_penalty_is_found(
    model: TrainedModel, written: tuple[Path, Modelfile], ollama: str
) -> None:
    file, modelfile = written
    without = {key: value for key, value in modelfile.parameters.items() if key != "repeat_penalty"}
    with pytest.raises(NotVerified, match="Ollama answers .* otherwise"):
        check(model, file, replace(modelfile, parameters=without), ollama)


@pytest.mark.slow
def test_another_template_is_found(model: TrainedModel, written: tuple[Path, Modelfile], ollama: str) -> None:
    file, modelfile = written
    other = replace(modelfile, template=modelfile.template.replace("named SmolLM", "named Ollama"))
    with pytest.raises(NotVerified, match="Ollama reads another prompt than was trained on"):
        check(model, file, other, ollama)


@pytest.mark.slow
def test_the_alpaca_prompt_with_and_without_input(tmp_path: Path, ollama: str) -> None:
    model = make_model("gpt2", tmp_path / "own")
    write_folder(model, tmp_path / "folder")
    file = tmp_path / "model.gguf"
    write_gguf(model.network, tmp_path / "folder", file, "f32", "small")
    create_model(ollama, "small", file, make_modelfile(model, tmp_path / "folder", "none"))
    exported = read_back(file, model.network)
    twice = [each for each in QUESTIONS for _ in range(2)]  # what is asked again comes out of the server's cache
    found = verify(model, exported, OllamaReader(ollama, "small"), twice, LIMITS["f32"])
    assert found.equal + found.near_ties == len(twice)


def test_a_server_that_is_not_there(written: tuple[Path, Modelfile]) -> None:
    with pytest.raises(InputError, match=r"host=http://127\.0\.0\.1:9: no Ollama server answers; start one with"):
        create_model("http://127.0.0.1:9", "small", *written)


def test_a_template_that_cannot_be_translated(tmp_path: Path) -> None:
    model = make_model("llama", tmp_path / "own", "chat")
    write_folder(model, tmp_path / "folder")
    template = make_modelfile(model, tmp_path / "folder", "none").template
    assert "{{ if $first }}" in template and "<|endoftext|>user\n" in template
    last = "{{ messages[-1]['content'] }}{{ messages | length }}"
    (tmp_path / "folder" / TEMPLATE).write_text(last)
    with pytest.raises(ModelError, match="to=ollama: the chat template treats later turns"):
        make_modelfile(model, tmp_path / "folder", "none")
    quoted = "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'user' %}{{ mark }}{% endif %}{% endfor %}"
    (tmp_path / "folder" / TEMPLATE).write_text('{% set mark = \'"""\' %}' + quoted)
    with pytest.raises(ModelError, match='the prompt has """ in it'):
        make_modelfile(model, tmp_path / "folder", "none")


def test_what_a_modelfile_says(tmp_path: Path) -> None:
    model = make_model("gpt2", tmp_path / "own")
    write_folder(model, tmp_path / "folder")
    text = make_modelfile(model, tmp_path / "folder", "Apache-2.0").render("./model.gguf")
    assert text.startswith('FROM ./model.gguf\nTEMPLATE """{{ if .System }}Below is an instruction')
    for line in (
        'PARAMETER stop "<|endoftext|>"', "PARAMETER num_ctx 256", "PARAMETER temperature 0.0", "PARAMETER top_k 1",
        "PARAMETER repeat_penalty 1.0", "PARAMETER num_predict 12", 'LICENSE """Apache-2.0"""',
    ):  # fmt: skip
        assert f"{line}\n" in text
