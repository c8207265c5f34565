"""Writes a model as a folder that transformers, vLLM and others load: weights, tokenizer, prompt, how it answers."""

import json
from pathlib import Path

from transformers import GenerationConfig

from medft.data.encode import format_alpaca_prompt
from medft.data.example import Example
from medft.files import apply_umask
from medft.runs.trained_model import TrainedModel

TEMPLATE = "chat_template.jinja"  # where transformers looks for it
_INSTRUCTION, _INPUT = "\x00instruction\x00", "\x00input\x00"


def write_folder(model: TrainedModel, folder: Path) -> None:
    """Write weights (float32 safetensors) with their config.json, and what `write_prompt` does."""
    write_prompt(model, folder)
    before = model.network.generation_config
    model.network.generation_config = GenerationConfig.from_pretrained(folder)  # it is written with the weights anew
    try:
        model.network.save_pretrained(folder)
    finally:
        model.network.generation_config = before
    apply_umask(folder)


def write_prompt(model: TrainedModel, folder: Path) -> None:
    """Write all but the weights: tokenizer, chat template and generation config.

    A run that was trained on the Alpaca prompt gets it as a chat template: the user says the instruction, and the
    system message is its input.
    """
    settings = model.config.generation
    ends = {"eos_token_id": model.tokenizer.end_token_id, "pad_token_id": model.tokenizer.pad_token_id}
    sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": settings.top_k}
    generation = GenerationConfig(
        do_sample=settings.do_sample,
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        **ends,
        **(sampling if settings.do_sample else {}),
    )
    generation.save_pretrained(folder)
    model.tokenizer.save(folder)
    if model.config.dataset.prompt == "alpaca":
        beginning = model.tokenizer.decode(model.tokenizer.beginning, with_special=True)
        end = model.tokenizer.decode([model.tokenizer.end_token_id], with_special=True)
        (folder / TEMPLATE).write_text(make_alpaca_template(beginning, end), encoding="utf-8")
    apply_umask(folder)


def split_alpaca_prompt() -> tuple[tuple[str, str], tuple[str, str, str]]:
    """The text around an instruction, and around an instruction and its input."""
    without = format_alpaca_prompt(Example("", "", _INSTRUCTION, "", "")).split(_INSTRUCTION)
    before, rest = format_alpaca_prompt(Example("", "", _INSTRUCTION, _INPUT, "")).split(_INSTRUCTION)
    between, after = rest.split(_INPUT)
    return (without[0], without[1]), (before, between, after)


def make_alpaca_template(beginning: str, end: str) -> str:
    """The Alpaca prompt as a chat template; each turn of the user is a whole prompt.

    Args:
        beginning: the text of the tokens that a text begins with.
        end: of the one that ends an answer.
    """
    (before, after), (first, between, last) = (map(json.dumps, parts) for parts in split_alpaca_prompt())
    return (
        f"{{{{- {json.dumps(beginning)} -}}}}\n"
        "{%- set given = namespace(input='') -%}\n"
        "{%- for message in messages -%}\n"
        "{%- if message['role'] == 'system' -%}{%- set given.input = message['content'] -%}\n"
        "{%- elif message['role'] == 'user' and given.input -%}\n"
        f"{{{{- {first} + message['content'] + {between} + given.input + {last} -}}}}\n"
        "{%- elif message['role'] == 'user' -%}\n"
        f"{{{{- {before} + message['content'] + {after} -}}}}\n"
        f"{{%- else -%}}{{{{- message['content'] + {json.dumps(end)} -}}}}{{%- endif -%}}\n"
        "{%- endfor -%}\n"
    )
