"""Converts OpenAI's TensorFlow checkpoint of GPT-2 to a directory of safetensors, once, and without TensorFlow.

The files are those that OpenAI's download_model.py (openai/gpt-2) leaves: hparams.json, model.ckpt.index,
model.ckpt.data-00000-of-00001 and the vocabulary. The graph (model.ckpt.meta) is not read.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from medft.config.schema import ModelConfig
from medft.console import track
from medft.data.tokenizer import Gpt2Tokenizer, find_gpt2_files
from medft.errors import ModelError
from medft.files import apply_umask, file_digest, json_digest
from medft.model.sources.converted import convert_once, digest_weights
from medft.model.sources.tensor_bundle import DATA, INDEX, TensorBundle

_FORMAT = "1"  # raise when what is written changes
_HPARAMS = "hparams.json"
# what hparams.json and transformers call the same
_SHAPE = {"n_vocab": "vocab_size", "n_ctx": "n_positions", "n_embd": "n_embd", "n_head": "n_head", "n_layer": "n_layer"}
_LAYER = re.compile(r"model/h(\d+)/")


def find_checkpoint(folder: Path) -> Path | None:
    """The path of a checkpoint's files up to `.index`: the one that `checkpoint` names, or the only one; None where the
    folder holds none, or safetensors.

    Raises:
        ModelError: a file of it is missing.
    """
    found = {path.name.removesuffix(INDEX) for path in folder.glob(f"*{INDEX}")}
    parts = [*found, *folder.glob("*.ckpt.*"), *folder.glob(_HPARAMS)]
    if not parts or any(folder.glob("*.safetensors")):
        return None
    names = sorted(found) or ["model.ckpt"]
    if len(names) > 1:
        named = _read_newest(folder / "checkpoint")
        if named not in found:
            raise ModelError(f"{folder}: holds {len(names)} checkpoints, and its file `checkpoint` names none of them")
        names = [named]
    for name in (_HPARAMS, f"{names[0]}{INDEX}", f"{names[0]}{DATA}"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: no {name} in it, without which a TensorFlow checkpoint of GPT-2 is not whole")
    return folder / names[0]


def list_files(prefix: Path) -> list[Path]:
    """The files that decide what a checkpoint becomes."""
    return [prefix.with_name(_HPARAMS), *(prefix.with_name(f"{prefix.name}{ending}") for ending in (INDEX, DATA))]


def convert(prefix: Path, model: ModelConfig, cache: Path) -> Path:
    """Write weights (float32), config and tokenizer of a checkpoint as transformers reads them.

    Args:
        prefix: of `find_checkpoint`.

    Raises:
        ModelError: a file is damaged, the parts do not fit each other or the preset, or the hash of the data is not
            `model.sha256`.
    """
    from medft.model.build import check_shape

    hparams, index, data = list_files(prefix)
    shape = _read_shape(hparams)
    check_shape(model, shape)
    _check_vocabulary(prefix.parent)
    digests = [digest_weights(data, model), file_digest(index), json_digest(shape), _FORMAT]
    return convert_once(str(prefix), ":".join(digests), cache, lambda target: _write(prefix, shape, target))


def _write(prefix: Path, shape: Mapping[str, int], target: Path) -> None:
    from safetensors.numpy import save_file
    from transformers import GPT2Config

    bundle = TensorBundle(prefix)
    layers = {int(found[1]) for name in bundle.names if (found := _LAYER.match(name))}
    if len(layers) != shape["n_layer"] or max(layers, default=0) >= shape["n_layer"]:
        raise ModelError(
            f"{bundle.index}: has {len(layers)} layers, and {_HPARAMS} beside it says n_layer={shape['n_layer']}"
        )
    tensors = _list_tensors(shape)
    for name, (_, size) in tensors.items():  # all of them before the first is read
        bundle.check(name, size)
    weights = {}
    for name, (key, size) in track(tensors.items(), "Checking weights", len(tensors)):
        weight = bundle.read(name, size)
        weights[key] = weight[0] if weight.ndim == 3 else weight  # OpenAI's are convolutions of width 1
    config = GPT2Config(**shape, architectures=["GPT2LMHeadModel"], dtype="float32")
    config.save_pretrained(target)
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    Gpt2Tokenizer().save(target)
    apply_umask(target)


def _list_tensors(shape: Mapping[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of GPT-2 by OpenAI's name: what transformers calls each, and the shape it has in the checkpoint.

    Both multiply from the left, so that no weight is transposed.
    """
    width = shape["n_embd"]
    linear = {"attn/c_attn": (width, 3 * width), "attn/c_proj": (width, width), "mlp/c_fc": (width, 4 * width),
              "mlp/c_proj": (4 * width, width)}  # fmt: skip
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {
        "wte": ("wte.weight", (shape["vocab_size"], width)),
        "wpe": ("wpe.weight", (shape["n_positions"], width)),
    }
    tensors |= {"ln_f/g": ("ln_f.weight", (width,)), "ln_f/b": ("ln_f.bias", (width,))}
    for layer in range(shape["n_layer"]):
        for norm in ("ln_1", "ln_2"):
            tensors[f"h{layer}/{norm}/g"] = (f"h.{layer}.{norm}.weight", (width,))
            tensors[f"h{layer}/{norm}/b"] = (f"h.{layer}.{norm}.bias", (width,))
        for name, (inputs, outputs) in linear.items():
            key = f"h.{layer}.{name.replace('/', '.')}"
            tensors[f"h{layer}/{name}/w"] = (f"{key}.weight", (1, inputs, outputs))
            tensors[f"h{layer}/{name}/b"] = (f"{key}.bias", (outputs,))
    return {f"model/{name}": (f"transformer.{key}", size) for name, (key, size) in tensors.items()}


def _read_shape(hparams: Path) -> dict[str, int]:
    """What hparams.json says, as transformers calls it."""
    try:
        content = json.loads(hparams.read_text(encoding="utf-8"))
        shape = {key: content[name] for name, key in _SHAPE.items()}
    except (ValueError, TypeError, KeyError, RecursionError):
        shape = {}
    if not shape or not all(type(size) is int and size > 0 for size in shape.values()):
        raise ModelError(f"{hparams}: is not GPT-2's, which has a number for each of {', '.join(_SHAPE)}")
    return shape


def _read_newest(file: Path) -> str:
    """The name of the checkpoint that TensorFlow wrote last, as its file `checkpoint` has it; empty without one."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = re.search(r'^model_checkpoint_path: "(.*)"$', text, re.MULTILINE)
    return Path(found[1]).name if found else ""


def _check_vocabulary(folder: Path) -> None:
    """Check that a vocabulary beside the weights is GPT-2's: texts are encoded with that."""
    for name, known in find_gpt2_files().items():
        own = folder / name
        if own.is_file() and own.read_text(encoding="utf-8", errors="replace").split() != _words(known):
            raise ModelError(f"{own}: is not GPT-2's vocabulary, with which medft reads such a checkpoint")


def _words(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split()
