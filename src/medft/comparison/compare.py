"""The story of a comparison: same questions, entries, metrics, differences, costs, answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medft.comparison.alignment import align_questions
from medft.comparison.answers import Question, select_answers
from medft.comparison.baseline import baseline_variant
from medft.comparison.checks import warnings_of
from medft.comparison.costs import TRAIN_SECONDS, costs_of, pareto_front
from medft.comparison.judges import judged
from medft.comparison.metrics import Measured, measured
from medft.comparison.significance import Result, Results, p_values, results, too_few_documents
from medft.comparison.variants import Variant, find_variant, make_variants
from medft.errors import InputError
from medft.metrics.aggregate import MEASURED
from medft.metrics.overlap import OVERLAP
from medft.runs.record import RunRecord

PRIMARY = "bits_per_byte"
_LOWER_IS_BETTER = ("loss", "bits_per_byte", "repeat_share", "limit_share")
_NO_DIRECTION = ("length_ratio",)
_SHOWN_OVERLAP = "rougeL"


@dataclass(frozen=True)
class Options:
    """What is compared, and how.

    Attributes:
        reference: entry that the others are compared with, see `find_variant`; empty = the first.
        shared_only: compare runs of different test questions on those they share.
        seeds_apart: each run is an entry.
        judge: compare only this judge's scores; empty = all judges'.
        metric: the primary one: the front, the figure and the spread over seeds are of it.
        metrics: compare only these; empty = all. The fewer p-values, the less their correction takes away.
        tested: metrics that get p-values; empty = all that are compared.
        with_before: show the model before fine-tuning, if all runs began with the same.
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
    with_before: bool = True
    answers: int = 6
    swept: Sequence[str] = ()


@dataclass(frozen=True)
class Comparison:
    """Entries side by side.

    Attributes:
        primary: the metric that the front, the figure and the spread are of.
        results: by metric, then by entry's name.
        family: how many p-values are corrected together.
        costs: by entry, means over seeds.
        front: names of the entries on the Pareto front of the primary metric and the training time.
        worth: by metric that is a judge's score: whether its controls call it reliable.
        warnings, notes: what to know before reading, in sentences.
    """

    entries: list[Variant]
    reference: Variant
    primary: str
    results: Results
    family: int
    costs: dict[str, dict[str, float]]
    front: list[str]
    questions: list[Question]
    worth: dict[str, bool | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def test_rows(self) -> int:
        """Questions that are compared."""
        return len(self.entries[0].runs[0].predictions)

    @property
    def documents(self) -> int:
        """Documents that the questions come from."""
        return len({row.document for row in self.entries[0].runs[0].predictions})

    @property
    def trained(self) -> list[Variant]:
        """All entries but the model before fine-tuning."""
        return [entry for entry in self.entries if not entry.is_before]

    @property
    def lower_is_better(self) -> bool:
        """Of the primary metric."""
        return self.primary in _LOWER_IS_BETTER

    def result(self, metric: str, entry: Variant) -> Result | None:
        """A metric of an entry, where it has it."""
        return self.results.get(metric, {}).get(entry.name)


def compare(runs: Sequence[RunRecord], options: Options, defaults: Mapping[str, str] | None = None) -> Comparison:
    """Compare finished runs.

    Args:
        defaults: by dotted key, of settings that runs of older versions did not know.

    Raises:
        InputError: the runs cannot be compared as asked.
    """
    aligned, shared_note = align_questions(runs, options.shared_only)
    entries, notes = make_variants(aligned, defaults or {}, options.seeds_apart, options.swept)
    reference = find_variant(entries, options.reference)
    before, before_note = baseline_variant(entries) if options.with_before else (None, "")
    entries = [before, *entries] if before else entries
    metrics, metric_notes = measured(entries)
    judges, judge_notes = judged(entries, options.judge)
    metrics |= {f"judge/{judge.name}": judge.scores for judge in judges}
    metrics = _chosen(metrics, options)
    primary = _primary(metrics, options.metric)
    found = results(entries, reference, metrics, options.tested or list(metrics))
    costs = {entry.name: costs_of(entry) for entry in entries}
    return Comparison(
        entries=entries,
        reference=reference,
        primary=primary,
        results=found,
        family=p_values(found),
        costs=costs,
        front=_front(entries, found[primary], costs, primary),
        questions=select_answers(entries, _overlap(primary), [judge.name for judge in judges], options.answers),
        worth={f"judge/{judge.name}": judge.worth.reliable for judge in judges if f"judge/{judge.name}" in found},
        warnings=[note for note in (shared_note, *warnings_of(entries), *_diverged(found)) if note],
        notes=[note for note in (*notes, before_note, *metric_notes, *judge_notes, too_few_documents(found)) if note],
    )


def can_rank(metric: str) -> bool:
    """Whether there is a better and a worse of a metric, and it is one of questions."""
    known = metric in MEASURED and metric not in _NO_DIRECTION
    return (known and metric != "perplexity") or metric.startswith("judge/")


def _chosen(metrics: dict[str, Measured], options: Options) -> dict[str, Measured]:
    if not options.metrics:
        return metrics
    for name in options.metrics:
        if name not in metrics:
            raise InputError(f"metrics={name}: no such metric here; there are {', '.join(metrics)}")
    wanted = {*options.metrics, options.metric}
    return {name: each for name, each in metrics.items() if name in wanted}


def _primary(metrics: Mapping[str, Measured], wanted: str) -> str:
    usable = [name for name in metrics if name not in _NO_DIRECTION]
    if wanted in usable:
        return wanted
    raise InputError(f"metric={wanted}: the entries cannot be ranked by it; there are {', '.join(usable)}")


def _overlap(primary: str) -> str:
    return primary if primary in OVERLAP and primary != "repeat_share" else _SHOWN_OVERLAP


def _front(
    entries: Sequence[Variant], row: Mapping[str, Result], costs: Mapping[str, Mapping[str, float]], primary: str
) -> list[str]:
    """Of entries that trained, have a cost and a score, and did not see the test questions."""
    points = {
        entry.name: (costs[entry.name][TRAIN_SECONDS], row[entry.name].value.value)
        for entry in entries
        if TRAIN_SECONDS in costs[entry.name] and entry.name in row and not entry.is_leaking
    }
    points = {name: point for name, point in points.items() if math.isfinite(point[1])}
    return pareto_front(points, primary in _LOWER_IS_BETTER)


def _diverged(found: Results) -> list[str]:
    names = {entry for row in found.values() for entry, each in row.items() if not math.isfinite(each.value.value)}
    if not names:
        return []
    return [f"some of it is not a number, as after a training that diverged: {'; '.join(sorted(names))}"]
