"""What verdicts come to: controls that unmask a judge, and agreement over the answers that both judges have scored."""

from pathlib import Path

import pytest

from medft.evaluation.judges.base import JudgeItem
from medft.evaluation.judging.judge_run import judge_predictions, sample_controls
from medft.evaluation.judging.metrics import assess_reliability, compare_judges
from medft.runs.metric_names import flatten_judge
from tests.evaluation.judging.helpers import judge_rows, rows, scripted


def good(item: JudgeItem, _: int) -> int:
    return 95 if item.answer == item.expected else 10


def test_the_sample_is_seeded_and_of_the_questions_not_of_their_order() -> None:
    def ids(answered: list, seed: int = 0, count: int = 5) -> list[str]:
        return sorted({row.id for row, _, _ in sample_controls(answered, count, seed)})

    assert ids(rows(30)) == ids(rows(30)[::-1])
    assert ids(rows(30)) != ids(rows(30), seed=1)
    assert len(ids(rows(30))) == 5
    assert len(ids(rows(3), count=20)) == 3
    assert sample_controls(rows(3), 0, 0) == []


def test_the_other_answer_is_of_another_document() -> None:
    answered = rows(6, documents=2)
    for row, name, answer in sample_controls(answered, 6, 0):
        if name == "other":
            other = next(each for each in answered if each.expected == answer)
            assert other.document != row.document
    same = rows(3, documents=1)  # of one document: another question of it
    assert all(answer != row.expected for row, name, answer in sample_controls(same, 3, 0) if name == "other")
    names = [name for _, name, _ in sample_controls(rows(1), 3, 0)]
    assert names == ["expected", "empty"]


def test_controls_of_one_document_say_nothing_in_favour(tmp_path: Path) -> None:
    for rule in (good, lambda *_: 90):
        answered = rows(6, documents=1)
        judge_rows(scripted(rule, controls=6, cache=False), answered, tmp_path)
        assert assess_reliability("scripted", answered).reliable is None


def test_a_judge_that_tells_right_from_wrong_is_reliable(tmp_path: Path) -> None:
    answered = rows(12)
    metrics = judge_rows(scripted(good, controls=10), answered, tmp_path)
    controls = {key: metrics[f"judge/scripted/control_{key}"] for key in ("expected", "other", "claim", "empty")}
    assert controls == {"expected": 95, "other": 10, "claim": 10, "empty": 10}
    assert metrics["judge/scripted/reliable"] == 1
    assert metrics["judge/scripted/scored"] == 24  # controls are not among the answers
    assert "judge/scripted/control_expected_ci_low" in metrics


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (lambda item, _: 90, "only 0.0 points above another question's answer"),
        (lambda item, _: 90 if item.answer else 0, "only 0.0 points above another question's answer"),
        (lambda item, _: 5 if item.answer else 95, "only -90.0 points above an empty answer"),
        (lambda item, _: 60 if item.answer == item.expected else 40, "only 20.0 points above"),
        (lambda item, _: 0, "only 0.0 points above"),
    ],
)
def test_a_judge_that_does_not_is_unreliable(
    rule: object, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered = rows(12)
    metrics = judge_rows(scripted(rule, controls=10), answered, tmp_path)
    assert metrics["judge/scripted/reliable"] == 0
    assert why in assess_reliability("scripted", answered).why
    assert "warning: judge scripted is unreliable: it puts the expected answer" in capsys.readouterr().err


def test_a_judge_that_believes_a_claim_is_unreliable(tmp_path: Path) -> None:
    def credulous(item: JudgeItem, _: int) -> int:
        return 95 if item.answer == item.expected or '"score": 100' in item.answer else 10

    answered = rows(12)
    metrics = judge_rows(scripted(credulous, controls=10), answered, tmp_path)
    assert (metrics["judge/scripted/control_claim"], metrics["judge/scripted/reliable"]) == (95, 0)
    why = assess_reliability("scripted", answered).why
    assert why.endswith("only 0.0 points above another question's answer that says it deserves 100")
    for row in answered:  # as verdicts were before there was this control
        row.verdicts["scripted"].pop("control_claim", None)
    assert assess_reliability("scripted", answered).reliable is True


def test_luck_on_few_questions_is_not_enough(tmp_path: Path) -> None:
    def erratic(item: JudgeItem, _: int) -> int:  # 100 points apart on some questions, none on the others
        return 100 if item.answer == item.expected and item.instruction in ("q0", "q1") else 0

    answered = rows(4)
    judge_rows(scripted(erratic, controls=4), answered, tmp_path)
    told = assess_reliability("scripted", answered)
    assert (told.reliable, told.why.startswith("its controls are of too few groups to tell")) == (None, True)


def test_controls_without_scores_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answered = rows(5)
    metrics = judge_rows(scripted(lambda item, _: 50 if item.answer else None, controls=5), answered, tmp_path)
    assert "judge/scripted/reliable" not in metrics
    assert assess_reliability("scripted", answered).reliable is None
    assert "is of unknown worth: no question has a score" in capsys.readouterr().err


def test_a_second_judge_adds_its_keys_and_overwrites_nothing(tmp_path: Path) -> None:
    answered = rows(10)
    judge_rows(scripted(lambda item, _: int(item.instruction[1:]) * 10, name="first"), answered, tmp_path)
    before = [dict(row.verdicts["first"]) for row in answered]
    second = scripted(
        lambda item, _: int(item.instruction[1:]) * 5 if item.instruction != "q9" else None, name="second"
    )
    metrics = flatten_judge(judge_predictions(second, answered, tmp_path), compare_judges(answered))
    assert not [key for key in metrics if key.startswith("judge/first/")]
    assert [row.verdicts["first"] for row in answered] == before
    assert metrics["agreement/first_second/spearman"] == pytest.approx(1.0)
    assert metrics["agreement/first_second/answers"] == 9
    assert metrics["agreement/first_second/bias"] == pytest.approx(20.0)
    assert metrics["agreement/first_second/bias_ci_low"] < 20 < metrics["agreement/first_second/bias_ci_high"]


def test_opposite_judges_and_one_that_says_always_the_same(tmp_path: Path) -> None:
    answered = rows(10)
    judge_rows(scripted(lambda item, _: int(item.instruction[1:]), name="up"), answered, tmp_path)
    judge_rows(scripted(lambda item, _: 9 - int(item.instruction[1:]), name="down"), answered, tmp_path)
    judge_rows(scripted(lambda *_: 50, name="flat"), answered, tmp_path)
    told = {agreement.judges: agreement for agreement in compare_judges(answered)}
    assert told["down", "up"].spearman == pytest.approx(-1.0)
    assert told["down", "flat"].spearman is None
    assert len(told) == 3
