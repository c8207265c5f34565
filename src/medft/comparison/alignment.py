"""The questions that all runs were tested on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from medft.errors import InputError
from medft.evaluation.predictions import Prediction
from medft.runs.record import RunRecord

# id, instruction, input, expected answer, and the occurrence number, for repeated questions
Key = tuple[str, str, str, str, int]


def align_questions(runs: Sequence[RunRecord], shared_only: bool) -> tuple[list[RunRecord], str]:
    """The runs with the predictions on their shared questions only, all in one order; and a note on what was left out.

    A question is the same if its id, its text and its expected answer are.

    Raises:
        InputError: the runs were tested on different questions and `shared_only` does not ask for those in common, or
            none are in common.
    """
    keyed = [_key_questions(run.predictions) for run in runs]
    shared = [key for key in keyed[0] if all(key in rows for rows in keyed)]
    all_same = all(len(rows) == len(shared) for rows in keyed)
    counts = " or ".join(f"{size:,}" for size in sorted({len(rows) for rows in keyed}))
    if not shared:
        raise InputError(f"the runs share no test question ({counts} each): there is nothing to compare them on")
    if not all_same and not shared_only:
        raise InputError(
            f"the runs were tested on different questions: {len(shared):,} are shared, each run has {counts}; "
            "questions=shared compares on those"
        )
    note = "" if all_same else f"only the {len(shared):,} questions that all runs share are compared (of {counts} each)"
    aligned = [[rows[key] for key in shared] for rows in keyed]
    return [replace(run, predictions=rows) for run, rows in zip(runs, aligned, strict=True)], note


def _key_questions(rows: Sequence[Prediction]) -> dict[Key, Prediction]:
    occurrences: Counter[tuple[str, str, str, str]] = Counter()
    keyed = {}
    for row in rows:
        question = (row.id, row.instruction, row.input, row.expected)
        keyed[(*question, occurrences[question])] = row
        occurrences[question] += 1
    return keyed
