"""The judge stage: every row ends somewhere, nothing is asked twice, and a judge that breaks loses nothing."""

import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import JudgeItem, Verdict
from medft.evaluation.judges.language_model import Refused
from medft.evaluation.judges.ollama import Ollama
from medft.evaluation.predictions import Prediction
from tests.comparison.helpers import answer
from tests.evaluation.judges.common import COMMON
from tests.evaluation.judges.fake_ollama import chat, server
from tests.evaluation.judging.helpers import judge_rows, rows, scripted


def number(item: JudgeItem) -> int:
    return int(item.instruction[1:])


def test_each_verdict_goes_to_its_row_and_side(tmp_path: Path) -> None:
    answered = rows(3)
    judge_rows(scripted(lambda item, _: number(item) * 10 + item.answer.startswith("new")), answered, tmp_path)
    given = [(row.verdicts["scripted"]["test"].score, row.verdicts["scripted"]["baseline"].score) for row in answered]
    assert given == [(1, 0), (11, 10), (21, 20)]
    assert judge_rows(scripted(lambda *_: 5, name="two"), rows(2, baseline=False), tmp_path)["judge/two/scored"] == 2


def test_scored_failed_and_too_long_are_counted_and_only_scores_are_in_the_mean(tmp_path: Path) -> None:
    outcomes = {0: 80, 1: None, 2: -1, 3: 40}
    answered = rows(4, baseline=False)
    metrics = judge_rows(scripted(lambda item, _: outcomes[number(item)]), answered, tmp_path)
    assert metrics["judge/scripted/score"] == 60.0
    counts = {key: metrics[f"judge/scripted/{key}"] for key in ("scored", "failed", "too_long")}
    assert counts == {"scored": 2, "failed": 1, "too_long": 1}
    assert answered[1].verdicts["scripted"]["test"] == Verdict("failed", failure="not a score", reply="?")
    assert answered[2].verdicts["scripted"]["test"].status == "too_long"


def test_the_gain_is_over_questions_scored_on_both_sides(tmp_path: Path) -> None:
    def rule(item: JudgeItem, _: int) -> int | None:
        if item.answer == "old0":
            return None
        return 70 if item.answer.startswith("new") else 50

    metrics = judge_rows(scripted(rule), rows(9), tmp_path)
    assert metrics["judge/scripted/difference"] == 20.0
    assert metrics["judge/scripted/difference_p"] == pytest.approx(2 / 2**8)
    assert metrics["judge/scripted/baseline_score"] == 50.0
    assert {"judge/scripted/score_ci_low", "judge/scripted/score_ci_high"} <= metrics.keys()


def test_means_and_difference_are_of_the_same_questions(tmp_path: Path) -> None:
    def rule(item: JudgeItem, _: int) -> int | None:
        is_hard = number(item) >= 15
        if item.answer.startswith("new"):
            return None if is_hard else 58
        return 20 if is_hard else 60

    metrics = judge_rows(scripted(rule), rows(30), tmp_path)
    means = [metrics[f"judge/scripted/{key}"] for key in ("baseline_score", "score", "difference", "questions")]
    assert means == [60, 58, -2, 15]
    assert (metrics["judge/scripted/scored"], metrics["judge/scripted/failed"]) == (45, 15)


def test_a_failure_holds_for_no_more_attempts(tmp_path: Path) -> None:
    with server(lambda *_: chat("what?")) as served:
        judges = [Ollama(**{**COMMON, "model": "m", "timeout": 5.0, "max_context": 2048, "host": served.host,
                            "attempts": attempts}) for attempts in (2, 1, 5)]  # fmt: skip
        asked = []
        for judge in judges:
            judge.prepare()
            judge_rows(judge, rows(1, baseline=False), tmp_path)
            asked.append(len(served.chats))
    assert asked == [3, 3, 9], "each loads once; with fewer attempts than it has had, it is not asked again"


def test_judging_again_asks_nothing_and_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = {0: 80, 1: None, 2: -1}
    first, second = (scripted(lambda item, _: outcomes[number(item)], window=100) for _ in range(2))
    before, after = rows(3), rows(3)
    assert judge_rows(first, before, tmp_path) == judge_rows(second, after, tmp_path)
    assert before == after
    assert (len(first.told), second.told, first.loads, second.loads) == (6, [], [1], [])
    assert "judge scripted: 6 of 6 verdicts were known, 0 asked for" in capsys.readouterr().out


def test_another_judge_another_answer_or_another_repeat_is_asked(tmp_path: Path) -> None:
    judge_rows(scripted(lambda *_: 1), rows(2), tmp_path)
    other = scripted(lambda *_: 1, name="other")
    judge_rows(other, rows(2), tmp_path)
    assert len(other.told) == 4
    changed = rows(2)
    changed[0].test = answer("a better one")
    again = scripted(lambda *_: 1)
    judge_rows(again, changed, tmp_path)
    assert [item.answer for item, _ in again.told] == ["a better one"]
    thrice = scripted(lambda *_: 1, repeats=3)
    judge_rows(thrice, rows(2), tmp_path)
    assert sorted(repeat for _, repeat in thrice.told) == [1] * 4 + [2] * 4


