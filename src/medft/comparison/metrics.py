"""The metrics of each variant, question by question, on the same rows for all variants."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medft.comparison.variants import Variant
from medft.metrics.metric import AnswerScores
from medft.metrics.registry import METRICS
from medft.metrics.statistics import Ratio

# one metric of several variants: by variant's name, the metric of each of its runs, all on the same rows and counts
RatiosByVariant = dict[str, list[Ratio]]


def average_runs(runs: Sequence[Ratio]) -> Ratio:
    """Each row averaged over runs that have the same rows with the same counts."""
    first = runs[0]
    return Ratio(np.mean([run.sums for run in runs], axis=0), first.counts, first.documents, first.bounds)


def collect_metrics(variants: Sequence[Variant]) -> tuple[dict[str, RatiosByVariant], list[str]]:
    """All metrics but the judges' that can be compared, and why others cannot."""
    answers = {variant.name: [variant.scores(run) for run in variant.runs] for variant in variants}
    everything = [scores for runs in answers.values() for scores in runs]
    documents = [row.document for row in variants[0].runs[0].predictions]
    all_places = np.arange(len(documents))
    same_bytes, notes = _find_same_bytes(everything)
    same_tokens = len({tuple(answer.tokens for answer in scores) for scores in everything}) == 1
    if not same_tokens:
        notes.insert(
            0,
            "loss and perplexity are not compared: the variants count the tokens of the same answers differently "
            "(another tokenizer, or evaluation.max_length), and nats per token depend on that; bits_per_byte does not",
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
            compared[name] = {
                variant: [metric.ratio(scores, documents).select(places) for scores in runs]
                for variant, runs in answers.items()
            }
    return compared, notes


def _find_same_bytes(everything: Sequence[Sequence[AnswerScores]]) -> tuple[NDArray[np.intp], list[str]]:
    """Questions whose loss was read on the same bytes by all, and a note on the others."""
    read = [[each.bytes for each in scores] for scores in everything]
    places = np.flatnonzero(np.all(np.equal(read, read[0]), axis=0))
    left = len(read[0]) - len(places)
    if not left:
        return places, []
    where = f"is compared on {len(places):,} of {len(read[0]):,} questions" if len(places) else "is not compared"
    return places, [f"bits_per_byte {where}: {left:,} answers were not read to the same end by all variants"]
