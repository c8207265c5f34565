"""The steps of a comparison: same questions, variants, metrics, differences, costs, answers."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medft.comparison.metrics import (
    AS_CHEAP,
    EXACT_COSTS,
    RatiosByVariant,
    average_costs,
    collect_judges,
    collect_metrics,
    find_front,
    is_lower_better,
)
from medft.comparison.remarks import describe_margin, describe_power, describe_versions, list_warnings
from medft.comparison.significance import (
    LEVEL,
    Comparer,
    Kind,
    Result,
    Results,
    compute_results,
    count_p_values,
    explain_too_few_groups,
)
from medft.comparison.variants import Variant, align_questions, find_variant, make_baseline_variant, make_variants
from medft.errors import InputError
from medft.evaluation.predictions import Prediction, list_groups
from medft.metrics.registry import ANSWER_RANK, METRICS, PRIMARY
from medft.runs.record import RunRecord

JUDGE = "judge/"  # and its name: the metric of a judge's scores
_SEED = 0
_RANDOM_SHARE = 3  # one in so many is chosen at random


@dataclass(frozen=True)
class Options:
    """What is compared, and how.

    Attributes:
        reference: variant that the others are compared with, see `find_variant`; empty = the first.
        shared_only: compare runs of different test questions on those they share.
        seeds_apart: each run is a variant.
        judge: compare only this judge's scores; empty = all judges'.
        metric: the primary one: p-values, the front, the figure and the spread over seeds are of it.
        metrics: compare only these; empty = all.
        tested: metrics that get p-values; empty = the primary one.
        with_baseline: show the model before fine-tuning, if all runs began with the same.
        margin: also ask which variants are as good as the reference within so much; None = that is not asked.
        answers: how many questions to show with their answers.
        swept: keys that a sweep varied, in its order.
    """

    reference: str = ""
    shared_only: bool = False
    seeds_apart: bool = False
    judge: str = ""
    metric: str = PRIMARY
    metrics: Sequence[str] = ()
    tested: Sequence[str] = ()
    with_baseline: bool = True
    margin: float | None = None
    answers: int = 6
    swept: Sequence[str] = ()


@dataclass(frozen=True)
class ComparedAnswer:
    """One variant's answer to a question, of its first seed, with its scores by metric and by judge."""

    variant: str
    text: str
    scores: dict[str, float]


@dataclass(frozen=True)
class ComparedQuestion:
    """A question with the answers of all variants, and why it is shown."""

    row: Prediction
    why: str
    answers: tuple[ComparedAnswer, ...]


