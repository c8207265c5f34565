"""Writes TensorFlow checkpoints (tensor bundles) as TensorFlow does, and GPT-2's as OpenAI has left them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

NAMES = ("model.ckpt.index", "model.ckpt.data-00000-of-00001")
_FLOAT32, _INT64 = 1, 9
_RESTART = 16  # keys


def crc32c(data: bytes) -> int:
    """Byte by byte."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc = _CRCS[(crc ^ octet) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_of_a_byte(crc: int) -> int:
    for _ in range(8):
        crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_CRCS = [_crc_of_a_byte(octet) for octet in range(256)]


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(key: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer: a number, or a text or message."""
    if isinstance(value, int):
        return number(key << 3) + number(value)
    return number(key << 3 | 2) + number(len(value)) + value


def entry(kind: int, shape: Sequence[int], offset: int, data: bytes) -> bytes:
    dimensions = b"".join(field(2, field(1, size)) for size in shape)
    place = (field(4, offset) if offset else b"") + field(5, len(data))
    return field(1, kind) + field(2, dimensions) + place + number(6 << 3 | 5) + masked(data)


def block(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    out, before, restarts = b"", b"", []
    for place, (key, value) in enumerate(rows):
        shared = 0
        if place % _RESTART == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return out + b"".join(each.to_bytes(4, "little") for each in [*restarts, len(restarts)])


def table(rows: Sequence[tuple[bytes, bytes]], rows_per_block: int, compression: bytes = b"\0") -> bytes:
    out, places = b"", []

    def add(content: bytes) -> bytes:
        nonlocal out
        place = number(len(out)) + number(len(content))
        out += content + compression + masked(content + compression)
        return place

    for start in range(0, len(rows), rows_per_block):
        some = rows[start : start + rows_per_block]
        places.append((some[-1][0], add(block(some))))
    footer = add(block([])) + add(block(places))
    return out + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


def write_bundle(
    prefix: Path, tensors: Mapping[str, NDArray[Any]], rows_per_block: int = 40, header: bytes = field(1, 1)
) -> None:
    rows, data = [(b"", header + field(3, field(1, 1)))], b""
    for name in sorted(tensors):
        content = tensors[name].tobytes()
        kind = _INT64 if tensors[name].dtype == np.int64 else _FLOAT32
        rows.append((name.encode(), entry(kind, tensors[name].shape, len(data), content)))
        data += content
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(rows, rows_per_block))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)


def openai_tensors(network: GPT2LMHeadModel) -> dict[str, NDArray[Any]]:
    """The weights of a GPT-2 under the names and in the shapes of OpenAI's checkpoint."""
    tensors = {}
    for key, weight in network.transformer.state_dict().items():
        name, _, kind = key.replace("h.", "h", 1).replace(".", "/").rpartition("/")
        is_linear = name.endswith(("c_attn", "c_proj", "c_fc"))
        if name not in ("wte", "wpe"):
            name += {"weight": "/w" if is_linear else "/g", "bias": "/b"}[kind]
        array = weight.numpy()
        tensors[f"model/{name}"] = array[None] if is_linear and kind == "weight" else array
    return tensors


def write_openai_files(folder: Path, network: GPT2LMHeadModel, **changes: NDArray[Any]) -> None:
    """All that OpenAI's download leaves, but the vocabulary.

    Args:
        changes: tensors that are others.
    """
    config = network.config
    hparams = {"n_vocab": config.vocab_size, "n_ctx": config.n_positions, "n_embd": config.n_embd,
               "n_head": config.n_head, "n_layer": config.n_layer}  # fmt: skip
    write_bundle(folder / "model.ckpt", openai_tensors(network) | changes)
    (folder / "hparams.json").write_text(json.dumps(hparams))
    path = 'model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n'
    (folder / "checkpoint").write_text(path)
    (folder / "model.ckpt.meta").write_bytes(b"\x80\x04a graph, which nobody reads")
