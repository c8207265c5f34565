"""Duplicate rows: exact ones (ignoring case, spacing and forms of one character) and near ones (MinHash over word
triples).

Broder, "On the resemblance and containment of documents", SEQUENCES 1997.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medft.console import track
from medft.data.example import Example
from medft.data.rows import Indices, Rows
from medft.data.words import split_words

Keys = NDArray[np.uint64]
Hashes = NDArray[np.uint32]
_ORDER = ("test", "validation", "train")  # of splits that have the same row, the first keeps it

_TRIPLE = 3  # words of a shingle
# 21 bands of 6: 99.8% of the pairs that share 0.8 of their triples are compared, and 93% of those that share 0.7. The
# comparison is exact, so there are no false positives.
_BANDS, _BAND = 21, 6
# Signatures are a hundred times faster to compare than triples; they are off by more than this once in 400 times.
_MARGIN = 0.1
# At most so many candidates from each band, and the closest so many of them all, are compared: where thousands of rows
# are made from one template the time would otherwise grow with the square of the number of rows.
_MOST = 50


def hash_rows(rows: Rows, *columns: str) -> Keys:
    """Hash each row's three texts, or those of some columns, to 64 bits, ignoring case and spacing."""
    texts = rows.columns(*(columns or ("instruction", "input", "output")))
    return hash_texts(("\x1f".join(map(normalize_text, row)) for row in texts), len(rows))


def normalize_text(text: str) -> str:
    """One form of what is written in several: NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def isin_sorted(keys: Keys, known: Keys) -> NDArray[np.bool_]:
    """`np.isin` for known keys that are sorted, in less memory."""
    if not len(known):
        return np.zeros(len(keys), bool)
    places = np.searchsorted(known, keys)
    places[places == len(known)] = 0
    matches: NDArray[np.bool_] = known[places] == keys
    return matches


def remove_duplicates(rows: Rows, pools: Mapping[str, Indices], dedup: str, threshold: float) -> dict[str, Indices]:
    """Remove the rows that repeat a test row, a validation row or an earlier training row.

    Test keeps all its rows, so that runs with and without `dataset.dedup` are comparable.

    Args:
        dedup: `none`, `exact`, or `near`, which removes exact copies too.
        threshold: share of word triples (Jaccard) from which two rows are near duplicates.
    """
    if dedup == "none":
        return dict(pools)
    kept: dict[str, Indices] = {}
    seen = np.empty(0, np.uint64)
    for name in _ORDER:
        keys = hash_rows(Rows(rows.table, pools[name]))
        first = np.zeros(len(keys), bool)  # of those with the same text
        first[np.unique(keys, return_index=True)[1]] = True
        keep = name == "test" or first & ~isin_sorted(keys, seen)
        kept[name] = pools[name][np.broadcast_to(keep, len(keys))]
        seen = np.union1d(seen, keys)
    if dedup == "near":
        kept = _remove_near(rows, kept, threshold)
    return {name: kept[name] for name in pools}


def _remove_near(rows: Rows, pools: Mapping[str, Indices], threshold: float) -> dict[str, Indices]:
    order = np.concatenate([pools[name] for name in _ORDER])
    index = NearDuplicates(Rows(rows.table, order), threshold)
    keep = np.zeros(len(order), bool)
    keep[: len(pools["test"])] = True
    for number in track(range(len(pools["test"]), len(order)), "Comparing near duplicates", len(order)):
        keep[number] = index.find_nearest(number, range(number), keep) is None
    borders = np.cumsum([len(pools[name]) for name in _ORDER])[:-1]
    parts = zip(_ORDER, np.split(order, borders), np.split(keep, borders), strict=True)
    return {name: pool[kept] for name, pool, kept in parts}


class NearDuplicates:
    """Finds rows that share at least `threshold` of their word triples (Jaccard), in 2 KB of memory a row.

    MinHash signatures are cut into bands; rows that agree in a whole band are compared.
    """

    def __init__(
        self, rows: Sequence[Example], threshold: float, select: Callable[[Example], str] | None = None
    ) -> None:
        """`select` gives the text of a row that is compared; None = all three, one after the other."""
        from datasketch import MinHash

        self._threshold = threshold
        text = select or (lambda row: f"{row.instruction} {row.input} {row.output}")
        self._triples = [_hash_triples(text(row)) for row in track(rows, "Word triples of rows", len(rows))]
        self._signatures = np.empty((len(rows), _BANDS * _BAND), np.uint32)
        empty = MinHash(num_perm=_BANDS * _BAND, seed=1, hashfunc=int)
        for number, triples in enumerate(track(self._triples, "Signatures of rows", len(rows))):
            signature = empty.copy()
            signature.update_batch(triples.tolist())
            self._signatures[number] = signature.hashvalues
        bands = np.split(self._signatures, _BANDS, axis=1)
        self._bands = [_Band(np.ascontiguousarray(band)) for band in bands] if len(rows) else []

    def find_nearest(self, number: int, among: range, keep: NDArray[np.bool_] | None = None) -> int | None:
        """The nearest duplicate of a row in `among`, and in `keep`, by the estimate; None if there is none."""
        candidates = np.unique(np.concatenate([band.find_rows(number, among, keep) for band in self._bands]))
        candidates = candidates[candidates != number]
        # the share of equal numbers in two signatures estimates their Jaccard index: only close ones are compared
        estimates = (self._signatures[candidates] == self._signatures[number]).mean(axis=1)
        closest = np.argsort(-estimates, kind="stable")[:_MOST]
        mine = self._triples[number]
        for place in closest[estimates[closest] >= self._threshold - _MARGIN].tolist():
            other = self._triples[candidates[place]]
            both = len(np.intersect1d(mine, other, assume_unique=True))
            if both / (len(mine) + len(other) - both) >= self._threshold:
                return int(candidates[place])
        return None


class _Band:
    """Looks up rows with the same values in one band, in less memory than a dict."""

    def __init__(self, values: NDArray[np.uint32]) -> None:
        whole = values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()
        self._group = np.unique(whole, return_inverse=True)[1].astype(np.int32)
        self._order = np.argsort(self._group, kind="stable").astype(np.int32)  # by group, inside it by number
        self._start = np.searchsorted(self._group[self._order], np.arange(self._group.max() + 2)).astype(np.int32)

    def find_rows(self, number: int, among: range, keep: NDArray[np.bool_] | None) -> NDArray[np.int32]:
        """The rows with the same values as this one: the last `_MOST` of those asked for."""
        group = self._group[number]
        same = self._order[self._start[group] : self._start[group + 1]]
        same = same[same.searchsorted(among.start) : same.searchsorted(among.stop)]
        return same[-_MOST:] if keep is None else same[keep[same]][-_MOST:]


def _hash_triples(text: str) -> Hashes:
    """Hash each distinct triple of words to 32 bits, sorted."""
    words = split_words(text)
    shingles = {" ".join(words[start : start + _TRIPLE]) for start in range(max(1, len(words) - _TRIPLE + 1))}
    digests = b"".join(hashlib.blake2b(shingle.encode(), digest_size=4).digest() for shingle in shingles)
    return np.unique(np.frombuffer(digests, np.uint32))


def hash_texts(texts: Iterable[str], count: int) -> Keys:
    """Hash each text to 64 bits."""
    hashes = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.fromiter((int.from_bytes(each, "big") for each in hashes), np.uint64, count)
