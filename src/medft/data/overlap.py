"""What the splits of a run have in common, inside each and between two: copies, near duplicates, groups, documents."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from medft.config.schema import AuditConfig
from medft.console import track
from medft.data.duplicates import NearDuplicates, among, content_keys, hashed
from medft.data.rows import Rows

_SHOWN = 100  # pairs, groups and documents named for each two splits


@dataclass(frozen=True)
class Shared:
    """What two splits share; counts are of the second one's rows unless said otherwise.

    Attributes:
        exact, near: rows that have a copy, or no copy but a near duplicate, in the first split.
        groups, documents: how many of these both have.
        examples: some of them, each with its kind and the ids of two rows, or a name.
    """

    exact: int
    near: int
    groups: int
    documents: int
    examples: list[dict[str, str]]

    def __bool__(self) -> bool:
        return bool(self.exact or self.near or self.groups or self.documents)


class Overlap:
    """Compares the splits of a run.

    Attributes:
        searched: rows among which near duplicates were sought.
    """

    def __init__(self, parts: Mapping[str, Rows], config: AuditConfig, threshold: float) -> None:
        self._parts = parts
        self._keys = {name: content_keys(rows) for name, rows in parts.items()}
        self._distinct = {name: np.unique(keys) for name, keys in self._keys.items()}
        self._copies: list[dict[str, list[str]]] = []  # by text: ids of the rows that have it, by split
        self._near: dict[int, set[int]] = defaultdict(set)  # by text: the numbers of texts near to it
        self.searched = 0
        self._search(config, threshold)

    def inside(self, name: str) -> tuple[int, int]:
        """Rows of a split that repeat an earlier row of it, exactly and nearly."""
        near = sum(
            any(other < number and name in self._copies[other] for other in self._near[number])
            for number, copies in enumerate(self._copies)
            if name in copies
        )
        return len(self._keys[name]) - len(self._distinct[name]), near

    def between(self, one: str, other: str) -> Shared:
        """What two splits share."""
        exact, near = list(self._exact(one, other)), list(self._near_pairs(one, other))
        examples = [{"kind": "exact", "first": a, "second": b} for a, b in exact[:_SHOWN]]
        examples += [{"kind": "near", "first": a, "second": b} for a, b in near[:_SHOWN]]
        names = {kind: self._common(one, other, kind) for kind in ("group", "document")}
        examples += [{"kind": kind, "name": name} for kind, found in names.items() for name in found[:_SHOWN]]
        count = int(among(self._keys[other], self._distinct[one]).sum())
        return Shared(count, len(near), len(names["group"]), len(names["document"]), examples)

    def _search(self, config: AuditConfig, threshold: float) -> None:
        """Find near duplicates among distinct texts, held-out rows first."""
        known: dict[int, int] = {}
        firsts: list[tuple[str, int]] = []
        for name, number, id in _sample(self._parts, config):
            self.searched += 1
            key = int(self._keys[name][number])
            if key not in known:
                known[key] = len(firsts)
                firsts.append((name, number))
                self._copies.append({})
            self._copies[known[key]].setdefault(name, []).append(id)
        table = self._parts["train"].table
        rows = Rows(table, np.array([self._parts[name].indices[number] for name, number in firsts], np.int32))
        index = NearDuplicates(rows, threshold)
        for number in track(range(len(rows)), "Comparing near duplicates", len(rows)):
            for partner in index.earlier(number):
                self._near[partner].add(number)
                self._near[number].add(partner)

    def _exact(self, one: str, other: str) -> Iterator[tuple[str, str]]:
        """Ids of the first rows with a copy on the other side."""
        keys, others = self._keys[one], self._keys[other]
        for number in np.flatnonzero(among(others, self._distinct[one]))[:_SHOWN]:
            first = int(np.flatnonzero(keys == others[number])[0])
            yield self._parts[one][first].id, self._parts[other][int(number)].id

    def _near_pairs(self, one: str, other: str) -> Iterator[tuple[str, str]]:
        """For each row of the second split that has a near duplicate but no copy in the first: both ids."""
        for number, copies in enumerate(self._copies):
            if other in copies and one not in copies:
                partner = min((each for each in self._near[number] if one in self._copies[each]), default=None)
                if partner is not None:
                    yield from ((self._copies[partner][one][0], id) for id in copies[other])

    def _common(self, one: str, other: str, kind: str) -> list[str]:
        here = np.unique(hashed(self._parts[one].column(kind), len(self._parts[one])))
        names = sorted(set(self._parts[other].column(kind)))
        return [name for name, shared in zip(names, among(hashed(names, len(names)), here), strict=True) if shared]


def _sample(parts: Mapping[str, Rows], config: AuditConfig) -> Iterator[tuple[str, int, str]]:
    """Split, number and id of at most `max_rows` rows: held-out rows first, up to half of all."""
    generator, left = np.random.default_rng(config.seed), config.max_rows
    held_out = max(1, config.max_rows // 4)
    for name in ("test", "validation", "train"):
        rows = parts[name]
        take = min(len(rows), left if name == "train" else held_out)
        left -= take
        numbers = np.sort(generator.choice(len(rows), take, replace=False))
        ids = Rows(rows.table, rows.indices[numbers]).column("id")
        yield from ((name, int(number), id) for number, id in zip(numbers, ids, strict=True))
