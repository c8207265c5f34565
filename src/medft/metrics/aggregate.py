"""The measured metrics of a run: before, after, and the paired difference, each with its error bar."""

import math
from collections.abc import Mapping, Sequence

from medft.evaluation.evaluate import Measurement
from medft.metrics.statistics import Estimate, Ratio, named

# what is measured of answers, with its meaning, in the order it is shown
MEASURED = {
    "loss": "nats a token of the expected answer; lower is better",
    "perplexity": "exp(loss); lower is better",
    "bits_per_byte": "loss per byte of text; lower is better",
    "rougeL": "longest common word sequence, 0 to 1",
    "rouge1": "words in common, 0 to 1",
    "rouge2": "word pairs in common, 0 to 1",
    "chrf": "character sequences in common, 0 to 100",
    "token_f1": "words in common after normalisation, 0 to 1",
    "exact_match": "share of answers equal to the expected one",
    "length_ratio": "words written over words expected",
    "repeat_share": "share of four-word runs written before; lower is better",
    "limit_share": "share of answers that ran out of room",
}


def measured_metrics(
    baseline: Measurement | None, tuned: Measurement, unigram_nats: Sequence[float], documents: Sequence[str]
) -> dict[str, float]:
    """Metrics under `baseline/`, `test/`, `difference/` (tuned less baseline, paired by question) and `reference/`,
    with `_ci_low` and `_ci_high`, for differences `_p` too.

    Args:
        unigram_nats: of each test question, see `unigram_losses`.
        documents: of each test question.
    """
    after = tuned.ratios(documents)
    unigram = Ratio.of(unigram_nats, documents, after["loss"].counts, after["loss"].bounds)
    found = {**_estimates("test", after), "reference/unigram_loss": unigram.estimate()}
    if baseline:
        before = baseline.ratios(documents)
        found |= _estimates("baseline", before)
        found |= {f"difference/{name}": ratio.less(before[name]) for name, ratio in after.items()}
    return named(found)


def _estimates(side: str, ratios: Mapping[str, Ratio]) -> dict[str, Estimate]:
    found = {name: ratio.estimate() for name, ratio in ratios.items()}
    return {f"{side}/{name}": each for name, each in {**found, "perplexity": _perplexity(found["loss"])}.items()}


def _perplexity(loss: Estimate) -> Estimate:
    """exp(loss), its ends likewise."""
    low, high = (None if end is None else _exp(end) for end in (loss.low, loss.high))
    return Estimate(_exp(loss.value), low, high)


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))
