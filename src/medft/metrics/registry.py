"""All metrics of answers, in the order in which they are shown, and what a run's answers come to.

Every list of metrics is derived from this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from medft.metrics.length import LENGTH_RATIO, LIMIT_SHARE
from medft.metrics.likelihood import BITS_PER_BYTE, LOSS, PERPLEXITY
from medft.metrics.metric import AnswerScores, Metric
from medft.metrics.overlap import CHRF, EXACT_MATCH, REPEAT_SHARE, ROUGE_1, ROUGE_2, ROUGE_L, TOKEN_F1
from medft.metrics.similarity import SIMILARITY
from medft.metrics.statistics import Difference, Estimate, Ratio

_IN_ORDER = (LOSS, PERPLEXITY, BITS_PER_BYTE, ROUGE_L, ROUGE_1, ROUGE_2, CHRF, TOKEN_F1, EXACT_MATCH, SIMILARITY,
             LENGTH_RATIO, REPEAT_SHARE, LIMIT_SHARE)  # fmt: skip
METRICS: dict[str, Metric] = {metric.name: metric for metric in _IN_ORDER}
PRIMARY = BITS_PER_BYTE.name  # by which runs are compared unless the user says otherwise
HEADLINES = tuple(name for name, metric in METRICS.items() if metric.headline)
# by which single answers are ranked, and chosen to be shown
ANSWER_RANK = ROUGE_L.name


def measure_answers(expected: Sequence[str], generated: Sequence[str]) -> list[dict[str, float]]:
    """The values of all installed metrics for each answer, by metric."""
    measures = dict.fromkeys(metric.measure for metric in METRICS.values() if metric.measure and metric.is_installed)
    columns = {name: values for measure in measures for name, values in measure(expected, generated).items()}
    return [{name: float(values[row]) for name, values in columns.items()} for row in range(len(expected))]


def list_missing_metrics() -> list[Metric]:
    """The metrics whose optional packages are not installed."""
    return [metric for metric in METRICS.values() if not metric.is_installed]


@dataclass(frozen=True)
class BeforeAfter:
    """One metric before, after fine-tuning, and after less before, paired; None where it was not measured."""

    before: Estimate | None
    after: Estimate | None
    difference: Difference | None = None


def summarize_answers(
    baseline: Sequence[AnswerScores] | None, tuned: Sequence[AnswerScores], groups: Sequence[str]
) -> dict[str, BeforeAfter]:
    """All metrics that these answers have, by name.

    Args:
        baseline: before fine-tuning; None = it was not measured.
        groups: that each question comes from.
    """
    results: dict[str, BeforeAfter] = {}
    for name, metric in METRICS.items():
        if metric.transform:
            base = results[metric.function_of]
            before, after = (each and each.transform(metric.transform) for each in (base.before, base.after))
            results[name] = BeforeAfter(before, after)
        elif metric.is_measured(tuned):
            own = metric.ratio(tuned, groups)
            old = metric.ratio(baseline, groups) if baseline and metric.is_measured(baseline) else None
            results[name] = BeforeAfter(
                old.estimate() if old else None, own.estimate(), own.subtract(old) if old else None
            )
    return results


def estimate_unigram_loss(nats: Sequence[float], tuned: Sequence[AnswerScores], groups: Sequence[str]) -> Estimate:
    """The loss of a model that knows word frequencies only, over the same tokens as `loss`.

    Args:
        nats: of each test question, see `compute_unigram_losses`.
    """
    loss = METRICS["loss"].ratio(tuned, groups)
    return Ratio.of(nats, groups, loss.counts, loss.bounds).estimate()
