"""A stand-in for the encoder of `similarity`."""

import hashlib
from collections.abc import Sequence
from typing import Any


def embed_quickly(texts: Sequence[str]) -> list[Any]:
    """Unit vectors that follow from the texts alone."""
    import torch

    digests = [list(hashlib.sha256(text.encode()).digest()) for text in texts]
    return [torch.nn.functional.normalize(torch.tensor(digest, dtype=torch.float32) - 128, dim=0) for digest in digests]