def test_too_long_holds_for_no_longer_context(tmp_path: Path) -> None:
    def asked(window: int | None) -> int:
        judge = scripted(lambda *_: -1, window=window)
        judge_rows(judge, rows(1), tmp_path)
        return len(judge.told)

    assert [asked(100), asked(100), asked(90), asked(200), asked(150)] == [2, 0, 0, 2, 0]
    assert [asked(None), asked(None)] == [0, 0]  # not known: the server said so itself


def test_without_a_cache_everything_is_asked_and_agreement_is_reported(tmp_path: Path) -> None:
    answered = rows(10)
    judge_rows(scripted(lambda *_: 50, cache=False), answered, tmp_path)
    again = scripted(lambda item, _: 50 if number(item) else 80, cache=False)
    metrics = judge_rows(again, answered, tmp_path)
    assert len(again.told) == 20
    assert metrics["judge/scripted/pass_agreement"] == 0.9
    assert metrics["judge/scripted/pass_range"] == 3.0
    part = scripted(lambda *_: 7, cache=False, limit=5)
    assert judge_rows(part, answered, tmp_path)["judge/scripted/pass_agreement"] == 0.0  # of those asked
    cached = judge_rows(scripted(lambda *_: 7), answered, tmp_path)
    assert "judge/scripted/pass_agreement" not in cached


def test_a_pass_that_fails_does_not_take_a_score_away(tmp_path: Path) -> None:
    answered = rows(2)
    judge_rows(scripted(lambda *_: 50, cache=False), answered, tmp_path)
    metrics = judge_rows(scripted(lambda *_: JudgeUnavailable("gone"), cache=False), answered, tmp_path)
    assert (metrics["judge/scripted/scored"], metrics["judge/scripted/score"]) == (4, 50)


def test_repeats_are_averaged_and_self_agreement_is_measured(tmp_path: Path) -> None:
    def rule(item: JudgeItem, repeat: int) -> int | None:
        if item.answer == "new0":
            return [10, 20, 60][repeat]
        if item.answer == "new1":
            return [None, 40, 40][repeat]
        return 5

    answered = rows(2)
    metrics = judge_rows(scripted(rule, repeats=3), answered, tmp_path)
    assert answered[0].verdicts["scripted"]["test"].score == 30
    assert [each.score for each in answered[0].verdicts["scripted"]["test"].repeats] == [10, 20, 60]
    assert answered[1].verdicts["scripted"]["test"].score == 40
    assert metrics["judge/scripted/self_agreement"] == 0.75
    assert metrics["judge/scripted/self_range"] == 50 / 4


def test_a_judge_that_goes_away_is_left_alone_and_asked_again_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered = rows(8, baseline=False)
    away = scripted(lambda item, _: 50 if number(item) < 2 else JudgeUnavailable("gone"))
    metrics = judge_rows(away, answered, tmp_path)
    assert len(away.told) == 5  # three in a row, then no more
    assert (metrics["judge/scripted/scored"], metrics["judge/scripted/failed"]) == (2, 6)
    assert answered[2].verdicts["scripted"]["test"].failure == "gone"
    assert answered[7].verdicts["scripted"]["test"].failure == "not tried: the judge was away"
    assert "gone; 3 answers are left unjudged: medft judge run=<id>" in capsys.readouterr().err
    back = scripted(lambda *_: 60)
    metrics = judge_rows(back, answered, tmp_path)
    assert sorted(number(item) for item, _ in back.told) == [2, 3, 4, 5, 6, 7]
    assert (metrics["judge/scripted/scored"], metrics["judge/scripted/failed"]) == (8, 0)


def test_a_judge_that_does_not_load_fails_all_rows_and_loses_nothing(tmp_path: Path) -> None:
    troubles = []

    class Dead(type(scripted(lambda *_: 1))):  # type: ignore[misc]
        def load(self) -> None:
            raise troubles[-1]

    for trouble, words in ((JudgeUnavailable("no memory"), "no memory"), (TypeError("a bug"), "TypeError: a bug")):
        answered = rows(2)
        troubles.append(trouble)
        metrics = judge_rows(Dead(rule=lambda *_: 1, told=[], loads=[]), answered, tmp_path)
        assert metrics["judge/scripted/failed"] == 4
        assert answered[0].verdicts["scripted"]["test"].failure == words


