"""Agreement between judges: rank correlation and bias, over the answers that both have scored."""

from pathlib import Path

import pytest

from medft.evaluation.judging.agreement import compare_judges
from medft.evaluation.judging.judge_run import judge_predictions
from medft.runs.metric_names import flatten_judge
from tests.evaluation.judging.helpers import judge_rows, rows, scripted


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
