"""What is in the data of a run: lengths and what is cut, padding, duplicates, and what both sides of a split share."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medft.config.schema import Config, DatasetConfig
from medft.data.duplicates import hashed
from medft.data.encode import Tokens
from medft.data.module import MedicalQA
from medft.data.overlap import Overlap, Shared
from medft.data.rows import Rows
from medft.data.sampler import EpochOrder
from medft.data.windows import Cuts, Samples, make_samples

_PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        cuts: what is cut, at `dataset.max_length`, or for test rows at `evaluation.max_length`.
        padding_share: tokens that are padding, of those that an epoch computes (0 under `dataset.collate=flatten`).
        groups, documents: how many different ones.
        exact_duplicates: rows that repeat an earlier row of the split, but for case and spacing.
        near_duplicates: further rows that share `dataset.near_threshold` of their word triples with an earlier one.
    """

    cuts: Cuts
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
        lengths: by length tried, what `truncate` would do to the training rows.
        at_max_length: the same at `dataset.max_length`.
        near_searched: rows among which near duplicates were sought.
        near_sampled: those are a sample, so near duplicates are undercounted.
        skipped, deduplicated: rows left out by `dataset.on_bad_row=skip`, by `dataset.dedup`.
    """

    max_length: int
    long_answers: str
    parts: dict[str, Part]
    shared: dict[str, Shared]
    lengths: dict[int, Cuts]
    at_max_length: Cuts
    near_searched: int
    near_sampled: bool
    skipped: int
    deduplicated: int

    def leaks(self) -> list[str]:
        """One sentence for each two splits that share something."""
        return [
            f"{pair}: {found.exact} exact and {found.near} near duplicates, {found.groups} groups and "
            f"{found.documents} documents on both sides"
            for pair, found in self.shared.items()
            if found
        ]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for audit.json."""
        return asdict(self)


def audit(config: Config, data: MedicalQA) -> Audit:
    """Look at all splits of a run."""
    dataset, parts = config.dataset, data.splits.parts()
    overlap = Overlap(parts, config.audit, dataset.near_threshold)
    test = dataset.model_copy(update={"max_length": config.evaluation.max_length, "loss_on": "response"})
    measured = {name: (data.samples[name], data.cuts[name]) for name in data.samples}
    measured["test"] = make_samples(data.tokens["test"], test, [], "truncate")
    return Audit(
        max_length=dataset.max_length,
        long_answers=dataset.long_answers,
        parts={name: _part(rows, *measured[name], *overlap.inside(name), data) for name, rows in parts.items()},
        shared={f"{one}-{other}": overlap.between(one, other) for one, other in _PAIRS},
        lengths={each: cuts_at(each, data.tokens["train"], dataset) for each in sorted(config.audit.max_lengths)},
        at_max_length=cuts_at(dataset.max_length, data.tokens["train"], dataset),
        near_searched=overlap.searched,
        near_sampled=overlap.searched < sum(map(len, parts.values())),
        skipped=data.splits.skipped.count,
        deduplicated=data.splits.duplicates,
    )


def cuts_at(max_length: int, tokens: Tokens, config: DatasetConfig) -> Cuts:
    """What cutting these rows at another length would cost."""
    return make_samples(tokens, config.model_copy(update={"max_length": max_length}), [], "truncate")[1]


def _part(rows: Rows, samples: Samples, cuts: Cuts, exact: int, near: int, data: MedicalQA) -> Part:
    return Part(
        cuts=cuts,
        padding_share=_padding_share(samples.lengths, data) if data.config.collate == "pad" else 0.0,
        groups=len(np.unique(hashed(rows.column("group"), len(rows)))),
        documents=len(np.unique(hashed(rows.column("document"), len(rows)))),
        exact_duplicates=exact,
        near_duplicates=near,
    )


def _padding_share(lengths: NDArray[np.int32], data: MedicalQA) -> float:
    """Padding tokens over all tokens of the first epoch's batches."""
    order = np.fromiter(EpochOrder(len(lengths), data.seed), np.int64, len(lengths))
    starts = np.arange(0, len(lengths), data.config.batch_size)
    longest = np.maximum.reduceat(lengths[order], starts).astype(np.int64)
    rows = np.diff(np.append(starts, len(lengths)))
    return 1 - int(lengths.sum(dtype=np.int64)) / int((longest * rows).sum())