def test_one_question_that_never_works_is_not_an_absence(tmp_path: Path) -> None:
    def blocked(item: JudgeItem, _: int) -> int | Exception:
        return JudgeUnavailable("timed out") if item.instruction == "q3" else 50

    answered = rows(20)
    judge = scripted(blocked, controls=20)  # six answers to q3 in all
    metrics = judge_rows(judge, answered, tmp_path)
    assert (metrics["judge/scripted/scored"], metrics["judge/scripted/failed"]) == (38, 2)
    assert len(judge.told) == 120


def test_a_refusal_is_a_failure_in_words_and_not_for_ever(tmp_path: Path) -> None:
    answered = rows(5, baseline=False)
    judge_rows(scripted(lambda *_: Refused("host refused (content filter)")), answered, tmp_path)
    assert {row.verdicts["scripted"]["test"].failure for row in answered} == {"host refused (content filter)"}
    later = scripted(lambda *_: 50)
    judge_rows(later, answered, tmp_path)
    assert len(later.told) == 5


def test_equal_answers_are_asked_once(tmp_path: Path) -> None:
    answered = rows(4)
    for row in answered:
        row.test = row.baseline = answer("")
    scores = iter(range(10, 100))
    judge = scripted(lambda *_: next(scores), controls=4)
    first = judge_rows(judge, answered, tmp_path)
    assert len(judge.told) == 16  # empty, expected, other, claim
    assert first["judge/scripted/score"] == first["judge/scripted/baseline_score"]
    assert judge_rows(scripted(lambda *_: 0, controls=4), rows_like(answered), tmp_path) == first


def rows_like(answered: list[Prediction]) -> list[Prediction]:
    return [replace(row, verdicts={}) for row in answered]


def test_a_bug_in_a_judge_fails_its_row_only_and_is_not_kept(tmp_path: Path) -> None:
    answered = rows(3, baseline=False)
    judge_rows(scripted(lambda item, _: RuntimeError("oops") if number(item) == 1 else 9), answered, tmp_path)
    assert answered[1].verdicts["scripted"]["test"].failure == "RuntimeError: oops"
    mended = scripted(lambda *_: 9)
    judge_rows(mended, answered, tmp_path)
    assert [number(item) for item, _ in mended.told] == [1]


def test_several_at_once_in_order(tmp_path: Path) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def rule(item: JudgeItem, _: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02 if number(item) % 2 else 0.05)  # later ones are done first
        with lock:
            running -= 1
        return number(item)

    answered = rows(40, baseline=False)
    judge_rows(scripted(rule, concurrency=4), answered, tmp_path)
    assert [row.verdicts["scripted"]["test"].score for row in answered] == list(range(40))
    assert most == 4


def test_an_interruption_keeps_what_was_said(tmp_path: Path) -> None:
    def rule(item: JudgeItem, _: int) -> int:
        if number(item) == 5:
            raise KeyboardInterrupt
        return 7

    with pytest.raises(KeyboardInterrupt):
        judge_rows(scripted(rule, concurrency=1), rows(10, baseline=False), tmp_path)
    later = scripted(lambda *_: 7)
    judge_rows(later, rows(10, baseline=False), tmp_path)
    assert 0 < len(later.told) <= 5
    assert 5 in {number(item) for item, _ in later.told}


def test_a_broken_cache_is_said_and_done_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "judge" / "verdicts.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"this is no database, but long enough to look like one " * 20)
    metrics = judge_rows(scripted(lambda *_: 7), rows(2), tmp_path)
    assert metrics["judge/scripted/scored"] == 4
    assert "cannot be used (file is not a database): judging without it" in capsys.readouterr().err
    assert file.read_bytes().startswith(b"this is no database")


def test_a_verdict_that_cannot_be_read_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge_rows(scripted(lambda *_: 7), rows(2), tmp_path)
    with sqlite3.connect(tmp_path / "judge" / "verdicts.sqlite") as database:
        database.execute("UPDATE checked_verdicts SET verdict = substr(verdict, 1, 5) WHERE rowid = 1")
    again = scripted(lambda *_: 7)
    assert judge_rows(again, rows(2), tmp_path)["judge/scripted/scored"] == 4
    assert len(again.told) == 1
    assert "a verdict cannot be read" in capsys.readouterr().err


def test_a_cache_that_breaks_on_the_way_costs_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("medft.evaluation.judging.judge_run._INSERT", "INSERT INTO nowhere VALUES (?, ?, ?, ?)")
    assert judge_rows(scripted(lambda *_: 7), rows(2), tmp_path)["judge/scripted/scored"] == 4
    assert capsys.readouterr().err.count("verdicts are not kept") == 1


def test_limit_judges_the_first_rows_only(tmp_path: Path) -> None:
    answered = rows(3)
    metrics = judge_rows(scripted(lambda *_: 7, limit=1, controls=5), answered, tmp_path)
    assert metrics["judge/scripted/scored"] == 2
    assert answered[1].verdicts == {}
