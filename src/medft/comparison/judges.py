"""Judges' scores of the entries, on the questions that all of them have a score for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medft.comparison.metrics import Measured, Rows
from medft.comparison.variants import Variant
from medft.errors import InputError
from medft.evaluation.judging.controls import Reliability, reliability
from medft.evaluation.judging.verdicts import BOUNDS, score
from medft.metrics.statistics import Ratio
from medft.runs.artifacts import IDENTITY
from medft.runs.record import RunRecord


@dataclass(frozen=True)
class ComparedJudge:
    """A judge that can be compared.

    Attributes:
        worth: the least reliable of what its controls say of it in any run.
    """

    name: str
    scores: Measured
    worth: Reliability


def judged(entries: Sequence[Variant], wanted: str = "") -> tuple[list[ComparedJudge], list[str]]:
    """The judges that can be compared, and what is to be said of them; with `wanted` only that one.

    Raises:
        InputError: no run has scores of the wanted judge.
    """
    names = sorted({name for entry in entries for run in entry.runs for row in run.predictions for name in row.judge})
    if wanted and wanted not in names:
        known = ", ".join(names) or "none"
        raise InputError(f"judge={wanted}: none of the runs has scores of a judge of that name (there are: {known})")
    found, notes = [], []
    for name in [wanted] if wanted else names:
        judge, said = _judge(entries, name)
        notes += said
        if judge:
            found.append(judge)
    return found, notes


def _judge(entries: Sequence[Variant], name: str) -> tuple[ComparedJudge | None, list[str]]:
    having = [entry for entry in entries if all(_has_scores(run, name, entry.side) for run in entry.runs)]
    identities = {run.tags.get(f"judge.{name}.{IDENTITY}") for entry in having for run in entry.runs}
    if len(identities) > 1:
        return None, [f"judge {name} is not compared: runs had different judges of that name (model, prompt, options)"]
    rows = _scored_by_all(having, name)
    if len(having) < min(2, len(entries)) or not len(rows):
        return None, [f"judge {name} is not compared: no question has a score of it in two entries"]
    missing = [entry.name for entry in entries if entry not in having and not entry.is_before]
    notes = [f"judge {name} has not scored all runs of: {'; '.join(missing)}"] if missing else []
    count = len(entries[0].runs[0].predictions)
    if len(rows) < count:
        notes.append(f"judge {name}: compared on the {len(rows):,} of {count:,} questions that all have a score for")
    worth = _worth([run for entry in having for run in entry.runs], name)
    if not worth.reliable:
        word = "UNRELIABLE" if worth.reliable is False else "of unknown worth"
        notes.append(f"judge {name} is {word}: {worth.why}; do not read its scores as quality")
    by_run = {entry.name: [_scores(run, name, entry.side, rows) for run in entry.runs] for entry in having}
    return ComparedJudge(name, Measured(by_run, rows), worth), notes


def _has_scores(run: RunRecord, judge: str, side: str) -> bool:
    return any(score(row, judge, side) is not None for row in run.predictions)


def _scored_by_all(entries: Sequence[Variant], judge: str) -> Rows:
    if not entries:
        return np.arange(0)
    sides = [
        [score(row, judge, entry.side) is not None for row in run.predictions]
        for entry in entries
        for run in entry.runs
    ]
    return np.flatnonzero(np.all(sides, axis=0))


def _scores(run: RunRecord, judge: str, side: str, rows: Rows) -> Ratio:
    kept = [run.predictions[place] for place in rows]
    return Ratio.of([score(row, judge, side) or 0.0 for row in kept], [row.document for row in kept], bounds=BOUNDS)


def _worth(runs: Sequence[RunRecord], judge: str) -> Reliability:
    """The worst of what the controls of the runs say."""
    order = {False: 0, None: 1, True: 2}
    return min((reliability(judge, run.predictions) for run in runs), key=lambda found: order[found.reliable])
