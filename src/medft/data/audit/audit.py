"""An audit of a run's data: lengths and truncation, padding, duplicates, and leaks between splits."""

from dataclasses import dataclass

import numpy as np

from medft.config.schema import Config, DatasetConfig
from medft.data.audit.overlap import Overlap, Shared
from medft.data.duplicates import hash_texts
from medft.data.encode import Tokens
from medft.data.module import MedicalQA
from medft.data.rows import Rows
from medft.data.sampler import EpochOrder
from medft.data.samples import TruncationStats, make_samples

_PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))


@dataclass(frozen=True)
class SplitAudit:
    """One split.

    Attributes:
        max_length: where its rows are truncated: `dataset.max_length`, for test `evaluation.max_length` or less.
        cuts: what is truncated there.
        padding_share: the share of padding among the positions of an epoch's batches; 0 with `dataset.collate=flatten`
            and for test, whose losses are computed one row at a time.
        groups, documents: number of distinct ones.
        exact_duplicates: rows that repeat an earlier row of the split, ignoring case and spacing.
        near_duplicates: further rows that share `dataset.near_threshold` of their word triples with an earlier one.
    """

    max_length: int
    cuts: TruncationStats
    padding_share: float
    groups: int
    documents: int
    exact_duplicates: int
    near_duplicates: int


@dataclass(frozen=True)
class Audit:
    """The whole audit.

    Attributes:
        max_length, long_answers: as set for the run.
        parts: by split.
        shared: by `first-second`, such as `train-test`.
        lengths: by candidate length, what `truncate` would do to the training rows.
        at_max_length: the same at `dataset.max_length`.
        near_searched: rows that were searched for near duplicates.
        near_sampled: they are a sample, so near duplicates are undercounted.
        skipped, deduplicated: rows left out by `dataset.on_bad_row=skip`, by `dataset.dedup`.
    """

    max_length: int
    long_answers: str
    parts: dict[str, SplitAudit]
    shared: dict[str, Shared]
    lengths: dict[int, TruncationStats]
    at_max_length: TruncationStats
    near_searched: int
    near_sampled: bool
    skipped: int
    deduplicated: int

    def describe_leaks(self) -> list[str]:
        """Write one sentence for each pair of splits that share something."""
        return [
            f"{pair}: {both.exact} exact and {both.near} near duplicates, {both.groups} groups and "
            f"{both.documents} documents on both sides"
            for pair, both in self.shared.items()
            if both
        ]


def audit(config: Config, data: MedicalQA, context_length: int | None = None) -> Audit:
    """Audit all splits of a run; `context_length` is that of the model, if it is known."""
    dataset, parts = config.dataset, data.splits.parts()
    train = data.tokens["train"]
    overlap = Overlap(parts, config.audit, dataset.near_threshold)
    longest = dict.fromkeys(parts, dataset.max_length)
    longest["test"] = min(config.evaluation.max_length, context_length or config.evaluation.max_length)
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
