"""Judges' scores of the variants, on the questions that all of them have a score for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medft.comparison.metrics import ComparedMetric, Places
from medft.comparison.variants import Variant
from medft.errors import InputError
from medft.evaluation.judging.controls import Reliability, assess_reliability
from medft.evaluation.judging.verdicts import BOUNDS
from medft.evaluation.predictions import list_judges
from medft.metrics.statistics import Ratio
from medft.runs.artifacts import IDENTITY
from medft.runs.record import RunRecord


@dataclass(frozen=True)
class ComparedJudge:
    """A judge that can be compared.

    Attributes:
        reliability: the least reliable of what its controls say of it in any run.
    """

    name: str
    scores: ComparedMetric
    reliability: Reliability


def collect_judges(variants: Sequence[Variant], wanted: str = "") -> tuple[list[ComparedJudge], list[str]]:
    """The judges that can be compared, and what is to be said of them; with `wanted` only that one.

    Raises:
        InputError: no run has scores of the wanted judge.
    """
    names = list_judges([row for variant in variants for run in variant.runs for row in run.predictions])
    if wanted and wanted not in names:
        known = ", ".join(names) or "none"
        raise InputError(f"judge={wanted}: none of the runs has scores of a judge of that name (there are: {known})")
    judges, notes = [], []
    for name in [wanted] if wanted else names:
        judge, said = _collect_judge(variants, name)
        notes += said
        if judge:
            judges.append(judge)
    return judges, notes


def _collect_judge(variants: Sequence[Variant], name: str) -> tuple[ComparedJudge | None, list[str]]:
    having = [variant for variant in variants if all(_has_scores(run, name, variant.side) for run in variant.runs)]
    identities = {run.tags.get(f"judge.{name}.{IDENTITY}") for variant in having for run in variant.runs}
    if len(identities) > 1:
        return None, [f"judge {name} is not compared: runs had different judges of that name (model, prompt, options)"]
    places = _find_scored_by_all(having, name)
    if len(having) < min(2, len(variants)) or not len(places):
        return None, [f"judge {name} is not compared: no question has a score of it in two variants"]
    missing = [variant.name for variant in variants if variant not in having and not variant.is_baseline]
    notes = [f"judge {name} has not scored all runs of: {'; '.join(missing)}"] if missing else []
    count = len(variants[0].runs[0].predictions)
    if len(places) < count:
        notes.append(f"judge {name}: compared on the {len(places):,} of {count:,} questions that all have a score for")
    reliability = _find_least_reliable([run for variant in having for run in variant.runs], name)
    if not reliability.reliable:
        word = "UNRELIABLE" if reliability.reliable is False else "of unknown worth"
        notes.append(f"judge {name} is {word}: {reliability.why}; do not read its scores as quality")
    by_run = {
        variant.name: [_score_ratio(run, name, variant.side, places) for run in variant.runs] for variant in having
    }
    return ComparedJudge(name, ComparedMetric(by_run, places), reliability), notes


def _has_scores(run: RunRecord, judge: str, side: str) -> bool:
    return any(row.judge_score(judge, side) is not None for row in run.predictions)


def _find_scored_by_all(variants: Sequence[Variant], judge: str) -> Places:
    if not variants:
        return np.arange(0)
    is_scored = [
        [row.judge_score(judge, variant.side) is not None for row in run.predictions]
        for variant in variants
        for run in variant.runs
    ]
    return np.flatnonzero(np.all(is_scored, axis=0))


def _score_ratio(run: RunRecord, judge: str, side: str, places: Places) -> Ratio:
    rows = [run.predictions[place] for place in places]
    scores = [row.judge_score(judge, side) or 0.0 for row in rows]
    return Ratio.of(scores, [row.document for row in rows], bounds=BOUNDS)


def _find_least_reliable(runs: Sequence[RunRecord], judge: str) -> Reliability:
    order = {False: 0, None: 1, True: 2}
    return min((assess_reliability(judge, run.predictions) for run in runs), key=lambda each: order[each.reliable])
