"""All metrics of answers, in the order in which they are shown. Every list of metrics is derived from this one."""

from collections.abc import Sequence

from medft.metrics.length import LENGTH_RATIO, LIMIT_SHARE
from medft.metrics.likelihood import BITS_PER_BYTE, LOSS, PERPLEXITY
from medft.metrics.metric import Metric
from medft.metrics.overlap import CHRF, EXACT_MATCH, REPEAT_SHARE, ROUGE_1, ROUGE_2, ROUGE_L, TOKEN_F1
from medft.metrics.similarity import SIMILARITY

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        LOSS,
        PERPLEXITY,
        BITS_PER_BYTE,
        ROUGE_L,
        ROUGE_1,
        ROUGE_2,
        CHRF,
        TOKEN_F1,
        EXACT_MATCH,
        SIMILARITY,
        LENGTH_RATIO,
        REPEAT_SHARE,
        LIMIT_SHARE,
    )
}
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
