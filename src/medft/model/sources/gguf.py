"""Converts a GGUF file (llama.cpp's format) to a directory of safetensors, once."""

import json
from pathlib import Path
from typing import Any

from medft.config.schema import ModelConfig
from medft.console import warn
from medft.data.pre_tokenizers import PRE_TOKENIZERS
from medft.errors import broken_model
from medft.files import apply_umask
from medft.model.sources.converted import convert_once, digest_weights

_FORMAT = "3"  # raise when what is written changes


def convert(file: Path, model: ModelConfig, cache: Path) -> Path:
    """Write weights (float32), config and tokenizer of a GGUF file as transformers reads them.

    Raises:
        ModelError: transformers cannot read the file, or its hash is not `model.sha256`.
    """
    key = f"{digest_weights(file, model)}:{model.end_token_id}:{model.pad_token_id}:{_FORMAT}"
    return convert_once(file.name, key, cache, lambda target: _write(file, model, target))


def _write(file: Path, model: ModelConfig, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    where: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    with broken_model(f"{file}: cannot be read as a model"):
        loaded = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **where)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
    config = loaded.config
    # the weights are plain float32 now, but transformers still calls them quantised and would refuse to write them
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    ends = {"eos_token_id": model.end_token_id, "pad_token_id": model.pad_token_id}
    given = {key: value for key, value in ends.items() if value is not None}
    config.update(given)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config = GenerationConfig(eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id)
    plain.save_pretrained(target)
    for key, value in given.items():
        setattr(tokenizer, key.removesuffix("_id"), tokenizer.convert_ids_to_tokens(value))
    tokenizer.save_pretrained(target)
    _restore_split(file, target / "tokenizer.json")
    apply_umask(target)


def _restore_split(file: Path, tokenizer: Path) -> None:
    """Split a text as the file says: transformers splits it as GPT-2 does, whatever model it is."""
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("tokenizer.ggml.pre")
    name = str(field.contents()) if field else "gpt-2"
    if name in PRE_TOKENIZERS:
        written = json.loads(tokenizer.read_text(encoding="utf-8")) | {"pre_tokenizer": PRE_TOKENIZERS[name]}
        tokenizer.write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    else:
        warn(f"{file.name}: how its tokenizer splits a text ({name}) is not known here: its ids may be others than the "
             "model has learned")  # fmt: skip
