"""Writes a model as a GGUF file (llama.cpp, Ollama), and reads its weights back."""

import json
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from medft.data.pre_tokenizers import name_pre_tokenizer
from medft.errors import ModelError
from medft.export.gguf_tensors import Architecture, find_architecture, rename

NumberType = Literal["f32", "f16", "bf16", "q8_0"]
_LARGEST_F16 = float(np.finfo(np.float16).max)
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # kinds of tokens
_OUTPUT = "output.weight"
_WORDS = ("token_embd", "output.")
_ALWAYS_F32 = ("position_embd",)


def write_gguf(network: PreTrainedModel, folder: Path, file: Path, kind: NumberType, name: str) -> None:
    """Write a model whose tokenizer and chat template lie in `folder`, as `save_pretrained` writes them.

    Args:
        network: in float32, on the CPU.
        kind: of the numbers of its matrices. Vectors are float32; in a q8_0 file the embeddings, the head and matrices
            whose rows do not divide into blocks of 32 are f16.

    Raises:
        ModelError: llama.cpp has no such model or tokenizer, or a weight is too large for f16.
    """
    architecture = find_architecture(network.config)
    writer = gguf.GGUFWriter(file, architecture.name)
    writer.add_name(name)
    _describe(writer, network.config, architecture, kind)
    _write_tokenizer(writer, folder, network.config)
    weights = _own_weights(network)
    names = rename(weights, architecture, network.config.num_hidden_layers)
    for own, weight in weights.items():
        array = architecture.lay_out(own, weight.detach().float().numpy(), network.config, False)
        _add_tensor(writer, names[own], array, kind)
    if architecture.has_head and _OUTPUT not in names.values():
        _add_tensor(writer, _OUTPUT, network.get_output_embeddings().weight.detach().float().numpy(), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_back(file: Path, network: PreTrainedModel) -> PreTrainedModel:
    """A model of the same shape with the weights and the end token that a GGUF file has, in float32.

    Raises:
        ModelError: the file lacks a weight, or has it in another shape.
    """
    architecture, reader = find_architecture(network.config), gguf.GGUFReader(file)
    stored = {each.name: each for each in reader.tensors}
    own = _own_weights(network)
    state = {}
    for name, other in rename(own, architecture, network.config.num_hidden_layers).items():
        if other not in stored:
            raise ModelError(f"{file}: has no weight {other}")
        tensor = stored[other]
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        array = array.reshape([int(each) for each in reversed(tensor.shape)])
        array = architecture.lay_out(name, array, network.config, True)
        if array.shape != tuple(own[name].shape):
            raise ModelError(f"{file}: {other} has the shape {list(array.shape)}, not {list(own[name].shape)}")
        state[name] = torch.from_numpy(array.copy())
    copy = AutoModelForCausalLM.from_config(network.config, dtype=torch.float32)
    copy.load_state_dict(state, strict=False)
    copy.tie_weights()
    end = reader.get_field(gguf.Keys.Tokenizer.EOS_ID)
    copy.generation_config = GenerationConfig(eos_token_id=end and int(end.contents()))
    result: PreTrainedModel = copy.eval()
    return result


def _own_weights(network: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Its weights by name, one that two places share once: under the name of the embeddings."""
    tied = network.get_output_embeddings().weight is network.get_input_embeddings().weight
    head = next(name for name, each in network.named_modules() if each is network.get_output_embeddings())
    return {name: each for name, each in network.state_dict().items() if not (tied and name == f"{head}.weight")}


def _describe(writer: Any, config: Any, architecture: Architecture, kind: NumberType) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    architecture.describe(writer, config)
    types = gguf.LlamaFileType
    names = {"f32": types.ALL_F32, "f16": types.MOSTLY_F16, "bf16": types.MOSTLY_BF16, "q8_0": types.MOSTLY_Q8_0}
    writer.add_file_type(names[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tensor(writer: Any, name: str, array: Any, kind: NumberType) -> None:
    types = gguf.GGMLQuantizationType
    number = {"f32": types.F32, "f16": types.F16, "bf16": types.BF16, "q8_0": types.Q8_0}[kind]
    if array.ndim < 2 or name.startswith(_ALWAYS_F32):
        number = types.F32
    # 8 bits for the embeddings, its head as well, cost SmolLM2-135M 1.2% of its bits per byte, the rest 0.03%
    elif number == types.Q8_0 and (name.startswith(_WORDS) or array.shape[-1] % gguf.GGML_QUANT_SIZES[number][0]):
        number = types.F16
    if number == types.F16 and (largest := float(np.abs(array).max())) > _LARGEST_F16:
        raise ModelError(f"type={kind}: {name} has {largest:g}, and f16 ends at {_LARGEST_F16:g}; take type=bf16")
    writer.add_tensor(name, gguf.quants.quantize(array, number), raw_dtype=number)


def _write_tokenizer(writer: Any, folder: Path, config: Any) -> None:
    written = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model, added = written["model"], {each["id"]: each for each in written["added_tokens"]}
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise ModelError(f"to=gguf: tokenizers of the kind {model['type']} are not written; take to=hf")
    split = name_pre_tokenizer(written["pre_tokenizer"])
    if split is None:
        raise ModelError("to=gguf: llama.cpp has no name for how its tokenizer splits a text; take to=hf")
    by_id = {number: token for token, number in model["vocab"].items()}
    by_id |= {number: each["content"] for number, each in added.items()}
    tokens, kinds = [], []
    for number in range(config.vocab_size):  # weights may have more rows than there are tokens
        tokens.append(by_id.get(number, f"[PAD{number}]"))
        known = _NORMAL if number in by_id else _UNUSED
        kinds.append((_CONTROL if added[number]["special"] else _USER_DEFINED) if number in added else known)
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_add_bos_token(False)  # what a text begins with is in the template
    template = folder / "chat_template.jinja"
    writer.add_chat_template(template.read_text(encoding="utf-8"))
