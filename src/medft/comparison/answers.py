"""Answers side by side: the questions on which the variants differ the most, and some at random."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from medft.comparison.variants import Variant
from medft.evaluation.predictions import Prediction

_SEED = 0
_RANDOM_SHARE = 3  # one in so many is chosen at random


@dataclass(frozen=True)
class ComparedAnswer:
    """One variant's answer to a question, of its first seed.

    Attributes:
        scores: by metric, and by judge.
    """

    variant: str
    text: str
    scores: dict[str, float]


@dataclass(frozen=True)
class ComparedQuestion:
    """A question with the answers of all variants.

    Attributes:
        why: the reason why it is shown.
    """

    row: Prediction
    why: str
    answers: tuple[ComparedAnswer, ...]


def select_answers(
    variants: Sequence[Variant], metric: str, judges: Sequence[str], count: int
) -> list[ComparedQuestion]:
    """`count` questions with all answers, of the first seed each.

    Args:
        metric: one that single answers have, by whose range over the variants the questions are chosen.
    """
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
