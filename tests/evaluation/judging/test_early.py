"""Judging while a run trains and writes: asked once, kept for the judge stage, and never in a run's way."""

import threading
import time
from pathlib import Path

import pytest

from medft.data.example import Example
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import JudgeItem, Verdict
from medft.evaluation.judging.early import judge_early
from tests.evaluation.judging.helpers import judge_rows, rows, scripted


def examples(count: int) -> list[Example]:
    """The test questions that `rows` answers."""
    return [Example(row.id, row.group, row.instruction, "", row.expected, row.document) for row in rows(count)]


def number(item: JudgeItem, _: int) -> int:
    return int(item.instruction[1:])


def test_what_was_asked_early_is_not_asked_again(tmp_path: Path) -> None:
    def slowly(item: JudgeItem, repeat: int) -> int:
        time.sleep(0.02)  # equal answers, one after the other, are being asked about at the same time
        return number(item, repeat)

    answered, early_one = rows(4), scripted(slowly, early=True, controls=2, concurrency=3)
    with judge_early(early_one, examples(4), 8, tmp_path) as early:
        assert early
        early.add_baseline([row.baseline for row in answered if row.baseline])
        for place, row in reversed(list(enumerate(answered))):
            early.add(place, row.test.answer)
        early.add(4, "the answer to a probe")
    assert len(early_one.told) == len(set(early_one.told))
    asked = [item.answer for item, _ in early_one.told]
    assert {f"new{place}" for place in range(4)} | {f"old{place}" for place in range(4)} | {""} < set(asked)
    assert "the answer to a probe" not in asked
    late = scripted(number, early=True, controls=2)
    judge_rows(late, answered, tmp_path)
    assert not late.told
    knows_all = scripted(number, early=True)
    with judge_early(knows_all, examples(4), 8, tmp_path) as early:
        assert early
        early.add(0, "new0")
    assert not knows_all.told
    assert not knows_all.loads, "a server need not load what is not asked"
    assert [row.judge_score("scripted", "test") for row in answered] == [0, 1, 2, 3]


def test_answers_are_judged_before_the_last_is_written(tmp_path: Path) -> None:
    was_asked = threading.Event()

    def rule(item: JudgeItem, _: int) -> int:
        was_asked.set()
        return 5

    with judge_early(scripted(rule, early=True), examples(2), 8, tmp_path) as early:
        assert early
        early.add(0, "new0")
        assert was_asked.wait(10)
        early.add(1, "new1")


def test_limits_and_repeats_hold(tmp_path: Path) -> None:
    judge = scripted(number, early=True, limit=2, repeats=3)
    with judge_early(judge, examples(4), 8, tmp_path) as early:
        assert early
        for place in range(4):
            early.add(place, f"new{place}")
    assert sorted((item.answer, repeat) for item, repeat in judge.told) == [
        (f"new{place}", repeat) for place in range(2) for repeat in range(3)
    ]


def test_without_being_asked_for_nothing_is_judged_early(tmp_path: Path) -> None:
    for judge in (None, scripted(number)):
        with judge_early(judge, examples(2), 8, tmp_path) as early:
            assert early is None
    with pytest.raises(ValueError, match="cache=true"):
        scripted(number, early=True, cache=False)


def test_a_judge_that_does_not_load_is_asked_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loads = 0

    class Slow(type(scripted(number))):  # type: ignore[misc]
        def load(self) -> None:
            nonlocal loads
            loads += 1
            if loads == 1:
                raise JudgeUnavailable("no server answers")

    judge = Slow(rule=number, told=[], loads=[], early=True)
    with judge_early(judge, examples(3), 8, tmp_path) as early:
        assert early
        for place in range(3):
            early.add(place, f"new{place}")
    assert not judge.told
    said = capsys.readouterr()
    assert (said.out + said.err).count("no server answers; answers are judged when all are written") == 1
    answered = rows(3, baseline=False)
    judge_rows(judge, answered, tmp_path)
    assert [row.judge_score("scripted", "test") for row in answered] == [0, 1, 2]


def test_an_interrupted_run_does_not_wait_for_what_was_not_begun(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def rule(item: JudgeItem, _: int) -> int:
        begun.set()
        go_on.wait(10)
        return 1

    judge = scripted(rule, early=True)
    with pytest.raises(KeyboardInterrupt), judge_early(judge, examples(9), 8, tmp_path) as early:
        assert early
        for place in range(9):
            early.add(place, f"new{place}")
        begun.wait(10)
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt
    assert len(judge.told) == 1


def test_room_is_planned_for_answers_that_are_not_written_yet(tmp_path: Path) -> None:
    planned: list[int] = []

    class Planning(type(scripted(number))):  # type: ignore[misc]
        def plan(self, items: list[JudgeItem]) -> None:
            planned.extend(len(item.answer) for item in items)

        def score(self, item: JudgeItem, repeat: int = 0) -> Verdict:
            assert planned
            return Verdict("scored", 1)

    with judge_early(Planning(rule=number, told=[], loads=[], early=True), examples(2), 100, tmp_path) as early:
        assert early
        early.add(0, "new0")
    assert planned == [400, 400]
