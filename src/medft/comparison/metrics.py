"""What was measured of each entry, question by question: averaged over its seeds, on the same rows for all entries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medft.comparison.variants import Variant
from medft.evaluation.evaluate import AnswerScores, Measurement
from medft.evaluation.predictions import Prediction
from medft.metrics.overlap import OVERLAP
from medft.metrics.statistics import Ratio
from medft.runs.record import RunRecord

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Measured:
    """One metric of several entries.

    Attributes:
        by_run: for each entry that has it, by name, the metric of each of its runs; rows and counts are the same for
            all.
        rows: which of the shared questions these are, by position.
    """

    by_run: dict[str, list[Ratio]]
    rows: Rows

    def of(self, entry: str) -> Ratio | None:
        """An entry's metric, each question averaged over the seeds; None if it has none."""
        runs = self.by_run.get(entry)
        return mean_over_runs(runs) if runs else None


def mean_over_runs(runs: Sequence[Ratio]) -> Ratio:
    """Each row averaged over runs that have the same rows with the same counts."""
    first = runs[0]
    return Ratio(np.mean([run.sums for run in runs], axis=0), first.counts, first.documents, first.bounds)


def measured(entries: Sequence[Variant]) -> tuple[dict[str, Measured], list[str]]:
    """All metrics but the judges' that can be compared, and why others cannot."""
    names = ["loss", "bits_per_byte", *OVERLAP, "length_ratio", "limit_share"]
    notes: list[str] = []
    tokens = [_column(run, side, "tokens") for run, side in _sides(entries)]
    if any(not np.array_equal(tokens[0], each) for each in tokens):
        names.remove("loss")
        notes.append(
            "loss and perplexity are not compared: the entries count the tokens of the same answers differently "
            "(another tokenizer, or evaluation.max_length), and nats a token depend on that; bits_per_byte does not"
        )
    kept, bytes_note = _comparable_bytes(entries)
    notes += bytes_note
    by_run = {entry.name: [_ratios(run, entry.side) for run in entry.runs] for entry in entries}
    everything = np.arange(len(entries[0].runs[0].predictions))
    rows_of = {name: rows for name in names if len(rows := kept if name == "bits_per_byte" else everything)}
    found = {
        name: Measured({entry: [at(run[name], rows) for run in runs] for entry, runs in by_run.items()}, rows)
        for name, rows in rows_of.items()
    }
    return found, notes


def at(ratio: Ratio, rows: Rows) -> Ratio:
    """The same metric on some of its rows."""
    documents = [ratio.documents[place] for place in rows]
    return Ratio(ratio.sums[rows], ratio.counts[rows], documents, ratio.bounds)


def value_of(ratio: Ratio) -> float:
    """The metric alone, without its interval."""
    total = ratio.counts.sum()
    return float(ratio.sums.sum() / total) if total else math.nan


def _sides(entries: Sequence[Variant]) -> list[tuple[RunRecord, str]]:
    return [(run, entry.side) for entry in entries for run in entry.runs]


def _column(run: RunRecord, side: str, name: str) -> list[float]:
    return [float(row.metrics[side].get(name, math.nan)) for row in run.predictions]


def _comparable_bytes(entries: Sequence[Variant]) -> tuple[Rows, list[str]]:
    """Questions whose loss is of the same bytes in all entries, and what is to be said of it."""
    read = [_bytes(run, side) for run, side in _sides(entries)]
    same = np.all([np.equal(each, read[0]) for each in read], axis=0)  # not a number is equal to nothing
    rows = np.flatnonzero(same)
    left = len(same) - len(rows)
    if not left:
        return rows, []
    where = "is not compared" if not len(rows) else f"is compared on {len(rows):,} of {len(same):,} questions"
    return rows, [f"bits_per_byte {where}: {left:,} answers were not read to the same end by all entries"]


def _bytes(run: RunRecord, side: str) -> list[float]:
    """UTF-8 bytes of each answer that the loss has read. An answer that was not cut was read whole, whatever a
    tokenizer makes of it; of cut ones older runs do not know.
    """
    return [
        float(len(row.expected.encode()))
        if not row.metrics[side]["cut"]
        else float(row.metrics[side].get("bytes", math.nan))
        for row in run.predictions
    ]


def _ratios(run: RunRecord, side: str) -> dict[str, Ratio]:
    """All metrics of a run, made of its rows as the run itself makes them."""
    rows = [_row(row, side, size) for row, size in zip(run.predictions, _bytes(run, side), strict=True)]
    return Measurement(rows, {}).ratios([row.document for row in run.predictions])


def _row(prediction: Prediction, side: str, size: float) -> AnswerScores:
    """A row as it was measured, so that its metrics are made as a run makes them."""
    found = prediction.metrics[side]
    answer = prediction.generated_answer if side == "test" else prediction.baseline_answer or ""
    return AnswerScores(
        id=prediction.id,
        answer=answer,
        hit_limit=bool(found["hit_limit"]),
        nats=found["nats"],
        tokens=int(found["tokens"]),
        cut=int(found["cut"]),
        bytes=0 if math.isnan(size) else int(size),
        words=int(found["words"]),
        expected_words=int(found.get("expected_words", len(prediction.expected.split()))),
        metrics={name: found[name] for name in OVERLAP},
    )