@dataclass(frozen=True)
class Comparison:
    """Variants side by side.

    Attributes:
        primary: the metric that the front, the figure and the spread are of.
        results: by metric, then by variant's name.
        family: how many p-values are corrected together.
        costs: by variant, means over seeds.
        front_cost: the cost that the front is of; empty where not all variants have counted it.
        front: names of the variants on it, see `find_front`, of those that have a score and saw no test question.
        cheapest: those of them that cost least.
        front_kinds: what the comparisons that the front follows from are between.
        reliable: by metric that is a judge's score: whether its controls call it reliable.
        warnings, notes: what to know before reading, in sentences.
    """

    variants: list[Variant]
    reference: Variant
    primary: str
    results: Results
    family: int
    costs: dict[str, dict[str, float]]
    front_cost: str
    front: list[str]
    cheapest: list[str]
    front_kinds: set[Kind]
    questions: list[ComparedQuestion]
    reliable: dict[str, bool | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def test_rows(self) -> int:
        """Questions that are compared."""
        return len(self.variants[0].runs[0].predictions)

    @property
    def groups(self) -> int:
        """Groups that the questions come from."""
        return len(set(list_groups(self.variants[0].runs[0].predictions)))

    @property
    def trained(self) -> list[Variant]:
        """All variants but the model before fine-tuning."""
        return [variant for variant in self.variants if not variant.is_baseline]

    @property
    def baseline(self) -> Variant | None:
        """The model before fine-tuning."""
        return next((variant for variant in self.variants if variant.is_baseline), None)

    @property
    def lower_is_better(self) -> bool:
        """Of the primary metric."""
        return is_lower_better(self.primary)

    def result(self, metric: str, variant: Variant) -> Result | None:
        """A metric of a variant, where it has it."""
        return self.results.get(metric, {}).get(variant.name)

    def describe_direction(self, result: Result) -> str:
        """Whether a variant is better or worse than the reference in the primary metric; empty where it is neither."""
        if result.difference is None or not result.difference.value:
            return ""
        return "better" if (result.difference.value < 0) == self.lower_is_better else "worse"


def compare(runs: Sequence[RunRecord], options: Options) -> Comparison:
    """Compare finished runs.

    Raises:
        InputError: the runs cannot be compared as asked.
    """
    aligned, shared_note = align_questions(runs, options.shared_only)
    variants, notes = make_variants(aligned, options.seeds_apart, options.swept)
    reference = find_variant(variants, options.reference)
    baseline, baseline_note = make_baseline_variant(variants) if options.with_baseline else (None, "")
    variants = [baseline, *variants] if baseline else variants
    metrics, metric_notes = collect_metrics(variants)
    judges, judge_notes = collect_judges(variants, options.judge)
    metrics = _choose_metrics(metrics | {f"{JUDGE}{judge.name}": judge.scores for judge in judges}, options)
    primary = options.metric
    results = compute_results(variants, reference, metrics, options.tested or [primary])
    too_few = explain_too_few_groups(results)
    trained = [each for each in variants if not each.is_baseline]
    own = {each.name: results[primary][each.name] for each in trained if each.name in results[primary]}
    power = "" if too_few else describe_power(own, count_p_values(results), primary)
    warnings, versions = [shared_note, *list_warnings(variants)], describe_versions(variants)
    diverged = {name for row in results.values() for name, each in row.items() if not math.isfinite(each.value.value)}
    if diverged:
        warnings.append(f"some of it is not a number, as after a training that diverged: {'; '.join(sorted(diverged))}")
    costs = {variant.name: average_costs(variant) for variant in variants}
    front_cost, front, cheapest, kinds = _find_front(variants, reference, metrics[primary], results[primary], primary)
    fair = [each for each in trained if not each.is_leaking]
    within = describe_margin(fair, reference, results[primary], primary, options.margin) if options.margin else ()
    of_answers = primary in METRICS and METRICS[primary].measure and METRICS[primary].better == "higher"
    shown_by = primary if of_answers else ANSWER_RANK
    notes += [baseline_note, *metric_notes, *judge_notes, too_few, power, *within, versions]
    return Comparison(
        variants=variants,
        reference=reference,
        primary=primary,
        results=results,
        family=count_p_values(results),
        costs=costs,
        front_cost=front_cost,
        front=front,
        cheapest=cheapest,
        front_kinds=kinds,
        questions=_select_answers(variants, shown_by, [judge.name for judge in judges], options.answers),
        reliable={key: judge.reliability.reliable for judge in judges if (key := f"{JUDGE}{judge.name}") in results},
        warnings=[warning for warning in warnings if warning],
        notes=[note for note in notes if note],
    )


def _find_front(
    variants: Sequence[Variant], reference: Variant, ratios: RatiosByVariant, results: Mapping[str, Result], metric: str
) -> tuple[str, list[str], list[str], set[Kind]]:
    """The cost, the variants that are worth it, those of them that cost least, and what was compared to find them; over
    the seeds that all have, where there are any, since a seed may draw longer rows.
    """
    measured = {name for name, runs in ratios.items() if all(math.isfinite(run.value) for run in runs)}
    fair = {v.name: v for v in variants if v.name in measured and not v.is_leaking and not v.is_baseline}
    if not fair:
        return "", [], [], set()
    seeds = set.intersection(*({run.seed for run in each.runs} for each in fair.values()))
    costs = {name: average_costs(each, seeds) for name, each in fair.items()}
    counted = next((cost for cost in EXACT_COSTS if all(cost in costs[name] for name in fair)), "")
    if not counted:
        return "", [], [], set()
    lower, comparer, kinds = is_lower_better(metric), Comparer(variants, ratios), set[Kind]()

    def is_better(one: str, other: str) -> bool:
        if reference.name not in (one, other):
            found = comparer.compare(fair[one], fair[other])
            assert found, "both are numbers"
            difference, kind, _ = found
            kinds.add(kind)
            # Bonferroni: each is compared with all others
            is_shown = difference.p is not None and difference.p * max(1, len(fair) - 1) < LEVEL
            return is_shown and (difference.value < 0) is lower
        result = results[one if other == reference.name else other]  # there is a verdict on these two
        assert result.difference
        kinds.add(result.kind)
        value = result.difference.value if other == reference.name else -result.difference.value
        return result.is_finding and (value < 0) is lower

    own = {name: costs[name][counted] for name in fair}
    front, least = find_front(own, is_better), min(own.values()) * (1 + AS_CHEAP)
    return counted, front, [name for name in front if own[name] <= least], kinds


def _choose_metrics(metrics: Mapping[str, RatiosByVariant], options: Options) -> dict[str, RatiosByVariant]:
    """The metrics that were asked for; the primary one is among them."""
    for name in options.metrics:
        if name not in metrics:
            raise InputError(f"metrics={name}: no such metric here; there are {', '.join(metrics)}")
    wanted = {*options.metrics, options.metric} if options.metrics else metrics.keys()
    chosen = {name: each for name, each in metrics.items() if name in wanted}
    usable = [name for name in chosen if name not in METRICS or METRICS[name].can_rank]
    if options.metric not in usable:
        raise InputError(f"metric={options.metric}: the variants cannot be ranked by it; there are {', '.join(usable)}")
    return chosen


def _select_answers(
    variants: Sequence[Variant], metric: str, judges: Sequence[str], count: int
) -> list[ComparedQuestion]:
    """`count` questions with all answers, of the first seed each; by their range in `metric`, which answers have."""
    if not all(answer.is_written for variant in variants for answer in variant.scores(variant.runs[0])):
        return []
    columns = [[answer.values[metric] for answer in variant.scores(variant.runs[0])] for variant in variants]
    ranges = [max(values) - min(values) for values in zip(*columns, strict=True)]
    by_range = sorted(range(len(ranges)), key=lambda place: -ranges[place])
    most = by_range[: count - count // _RANDOM_SHARE]
    rest = sorted(by_range[len(most) :])
    drawn = random.Random(_SEED).sample(rest, min(count - len(most), len(rest)))  # noqa: S311 - not for secrets
    why = {place: f"differs by {ranges[place]:.3f} {metric}" for place in most}
    why |= dict.fromkeys(sorted(drawn), "chosen at random")
    return [_collect_answers(variants, place, reason, metric, judges) for place, reason in why.items()]


def _collect_answers(
    variants: Sequence[Variant], place: int, why: str, metric: str, judges: Sequence[str]
) -> ComparedQuestion:
    answers = []
    for variant in variants:
        row = variant.runs[0].predictions[place]
        answer = row.scores(variant.side)
        given = {name: row.judge_score(name, variant.side) for name in judges}
        scores = {metric: answer.values[metric]} | {name: each for name, each in given.items() if each is not None}
        answers.append(ComparedAnswer(variant.name, answer.answer, scores))
    return ComparedQuestion(variants[0].runs[0].predictions[place], why, tuple(answers))
