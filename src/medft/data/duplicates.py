"""Rows that say the same: exactly (but for case and spacing), or nearly (MinHash over word triples).

Broder, "On the resemblance and containment of documents", SEQUENCES 1997.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medft.console import track
from medft.data.example import Example
from medft.data.rows import Indices, Rows

Keys = NDArray[np.uint64]

_WORD = re.compile(r"\w+")
_TRIPLE = 3  # words of a shingle
_PERMUTATIONS = 126
# 21 bands of 6: of pairs that share 0.8 of their triples 99.8% are found, of 0.7 93%; what is found is then compared
# exactly, so that none is found wrongly
_BANDS = (21, 6)


def content_keys(rows: Rows) -> Keys:
    """64 bits of a hash of each row's three texts, ignoring case and spacing."""
    texts = zip(rows.column("instruction"), rows.column("input"), rows.column("output"), strict=True)
    return hashed(("\x1f".join(" ".join(text.lower().split()) for text in row) for row in texts), len(rows))


def without_duplicates(rows: Rows, pools: Mapping[str, Indices], dedup: str, threshold: float) -> dict[str, Indices]:
    """The pools without rows that repeat a test row, a validation row or an earlier training row.

    Test keeps every row it has: runs with and without `dataset.dedup` stay comparable.

    Args:
        dedup: `none`, `exact`, or `near`, which takes exact copies away too.
        threshold: share of word triples (Jaccard) from which two rows are near duplicates.
    """
    if dedup == "none":
        return dict(pools)
    kept, seen = {}, np.empty(0, np.uint64)
    index = NearIndex(threshold) if dedup == "near" else None
    for name in ("test", "validation", "train"):
        pool = pools[name]
        keys = content_keys(Rows(rows.table, pool))
        new = np.isin(keys, seen, invert=True)
        first = np.zeros(len(keys), bool)
        first[np.unique(keys, return_index=True)[1]] = True
        keep = np.ones(len(pool), bool) if name == "test" else new & first
        seen = np.union1d(seen, keys)
        pool = pool[keep]
        if index:
            examples = track(Rows(rows.table, pool), f"Near duplicates in {name}", len(pool))
            near = np.fromiter((index.add(each, always=name == "test") for each in examples), bool, len(pool))
            pool = pool[~near | (name == "test")]
        kept[name] = pool
    return {name: kept[name] for name in pools}


class NearIndex:
    """Finds earlier rows that share at least `threshold` of their word triples (Jaccard) with a new one."""

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        self._threshold = threshold
        self._lsh: Any = MinHashLSH(num_perm=_PERMUTATIONS, params=_BANDS)
        self._texts: list[str] = []
        self._signatures = np.empty((1024, _PERMUTATIONS), np.uint32)

    def add(self, example: Example, always: bool = False) -> bool:
        """Whether there is such an earlier row; the new one is remembered if there is none, or `always`."""
        text = _text(example)
        signature = _signature(text)
        found = bool(self._near(signature, text))
        if always or not found:
            self._insert(signature, text)
        return found

    def partners(self, example: Example) -> list[int]:
        """The numbers of all such earlier rows; the new one gets the next number, from 0."""
        text = _text(example)
        signature = _signature(text)
        found = self._near(signature, text)
        self._insert(signature, text)
        return found

    def _insert(self, signature: Any, text: str) -> None:
        number = len(self._texts)
        if number == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
        self._signatures[number] = signature.hashvalues
        self._lsh.insert(number, signature)
        self._texts.append(text)

    def _near(self, signature: Any, text: str) -> list[int]:
        mine = _triples(text)
        candidates = np.array(sorted(self._lsh.query(signature)), np.int64)
        # what signatures say of two texts is off by more than 0.1 once in 400 times, and a hundred times faster
        estimates = (self._signatures[candidates] == signature.hashvalues).mean(axis=1)
        candidates = candidates[estimates >= self._threshold - 0.1].tolist()
        return [each for each in candidates if _jaccard(mine, _triples(self._texts[each])) >= self._threshold]


def _text(example: Example) -> str:
    return " ".join(_WORD.findall(f"{example.instruction} {example.input} {example.output}".lower()))


@lru_cache(maxsize=4096)
def _triples(text: str) -> frozenset[str]:
    words = text.split()
    return frozenset(" ".join(words[start : start + _TRIPLE]) for start in range(max(1, len(words) - _TRIPLE + 1)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def _signature(text: str) -> Any:
    from datasketch import MinHash

    signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
    signature.update_batch([triple.encode() for triple in sorted(_triples(text))])
    return signature


def hashed(names: Iterable[str], count: int) -> Keys:
    """64 bits of a hash of each name."""
    hashes = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.fromiter((int.from_bytes(each, "big") for each in hashes), np.uint64, count)
