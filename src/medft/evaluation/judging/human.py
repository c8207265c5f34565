"""Marks by people: which of a question's two answers is better, given without knowing which is which."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from medft.evaluation.predictions import Prediction, list_groups, list_judges
from medft.files import read_json_lines, write_json_lines
from medft.metrics.statistics import Estimate, Ratio

Choice = Literal["better", "worse", "equal"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
MARKS = "human_marks.jsonl"  # the file of a run that has them


@dataclass(frozen=True)
class Mark:
    """What one person thinks of the answers to one test question.

    Attributes:
        id: of the question.
        choice: what the answer after fine-tuning is, compared with the one before.
        who: the name that the person gave.
        at: when, as ISO 8601 in UTC.
        left: which answer stood on the left.
    """

    id: str
    choice: Choice
    who: str
    at: str
    left: Literal["before", "after"]


@dataclass(frozen=True)
class JudgeAgreement:
    """How often a judge puts the two answers in the order that a person put them in.

    Attributes:
        share: of the pairs; None if there are none.
        pairs: marks that are not `equal`, on answers to which the judge gave two different scores.
    """

    judge: str
    share: Estimate | None
    pairs: int


@dataclass(frozen=True)
class HumanResults:
    """What the marks of a run come to.

    Attributes:
        shares: of all marks, how many say `better`, `worse` and `equal`, with intervals over groups of questions.
        counts: the same as numbers.
        people: how many marks each gave.
        questions: how many have a mark.
        agreement: with each judge, in alphabetical order.
    """

    shares: dict[Choice, Estimate]
    counts: dict[Choice, int]
    people: dict[str, int]
    questions: int
    agreement: list[JudgeAgreement]


def replace_mark(marks: Sequence[Mark], new: Mark) -> list[Mark]:
    """The marks with one more, which takes the place of the same person's earlier mark of the question."""
    return [each for each in marks if (each.who, each.id) != (new.who, new.id)] + [new]


def summarize_marks(marks: Sequence[Mark], rows: Sequence[Prediction]) -> HumanResults | None:
    """All results of the marks of these questions; None if there are none."""
    places = {row.id: (row, group) for row, group in zip(rows, list_groups(rows), strict=True)}
    known = [(mark, *places[mark.id]) for mark in marks if mark.id in places]
    if not known:
        return None
    groups = [group for _, _, group in known]
    counted = Counter(mark.choice for mark, _, _ in known)
    return HumanResults(
        shares={choice: _estimate_share([mark.choice == choice for mark, _, _ in known], groups) for choice in CHOICES},
        counts={choice: counted[choice] for choice in CHOICES},
        people=dict(Counter(mark.who for mark, _, _ in known).most_common()),
        questions=len({mark.id for mark, _, _ in known}),
        agreement=[_compare_with_judge(judge, known) for judge in list_judges(rows)],
    )


def _compare_with_judge(judge: str, known: Sequence[tuple[Mark, Prediction, str]]) -> JudgeAgreement:
    agreed, groups = [], []
    for mark, row, group in known:
        before, after = (row.judge_score(judge, side) for side in ("baseline", "test"))
        if mark.choice != "equal" and before is not None and after is not None and before != after:
            agreed.append((after > before) == (mark.choice == "better"))
            groups.append(group)
    return JudgeAgreement(judge, _estimate_share(agreed, groups) if agreed else None, len(agreed))


def _estimate_share(hits: Sequence[bool], groups: Sequence[str]) -> Estimate:
    return Ratio.of(list(map(float, hits)), groups, bounds=(0, 1)).estimate()


def write_marks(marks: Iterable[Mark], path: Path) -> None:
    """One JSON object a line: `human_marks.jsonl`."""
    write_json_lines(path, map(asdict, marks))


def read_marks(path: Path) -> list[Mark]:
    """Read what `write_marks` has written.

    Raises:
        DamagedFile: it is something else; names the line.
    """
    return read_json_lines(path, _read_mark, "a mark as runs log it")


def _read_mark(row: dict[str, Any]) -> Mark:
    mark = Mark(**row)
    if mark.choice not in CHOICES:
        raise ValueError(mark.choice)
    return mark
