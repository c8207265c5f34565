"""Judges' scores of the variants, on the questions that all of them have a score for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medft.comparison.metrics import RatiosByVariant
from medft.comparison.variants import Variant
from medft.errors import InputError
from medft.evaluation.judging.metrics import BOUNDS, Reliability, assess_reliability
from medft.evaluation.predictions import list_judges
from medft.metrics.statistics import Ratio
from medft.runs.record import IDENTITY


@dataclass(frozen=True)
class ComparedJudge:
    """A judge that can be compared.

    Attributes:
        reliability: the lowest that its controls show in any run.
    """

    name: str
    scores: RatiosByVariant
    reliability: Reliability


def collect_judges(variants: Sequence[Variant], wanted: str = "") -> tuple[list[ComparedJudge], list[str]]:
    """The judges that can be compared, and notes on them; with `wanted` only that one.

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
    documents = [variants[0].runs[0].predictions[place].document for place in places]
    by_run = {
        variant.name: [
            Ratio.of([scores[place] or 0.0 for place in places], documents, bounds=BOUNDS)
            for scores in scored[variant.name]
        ]
        for variant in having
    }
    return ComparedJudge(name, by_run, reliability), notes
