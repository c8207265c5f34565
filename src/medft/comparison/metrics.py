"""What was measured of each variant, question by question, on the same rows for all variants."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medft.comparison.variants import Variant
from medft.evaluation.predictions import list_documents
from medft.metrics.metric import AnswerScores
from medft.metrics.registry import METRICS
from medft.metrics.statistics import Ratio

Places = NDArray[np.intp]


@dataclass(frozen=True)
class ComparedMetric:
    """One metric of several variants.

    Attributes:
        by_run: for each variant that has it, by name, the metric of each of its runs; rows and counts are the same for
            all.
        places: which of the shared questions these are.
    """

    by_run: dict[str, list[Ratio]]
    places: Places

    def of(self, variant: str) -> Ratio | None:
        """A variant's metric, each question averaged over the seeds; None if it has none."""
        runs = self.by_run.get(variant)
        return average_runs(runs) if runs else None


def average_runs(runs: Sequence[Ratio]) -> Ratio:
    """Each row averaged over runs that have the same rows with the same counts."""
    first = runs[0]
    return Ratio(np.mean([run.sums for run in runs], axis=0), first.counts, first.documents, first.bounds)


def collect_metrics(variants: Sequence[Variant]) -> tuple[dict[str, ComparedMetric], list[str]]:
    """All metrics but the judges' that can be compared, and why others cannot."""
    answers = {variant.name: [variant.scores(run) for run in variant.runs] for variant in variants}
    everything = [scores for runs in answers.values() for scores in runs]
    documents = list_documents(variants[0].runs[0].predictions)
    all_places = np.arange(len(documents))
    same_bytes, notes = _find_same_bytes(everything)
    same_tokens = all(_tokens(scores) == _tokens(everything[0]) for scores in everything)
    if not same_tokens:
        notes.insert(
            0,
            "loss and perplexity are not compared: the variants count the tokens of the same answers differently "
            "(another tokenizer, or evaluation.max_length), and nats a token depend on that; bits_per_byte does not",
        )
    compared = {}
    for name, metric in METRICS.items():
        if metric.function_of or (name == "loss" and not same_tokens):
            continue
        if not all(metric.is_measured(scores) for scores in everything):
            if any(metric.is_measured(scores) for scores in everything):
                notes.append(f"{name} is not compared: not all runs have measured it")
            continue
        places = same_bytes if name == "bits_per_byte" else all_places
        if len(places):
            ratios = {
                variant: [_select(metric.ratio(scores, documents), places) for scores in runs]
                for variant, runs in answers.items()
            }
            compared[name] = ComparedMetric(ratios, places)
    return compared, notes


def compute_value(ratio: Ratio) -> float:
    """The metric alone, without its interval."""
    total = ratio.counts.sum()
    return float(ratio.sums.sum() / total) if total else math.nan


def _select(ratio: Ratio, places: Places) -> Ratio:
    """The same metric on some of its rows."""
    documents = [ratio.documents[place] for place in places]
    return Ratio(ratio.sums[places], ratio.counts[places], documents, ratio.bounds)


def _tokens(scores: Sequence[AnswerScores]) -> list[int]:
    return [each.tokens for each in scores]


def _find_same_bytes(everything: Sequence[Sequence[AnswerScores]]) -> tuple[Places, list[str]]:
    """Questions whose loss was read on the same bytes by all, and what is to be said of the others."""
    read = [[each.bytes for each in scores] for scores in everything]
    same = np.all([np.equal(each, read[0]) for each in read], axis=0)
    places = np.flatnonzero(same)
    left = len(same) - len(places)
    if not left:
        return places, []
    where = "is not compared" if not len(places) else f"is compared on {len(places):,} of {len(same):,} questions"
    return places, [f"bits_per_byte {where}: {left:,} answers were not read to the same end by all variants"]
