"""Marks by people: one of each person and question, shares with intervals, agreement with judges."""

from pathlib import Path
from typing import Any

import pytest

from medft.errors import DamagedFile
from medft.evaluation.judges.base import JudgeItem
from medft.evaluation.judging.human import Choice, Mark, read_marks, replace_mark, summarize_marks, write_marks
from medft.metrics.statistics import Ratio
from tests.evaluation.judging.helpers import judge_rows, rows, scripted


def mark(place: int, choice: Choice, who: str = "Ana", **changes: Any) -> Mark:
    return Mark(**{"id": f"id{place}", "choice": choice, "who": who, "at": "2026-01-01T00:00:00+00:00", "left": "after",
                   **changes})  # fmt: skip


def test_a_person_marks_a_question_once() -> None:
    marks: list[Mark] = []
    for each in (mark(0, "better"), mark(1, "equal"), mark(0, "worse", "Bo"), mark(0, "worse")):
        marks = replace_mark(marks, each)
    assert marks == [mark(1, "equal"), mark(0, "worse", "Bo"), mark(0, "worse")]


def test_shares_are_over_groups_of_questions() -> None:
    answered = rows(12, documents=4)
    choices: list[Choice] = ["better"] * 7 + ["worse"] * 3 + ["equal"] * 2
    marks = [mark(place, choice) for place, choice in enumerate(choices)] + [mark(0, "equal", "Bo")]
    results = summarize_marks([*marks, mark(99, "worse")], answered)  # of a question that is not there
    assert results is not None
    assert results.counts == {"better": 7, "worse": 3, "equal": 3}
    assert results.people == {"Ana": 12, "Bo": 1}
    assert results.questions == 12
    groups = [str(place % 4) for place in range(12)] + ["0"]
    assert results.shares["better"] == Ratio.of([1.0] * 7 + [0.0] * 6, groups, bounds=(0, 1)).estimate()
    assert results.shares["better"].low is not None
    assert summarize_marks([], answered) is None


def test_agreement_is_of_pairs_that_both_have_put_in_an_order(tmp_path: Path) -> None:
    scores = {"old0": 10, "new0": 90, "old1": 90, "new1": 10, "old2": 50, "new2": 50, "old3": 10, "new3": 90,
              "old4": 10, "new4": None, "old5": 20, "new5": 30}  # fmt: skip

    def rule(item: JudgeItem, _: int) -> int | None:
        return scores[item.answer]

    answered = rows(6)
    judge_rows(scripted(rule, controls=0), answered, tmp_path)
    marks = [mark(0, "better"), mark(1, "better"), mark(2, "better"), mark(3, "equal"), mark(4, "better"),
             mark(5, "better"), mark(1, "worse", "Bo")]  # fmt: skip
    results = summarize_marks(marks, answered)
    assert results is not None
    [agreement] = results.agreement
    assert (agreement.judge, agreement.pairs) == ("scripted", 4)
    assert agreement.share is not None
    assert agreement.share.value == 0.75
    [nothing] = summarize_marks([mark(2, "better")], answered).agreement  # type: ignore[union-attr]
    assert (nothing.share, nothing.pairs) == (None, 0)


def test_marks_come_back_from_their_file(tmp_path: Path) -> None:
    marks = [mark(0, "better", "黄 🤒"), mark(1, "equal")]
    write_marks(marks, tmp_path / "marks")
    assert read_marks(tmp_path / "marks") == marks
    for wrong in ("{}", "nonsense", '{"id": "a", "choice": "best", "who": "b", "at": "c", "left": "after"}'):
        (tmp_path / "marks").write_text(wrong)
        with pytest.raises(DamagedFile, match="marks:1: not a mark"):
            read_marks(tmp_path / "marks")
