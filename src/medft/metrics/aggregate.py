"""The metrics of a run's answers: before and after fine-tuning, and the paired difference, each with its error bar."""

from collections.abc import Sequence
from dataclasses import dataclass

from medft.metrics.metric import AnswerScores
from medft.metrics.registry import METRICS
from medft.metrics.statistics import Difference, Estimate, Ratio


@dataclass(frozen=True)
class BeforeAfter:
    """One metric before and after fine-tuning; None where it was not measured.

    Attributes:
        difference: after less before, paired by question.
    """

    before: Estimate | None
    after: Estimate | None
    difference: Difference | None = None


def summarize_answers(
    baseline: Sequence[AnswerScores] | None, tuned: Sequence[AnswerScores], documents: Sequence[str]
) -> dict[str, BeforeAfter]:
    """All metrics that these answers have, by name.

    Args:
        baseline: of the model before fine-tuning; None = it was not measured.
        documents: that each question comes from.
    """
    results: dict[str, BeforeAfter] = {}
    for name, metric in METRICS.items():
        if metric.transform:
            base = results[metric.function_of]
            before, after = (each and each.transform(metric.transform) for each in (base.before, base.after))
            results[name] = BeforeAfter(before, after)
        elif metric.is_measured(tuned):
            own = metric.ratio(tuned, documents)
            old = metric.ratio(baseline, documents) if baseline and metric.is_measured(baseline) else None
            results[name] = BeforeAfter(
                old.estimate() if old else None, own.estimate(), own.subtract(old) if old else None
            )
    return results


def estimate_unigram_loss(nats: Sequence[float], tuned: Sequence[AnswerScores], documents: Sequence[str]) -> Estimate:
    """The loss of a model that knows word frequencies only, over the same tokens as `loss`.

    Args:
        nats: of each test question, see `compute_unigram_losses`.
    """
    loss = METRICS["loss"].ratio(tuned, documents)
    return Ratio.of(nats, documents, loss.counts, loss.bounds).estimate()
