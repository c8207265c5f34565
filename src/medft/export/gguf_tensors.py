"""Weights as llama.cpp names and lays them out, and back: one entry per architecture.

Each of them agrees with llama.cpp's own converter (convert_hf_to_gguf.py); a new architecture is an entry of
`ARCHITECTURES`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from medft.errors import ModelError

Array = NDArray[np.float32]
# a weight by its name in transformers, as llama.cpp has it or (inverse) back
Layout = Callable[[str, Array, Any, bool], Array]


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp has models of one type.

    Attributes:
        name: of the architecture in llama.cpp.
        number: of it in the package gguf.
        lay_out: changes the layout of weights, or changes it back.
        describe: writes what the type has besides: (writer, config).
        has_head: whether a head that shares its weights with the embeddings is written all the same; older versions of
            llama.cpp want it.
    """

    name: str
    number: int
    lay_out: Layout
    describe: Callable[[Any, Any], None]
    has_head: bool = False


def find_architecture(config: Any) -> Architecture:
    """Find the entry of a model's config.

    Raises:
        ModelError: there is none, or llama.cpp would compute something else.
    """
    found = ARCHITECTURES.get(config.model_type)
    if found is None:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"to=gguf: {config.model_type} models are not among those it can write ({known}); take to=hf")
    rope = getattr(config, "rope_parameters", None) or {}
    if (kind := rope.get("rope_type", "default")) != "default":
        raise ModelError(f"to=gguf: positions of the kind rope_type={kind} are not written; take to=hf")
    if getattr(config, "use_sliding_window", False):
        raise ModelError("to=gguf: sliding windows are not written; take to=hf")
    return found


def rename(names: Iterable[str], architecture: Architecture, layers: int) -> dict[str, str]:
    """Map the names of weights in transformers to those in llama.cpp.

    Raises:
        ModelError: llama.cpp has no such weight.
    """
    table = gguf.get_tensor_name_map(architecture.number, layers)
    found = {name: table.get_name(name, try_suffixes=(".weight", ".bias")) for name in names}
    if unknown := [name for name, other in found.items() if other is None]:
        raise ModelError(f"to=gguf: llama.cpp's {architecture.name} has no weight like {unknown[0]}; take to=hf")
    return {name: str(other) for name, other in found.items()}


def _keep(name: str, weight: Array, config: Any, back: bool) -> Array:
    return weight


def _transpose(name: str, weight: Array, config: Any, back: bool) -> Array:
    """GPT-2 keeps its matrices transposed (Conv1D), but for the embeddings."""
    is_linear = weight.ndim == 2 and ".h." in name
    return np.ascontiguousarray(weight.T) if is_linear else weight


def _pair_rotary(name: str, weight: Array, config: Any, back: bool) -> Array:
    """Llama rotates first with second half of a head in transformers, and neighbours in llama.cpp."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((each for part, each in heads.items() if f".{part}." in name), None)
    if count is None:
        return weight
    half = weight.shape[0] // count // 2
    split = (count, half, 2) if back else (count, 2, half)
    return np.ascontiguousarray(weight.reshape(*split, *weight.shape[1:]).swapaxes(1, 2)).reshape(weight.shape)


def _part_heads(name: str, weight: Array, config: Any, back: bool) -> Array:
    """GPT-NeoX has query, key and value head by head in transformers, and one after the other in llama.cpp."""
    if ".query_key_value." not in name:
        return weight
    heads, size = config.num_attention_heads, weight.shape[0] // config.num_attention_heads // 3
    split = (3, heads, size) if back else (heads, 3, size)
    return np.ascontiguousarray(weight.reshape(*split, *weight.shape[1:]).swapaxes(0, 1)).reshape(weight.shape)


def _describe_gpt2(writer: Any, config: Any) -> None:
    writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)


def _describe_llama(writer: Any, config: Any) -> None:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_rope_dimension_count(size)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_vocab_size(config.vocab_size)


def _describe_neox(writer: Any, config: Any) -> None:
    size = config.hidden_size // config.num_attention_heads
    share = config.rope_parameters.get("partial_rotary_factor", getattr(config, "rotary_pct", 1.0))
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_rope_dimension_count(int(size * share))
    writer.add_parallel_residual(config.use_parallel_residual)


ARCHITECTURES = {
    "gpt2": Architecture("gpt2", gguf.MODEL_ARCH.GPT2, _transpose, _describe_gpt2, True),
    "llama": Architecture("llama", gguf.MODEL_ARCH.LLAMA, _pair_rotary, _describe_llama),
    "qwen2": Architecture("qwen2", gguf.MODEL_ARCH.QWEN2, _keep, _describe_llama),
    "qwen3": Architecture("qwen3", gguf.MODEL_ARCH.QWEN3, _keep, _describe_llama),
    "gpt_neox": Architecture("gptneox", gguf.MODEL_ARCH.GPTNEOX, _part_heads, _describe_neox),
}
