"""Small models of each architecture, with weights so far apart that rounding decides nothing."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from medft.data.tokenizer import Gpt2Tokenizer, OwnTokenizer
from medft.runs.trained_model import TrainedModel
from tests.composed import TINY, composed

_LLAMA: dict[str, Any] = {
    "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 96, "max_position_embeddings": 256,
}  # fmt: skip
_NEOX = {key: value for key, value in _LLAMA.items() if key not in ("num_key_value_heads", "head_dim")}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 256},
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gpt_neox": _NEOX,
}
CHAT = (
    "{% for message in messages %}{{ '<|endoftext|>' + message['role'] + '\n' + message['content'] + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|endoftext|>assistant\n' }}{% endif %}"
)


END = 3000  # the id of <|endoftext|>: GPT-2's first tokens alone, which are read in a twentieth of the time


@functools.cache
def _make_tokenizer() -> dict[str, str]:
    """The files of a tokenizer as GPT-2's, by name."""
    with tempfile.TemporaryDirectory() as place:
        Gpt2Tokenizer().save(Path(place))
        files = {file.name: file.read_text(encoding="utf-8") for file in Path(place).iterdir()}
    whole = json.loads(files["tokenizer.json"])
    model, [end] = whole["model"], whole["added_tokens"]
    single = len(model["vocab"]) - 1 - len(model["merges"])  # bytes; each further token merges two before it
    model["vocab"] = {token: id for token, id in model["vocab"].items() if id < END} | {end["content"]: END}
    model["merges"], end["id"] = model["merges"][: END - single], END
    return {**files, "tokenizer.json": json.dumps(whole)}


def _change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def make_model(
    kind: str, folder: Path, prompt: str = "alpaca", pre_tokenizer: Any = None, begins: bool = False
) -> TrainedModel:
    """A model of random weights as a run would have it; its own tokenizer is GPT-2's, split as `pre_tokenizer` says.

    Args:
        begins: whether its texts begin with a token of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _make_tokenizer().items():
        (folder / name).write_text(text, encoding="utf-8")
    file = folder / "tokenizer.json"
    if pre_tokenizer:
        _change(file, pre_tokenizer=pre_tokenizer)
        _change(folder / "tokenizer_config.json", tokenizer_class="TokenizersBackend")  # GPT2Tokenizer has its own
    if begins:
        token = "<|endoftext|>"
        single = [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        special = {token: {"id": token, "ids": [END], "tokens": [token]}}
        pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
        _change(file, post_processor={
            "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special,
        })  # fmt: skip
        _change(folder / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    if prompt == "chat":
        (folder / "chat_template.jinja").write_text(CHAT)
    tokenizer = OwnTokenizer(folder, None, None)
    torch.manual_seed(3)
    ends = {"eos_token_id": tokenizer.end_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(kind, vocab_size=END + 1, initializer_range=0.3, **SHAPES[kind], **ends)
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in network.parameters():  # biases and norms, too
            if weight.dim() == 1:
                weight += 0.1 * torch.randn_like(weight)
        network.get_output_embeddings().weight[tokenizer.end_token_id] *= 4  # answers end
    own = (f"model.source={folder}", "model.sha256=null", "model.end_token_id=null", "model.pad_token_id=null")
    settings = composed(
        *TINY[3:], "model=smollm2-135m", *own, f"dataset.prompt={prompt}", "generation.max_new_tokens=12"
    )  # fmt: skip
    return TrainedModel(network, tokenizer, settings)
