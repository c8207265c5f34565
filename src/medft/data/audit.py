"""An audit of a run's data: lengths and truncation, padding, duplicates, and leaks between splits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from medft.config.schema import AuditConfig, Config, DatasetConfig
from medft.console import track
from medft.data.duplicates import NearDuplicates, hash_rows, hash_texts, isin_sorted
from medft.data.encode import Tokens
from medft.data.module import EpochOrder, MedicalQA
from medft.data.readers.base import make_default_group
from medft.data.rows import Indices, Rows
from medft.data.samples import TruncationStats, make_samples

_PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))
_SHOWN = 100  # pairs, groups and documents named for each two splits
_LONG = 40  # characters: shorter answers, as yes and no, are the same under many questions

Pair = tuple[str, str]  # ids of two rows, of the first split and of the second


@dataclass(frozen=True)
class Shared:
    """What two splits share."""

    exact: int  # rows of the second split that have a copy in the first
    near: int  # rows of the second split that have no copy but a near duplicate in the first
    questions: int  # further rows of the second split whose question is in the first, with another answer
    answers: int  # further rows of the second split whose answer is in the first, under another question
    near_answers: int  # further ones that have a near duplicate of their answer there
    groups: int  # that both have
    documents: int  # that both have
    examples: list[dict[str, str]]  # some of all these, each with its kind and the ids of two rows, or a name

    def __bool__(self) -> bool:
        others = self.questions or self.answers or self.near_answers
        return bool(self.exact or self.near or others or self.groups or self.documents)


class Overlap:
    """Compares the splits of a run."""

    def __init__(self, parts: Mapping[str, Rows], config: AuditConfig, threshold: float) -> None:
        self._parts = parts
        self._keys = {name: hash_rows(rows) for name, rows in parts.items()}
        self._distinct = {name: np.unique(keys) for name, keys in self._keys.items()}
        self._questions = {name: hash_rows(rows, "instruction", "input") for name, rows in parts.items()}
        self._answers = {name: hash_rows(rows, "output") for name, rows in parts.items()}
        self._ids: dict[str, dict[int, list[str]]] = {}  # by split and hash of each text compared: who has it
        self._first: dict[str, int] = {}  # by split: the number of its first text in the index
        chosen = self._choose_rows(config)
        self._index = NearDuplicates(chosen, threshold)
        self._answer_index = NearDuplicates(chosen, threshold, lambda row: row.output)
        # rows that were searched for near duplicates
        self.searched = sum(len(ids) for texts in self._ids.values() for ids in texts.values())

    def count_duplicates(self, name: str) -> tuple[int, int]:
        """Count the rows of a split that are exact and near duplicates of an earlier row of it."""
        first, count = self._first[name], len(self._ids[name])
        numbers = track(range(first, first + count), f"Near duplicates inside {name}", count)
        near = sum(self._index.find_nearest(number, range(first, number)) is not None for number in numbers)
        return len(self._keys[name]) - len(self._distinct[name]), near

    def compare(self, one: str, other: str) -> Shared:
        """Find what two splits share."""
        keys, others = self._keys[one], self._keys[other]
        copies = np.flatnonzero(isin_sorted(others, self._distinct[one]))
        examples = []
        for number in copies[:_SHOWN]:
            first = int(np.flatnonzero(keys == others[number])[0])
            ids = {"first": self._parts[one][first].id, "second": self._parts[other][int(number)].id}
            examples.append({"kind": "exact"} | ids)
        near = list(self._find_near(one, other, self._index))
        told = {second for _, second in near} | {self._parts[other][int(number)].id for number in copies}
        found = {"near": near} | self._find_halves(one, other, told)
        for kind, pairs in found.items():
            examples += [{"kind": kind, "first": a, "second": b} for a, b in pairs[:_SHOWN]]
        names = {kind: self._find_common(one, other, kind) for kind in ("group", "document")}
        examples += [{"kind": kind, "name": name} for kind, both in names.items() for name in both[:_SHOWN]]
        counts = {kind: len(pairs) for kind, pairs in found.items()}
        return Shared(
            exact=len(copies), near=counts["near"], questions=counts["question"], answers=counts["answer"],
            near_answers=counts["near answer"], groups=len(names["group"]), documents=len(names["document"]),
            examples=examples,
        )  # fmt: skip

    def _choose_rows(self, config: AuditConfig) -> Rows:
        """The distinct texts of each split that near duplicates are sought among, those of one split after another."""
        indices: list[int] = []
        for name, numbers in _sample(self._parts, config):
            self._first[name] = len(indices)
            rows = Rows(self._parts[name].table, self._parts[name].indices[numbers])
            ids = self._ids[name] = {}
            keys = self._keys[name][numbers].tolist()
            for number, key, id in zip(rows.indices, keys, rows.column("id"), strict=True):
                if key not in ids:
                    indices.append(int(number))
                ids.setdefault(key, []).append(id)
        table = self._parts["train"].table
        return Rows(table, np.array(indices, np.int32))

    def _find_halves(self, one: str, other: str, told: set[str]) -> dict[str, list[Pair]]:
        """The rows of the second split of which the first has the question or the answer alone; each row once.

        Args:
            told: ids of rows of the second split that are left out; gets those that are found.
        """
        firsts, rows = self._parts[one], self._parts[other]
        found: dict[str, list[Pair]] = {}
        for kind, hashes in (("question", self._questions), ("answer", self._answers)):
            distinct, where = np.unique(hashes[one], return_index=True)
            shared = np.flatnonzero(isin_sorted(hashes[other], distinct))
            partners = where[np.searchsorted(distinct, hashes[other][shared])]
            found[kind] = [
                (firsts[int(partner)].id, row.id)
                for number, partner in zip(shared, partners, strict=True)
                if (row := rows[int(number)]).id not in told and (kind == "question" or _is_long(row.output))
            ]
            told.update(second for _, second in found[kind])
        pairs = self._find_near(one, other, self._answer_index)
        found["near answer"] = [pair for pair in pairs if pair[1] not in told]
        return found

    def _find_near(self, one: str, other: str, index: NearDuplicates) -> Iterator[Pair]:
        """For each row of the second split that has a near duplicate but no copy in the first: both ids."""
        first, ids, others = self._first[one], list(self._ids[one].values()), list(self._ids[other].values())
        keys = np.array(list(self._ids[other]), np.uint64)
        new = np.flatnonzero(~isin_sorted(keys, self._distinct[one])).tolist()
        what = "Near duplicates" if index is self._index else "Near answers"
        for number in track(new, f"{what} of {other} in {one}", len(new)):
            partner = index.find_nearest(self._first[other] + number, range(first, first + len(ids)))
            if partner is not None:
                yield from ((ids[partner - first][0], id) for id in others[number])

    def _find_common(self, one: str, other: str, kind: str) -> list[str]:
        here = np.unique(hash_texts(self._parts[one].column(kind), len(self._parts[one])))
        names = sorted(set(self._parts[other].column(kind)))
        shared = isin_sorted(hash_texts(names, len(names)), here)
        return [name for name, is_shared in zip(names, shared, strict=True) if is_shared]


def _is_long(answer: str) -> bool:
    return len(answer) >= _LONG


def _sample(parts: Mapping[str, Rows], config: AuditConfig) -> Iterator[tuple[str, Indices]]:
    """Choose the rows to compare, by split: all, or a seeded sample if there are more than `max_rows`.

    Half of the sample are held-out rows, if there are so many, as a leak matters most there.
    """
    generator = np.random.default_rng(config.seed)
    quarter = config.max_rows // 4
    take = {name: min(len(parts[name]), quarter) for name in ("test", "validation")}
    take["train"] = min(len(parts["train"]), config.max_rows - sum(take.values()))
    for name in take:  # what another split has left over
        take[name] = min(len(parts[name]), take[name] + config.max_rows - sum(take.values()))
    for name, count in take.items():
        yield name, np.sort(generator.choice(len(parts[name]), count, replace=False)).astype(np.int32)


@dataclass(frozen=True)
class SplitAudit:
    """One split."""

    max_length: (
        int  # where its rows are truncated: `dataset.max_length` in training, else `evaluation.max_length` or less
    )
    cuts: TruncationStats  # what is truncated there
    # among the positions of an epoch's batches; 0 with `dataset.collate=flatten` and for test, whose losses are
    # computed one row at a time
    padding_share: float
    groups: int  # distinct ones
    documents: int  # distinct ones
    exact_duplicates: int  # rows that repeat an earlier row of the split, ignoring case and spacing
    near_duplicates: int  # further rows that share `dataset.near_threshold` of their word triples with an earlier one


@dataclass(frozen=True)
class Audit:
    """The whole audit."""

    max_length: int  # as set for the run
    long_answers: str  # as set for the run
    parts: dict[str, SplitAudit]  # by split
    shared: dict[str, Shared]  # by `first-second`, such as `train-test`
    lengths: dict[int, TruncationStats]  # by candidate length, what `truncate` would do to the training rows
    at_max_length: TruncationStats  # the same at `dataset.max_length`
    near_searched: int  # rows that were searched for near duplicates
    near_sampled: bool  # they are a sample, so near duplicates are undercounted
    skipped: int  # rows left out by `dataset.on_bad_row=skip`
    deduplicated: int  # rows left out by `dataset.dedup`
    has_groups: bool  # some test row says to which group it belongs; else each question stands for itself

    def describe_leaks(self) -> list[str]:
        """Write one sentence for each pair of splits that share something."""
        return [
            f"{pair}: {both.exact} exact and {both.near} near duplicates, {both.questions} further questions, "
            f"{both.answers} equal and {both.near_answers} near answers to other questions, {both.groups} groups and "
            f"{both.documents} documents on both sides"
            for pair, both in self.shared.items()
            if both
        ]


def audit(config: Config, data: MedicalQA) -> Audit:
    """Audit all splits of a run."""
    dataset, parts = config.dataset, data.splits.parts()
    train = data.tokens["train"]
    overlap = Overlap(parts, config.audit, dataset.near_threshold)
    longest = {"train": dataset.max_length, "validation": data.measured_length, "test": data.measured_length}
    cuts = data.cuts | {"test": compute_truncation(longest["test"], data.tokens["test"], dataset)}
    return Audit(
        max_length=dataset.max_length,
        long_answers=dataset.long_answers,
        parts={
            name: SplitAudit(
                longest[name],
                cuts[name],
                _compute_padding_share(data, name),
                _count_distinct(rows, "group"),
                _count_distinct(rows, "document"),
                *overlap.count_duplicates(name),
            )
            for name, rows in parts.items()
        },
        shared={f"{one}-{other}": overlap.compare(one, other) for one, other in _PAIRS},
        lengths={length: compute_truncation(length, train, dataset) for length in sorted(config.audit.max_lengths)},
        at_max_length=compute_truncation(dataset.max_length, train, dataset),
        near_searched=overlap.searched,
        near_sampled=overlap.searched < sum(map(len, parts.values())),
        skipped=data.splits.skipped.count,
        deduplicated=data.splits.duplicates,
        has_groups=any(row.group != make_default_group(row.instruction, row.input) for row in parts["test"]),
    )


def compute_truncation(max_length: int, tokens: Tokens, config: DatasetConfig) -> TruncationStats:
    """Count what truncating these rows at another length would lose."""
    return make_samples(tokens, config.model_copy(update={"max_length": max_length}), [], "truncate")[1]


def _count_distinct(rows: Rows, column: str) -> int:
    return len(np.unique(hash_texts(rows.column(column), len(rows))))


def _compute_padding_share(data: MedicalQA, name: str) -> float:
    """Compute the share of padding in the first epoch's training batches, or in the validation batches."""
    if data.config.collate != "pad" or name == "test":
        return 0.0
    inputs = data.samples[name].lengths - 1  # the last token of a sample is only predicted
    order = EpochOrder(len(inputs), data.seed) if name == "train" else range(len(inputs))
    ordered = inputs[np.fromiter(order, np.int64, len(inputs))]
    starts = np.arange(0, len(inputs), data.config.batch_size)
    longest = np.maximum.reduceat(ordered, starts).astype(np.int64)
    rows = np.diff(np.append(starts, len(inputs)))
    return 1 - int(inputs.sum(dtype=np.int64)) / max(1, int((longest * rows).sum()))
