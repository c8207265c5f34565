"""What is compared of each variant: metrics and judges' scores, question by question on the same rows, and costs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from medft.comparison.variants import Variant
from medft.errors import InputError
from medft.evaluation.judging.metrics import BOUNDS, Reliability, assess_reliability
from medft.evaluation.predictions import list_groups, list_judges
from medft.metrics.metric import AnswerScores
from medft.metrics.registry import METRICS
from medft.metrics.statistics import Ratio
from medft.runs.record import IDENTITY

COSTS = ("train_tflop", "train_seconds", "train_tokens", "tokens_per_second", "peak_memory")
TRAIN_SECONDS = COSTS[1]
# what does not depend on the machine and on what else it did; runs of earlier versions have not counted operations
EXACT_COSTS = ("train_tflop", "train_tokens")
AS_CHEAP = 1e-3  # relative: costs no further apart are equal

# one metric of several variants: by variant's name, the metric of each of its runs, all on the same rows and counts
RatiosByVariant = dict[str, list[Ratio]]


@dataclass(frozen=True)
class ComparedJudge:
    """A judge that can be compared; its reliability is the lowest that its controls show in any run."""

    name: str
    scores: RatiosByVariant
    reliability: Reliability


def is_lower_better(metric: str) -> bool:
    """Of a metric, or of a judge's score, of which more is better."""
    return metric in METRICS and METRICS[metric].better == "lower"


def average_runs(runs: Sequence[Ratio]) -> Ratio:
    """Each row averaged over runs that have the same rows with the same counts."""
    first = runs[0]
    return Ratio(np.mean([run.sums for run in runs], axis=0), first.counts, first.groups, first.bounds)


def collect_metrics(variants: Sequence[Variant]) -> tuple[dict[str, RatiosByVariant], list[str]]:
    """All metrics but the judges' that can be compared, and why others cannot."""
    answers = {variant.name: [variant.scores(run) for run in variant.runs] for variant in variants}
    everything = [scores for runs in answers.values() for scores in runs]
    groups = list_groups(variants[0].runs[0].predictions)
    same_bytes, notes = _find_same_bytes(everything)
    same_tokens = len({tuple(answer.tokens for answer in scores) for scores in everything}) == 1
    if not same_tokens:
        note = (
            "loss and perplexity are not compared: the variants count the tokens of the same answers differently "
            "(another tokenizer, or evaluation.max_length), and nats per token depend on that; bits_per_byte does not"
        )
        notes = [note, *notes]
    compared = {}
    for name, metric in METRICS.items():
        if metric.function_of or (name == "loss" and not same_tokens):
            continue
        measured = [metric.is_measured(scores) for scores in everything]
        places = same_bytes if name == "bits_per_byte" else np.arange(len(groups))
        if any(measured) and not all(measured):
            notes.append(f"{name} is not compared: not all runs have measured it")
        elif all(measured) and len(places):
            compared[name] = {
                variant: [metric.ratio(scores, groups).select(places) for scores in runs]
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


def collect_judges(variants: Sequence[Variant], wanted: str = "") -> tuple[list[ComparedJudge], list[str]]:
    """The judges that can be compared, and notes on them; with `wanted` only that one.

    Raises:
        InputError: no run has scores of the wanted judge.
    """
    names = list_judges([row for variant in variants for run in variant.runs for row in run.predictions])
    if wanted and wanted not in names:
        known = ", ".join(names) or "none"
        raise InputError(f"judge={wanted}: none of the runs has scores of a judge of that name (there are: {known})")
    collected = [_collect_judge(variants, name) for name in ([wanted] if wanted else names)]
    return [judge for judge, _ in collected if judge], [note for _, notes in collected for note in notes]


def _collect_judge(variants: Sequence[Variant], name: str) -> tuple[ComparedJudge | None, list[str]]:
    scored = {
        variant.name: [[row.judge_score(name, variant.side) for row in run.predictions] for run in variant.runs]
        for variant in variants
    }
    having = [v for v in variants if all(any(score is not None for score in run) for run in scored[v.name])]
    identities = {run.tags.get(f"judge.{name}.{IDENTITY}") for variant in having for run in variant.runs}
    if len(identities) > 1:
        return None, [f"judge {name} is not compared: runs had different judges of that name (model, prompt, options)"]
    columns = [scores for variant in having for scores in scored[variant.name]]
    places = np.array([place for place, row in enumerate(zip(*columns, strict=True)) if None not in row], np.intp)
    if len(having) < min(2, len(variants)) or not len(places):
        return None, [f"judge {name} is not compared: no question has a score of it in two variants"]
    missing = [variant.name for variant in variants if variant not in having and not variant.is_baseline]
    notes = [f"judge {name} has not scored all runs of: {'; '.join(missing)}"] if missing else []
    count = len(variants[0].runs[0].predictions)
    if len(places) < count:
        notes.append(f"judge {name}: compared on the {len(places):,} of {count:,} questions that all have a score for")
    # the least reliable of any run: False before unknown before True
    of_runs = [assess_reliability(name, run.predictions) for variant in having for run in variant.runs]
    reliability = min(of_runs, key=lambda each: (False, None, True).index(each.reliable))
    if not reliability.reliable:
        word = "UNRELIABLE" if reliability.reliable is False else "of unknown worth"
        notes.append(f"judge {name} is {word}: {reliability.why}; do not read its scores as quality")
    all_groups = list_groups(variants[0].runs[0].predictions)
    groups = [all_groups[place] for place in places]
    by_run = {
        variant.name: [
            Ratio.of([scores[place] or 0.0 for place in places], groups, bounds=BOUNDS)
            for scores in scored[variant.name]
        ]
        for variant in having
    }
    return ComparedJudge(name, by_run, reliability), notes


def average_costs(variant: Variant, seeds: Collection[str] = ()) -> dict[str, float]:
    """Means over the seeds, or over some of them, of what all runs have logged; nothing for the model before
    fine-tuning.
    """
    runs = [run for run in variant.runs if not seeds or run.seed in seeds]
    if variant.is_baseline:
        return {}
    logged = [name for name in COSTS if all(name in run.costs for run in runs)]
    return {name: fmean(run.costs[name] for run in runs) for name in logged}


def find_front(costs: Mapping[str, float], is_better: Callable[[str, str], bool]) -> list[str]:
    """Names of the variants whose cost has bought something: each is shown to be better than all that are cheaper, and
    nothing as cheap is shown to be better than it. What cannot be told apart is not ordered.

    Args:
        is_better: whether the first is shown to be better than the second.
    """
    front = []
    for name, cost in costs.items():
        cheaper = [other for other, least in costs.items() if least < cost * (1 - AS_CHEAP)]
        as_cheap = [other for other, least in costs.items() if abs(least - cost) <= cost * AS_CHEAP and other != name]
        is_worth_it = all(is_better(name, other) for other in cheaper)
        if is_worth_it and not any(is_better(other, name) for other in as_cheap):
            front.append(name)
    return front
