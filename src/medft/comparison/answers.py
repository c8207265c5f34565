"""Answers side by side: the questions on which the entries differ the most, and some at random."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from medft.comparison.variants import Variant
from medft.evaluation.judging.verdicts import score
from medft.evaluation.predictions import Prediction

_SEED = 0
_RANDOM_SHARE = 3  # one in so many is chosen at random


@dataclass(frozen=True)
class Answer:
    """What one entry's first run has said.

    Attributes:
        scores: by metric, and by judge.
    """

    entry: str
    text: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Question:
    """A question with the answers of all entries.

    Attributes:
        why: it is shown.
    """

    row: Prediction
    why: str
    answers: tuple[Answer, ...]


def select_answers(entries: Sequence[Variant], metric: str, judges: Sequence[str], count: int) -> list[Question]:
    """`count` questions with all answers, of the first seed each.

    Args:
        metric: an overlap metric, by whose range over the entries the questions are chosen.
    """
    sides = [(entry.runs[0].predictions, entry.side) for entry in entries]
    ranges = []
    for place in range(len(sides[0][0])):
        values = [rows[place].metrics[side][metric] for rows, side in sides]
        ranges.append(max(values) - min(values))
    by_range = sorted(range(len(ranges)), key=lambda place: -ranges[place])
    most = by_range[: count - count // _RANDOM_SHARE]
    rest = sorted(by_range[len(most) :])
    drawn = random.Random(_SEED).sample(rest, min(count - len(most), len(rest)))  # noqa: S311 - not for secrets
    why = {place: f"differs by {ranges[place]:.3f} {metric}" for place in most}
    why |= dict.fromkeys(sorted(drawn), "chosen at random")
    return [_question(entries, place, reason, metric, judges) for place, reason in why.items()]


def _question(entries: Sequence[Variant], place: int, why: str, metric: str, judges: Sequence[str]) -> Question:
    answers = []
    for entry in entries:
        row = entry.runs[0].predictions[place]
        scores = {metric: row.metrics[entry.side][metric]}
        scores |= {name: given for name in judges if (given := score(row, name, entry.side)) is not None}
        answers.append(Answer(entry.name, entry.answers()[place], scores))
    return Question(entries[0].runs[0].predictions[place], why, tuple(answers))
