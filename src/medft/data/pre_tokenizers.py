"""How a text is split before its byte pairs are merged: by the names of GGUF files, as tokenizer.json has it.

A tokenizer with another split writes other ids for the same text, numbers above all. The names and their patterns are
those of llama.cpp (src/llama-vocab.cpp).
"""

from collections.abc import Mapping
from typing import Any

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLIT = {"type": "Split", "pattern": {"Regex": _QWEN}, "behavior": "Isolated", "invert": False}

PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt-2": _BYTES,
    "smollm": {"type": "Sequence", "pretokenizers": [_DIGITS, _BYTES]},
    "qwen2": {"type": "Sequence", "pretokenizers": [_SPLIT, {**_BYTES, "use_regex": False}]},
}


def name_pre_tokenizer(written: Mapping[str, Any] | None) -> str | None:
    """Find the name of what tokenizer.json says; None if it is none of these."""
    return next((name for name, each in PRE_TOKENIZERS.items() if is_same_split(each, written)), None)


def is_same_split(one: Any, other: Any) -> bool:
    """Whether two entries of tokenizer.json treat a text alike."""
    return bool(_simplify(one) == _simplify(other))


def _simplify(value: Any) -> Any:
    """Without what does not change how a text is split."""
    if isinstance(value, Mapping):
        return {key: _simplify(each) for key, each in value.items() if key != "trim_offsets"}
    return [_simplify(each) for each in value] if isinstance(value, list) else value
