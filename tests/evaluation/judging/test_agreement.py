"""Agreement between judges: rank correlation and bias, over the answers that both have scored."""

from pathlib import Path

import pytest

from medft.evaluation.judging.agreement import between_judges, with_others
from medft.evaluation.judging.judge_run import judge_predictions
from tests.evaluation.judging.helpers import rows, scripted


def test_a_second_judge_adds_its_keys_and_overwrites_nothing(tmp_path: Path) -> None:
    found = rows(10)
    judge_predictions(scripted(lambda item, _: int(item.instruction[1:]) * 10, name="first"), found, tmp_path)
    before = [dict(row.judge["first"]) for row in found]
    second = scripted(
        lambda item, _: int(item.instruction[1:]) * 5 if item.instruction != "q9" else None, name="second"
    )
    metrics = judge_predictions(second, found, tmp_path) | with_others("second", found)
    assert not [key for key in metrics if key.startswith("judge/first/")]
    assert [row.judge["first"] for row in found] == before
    assert metrics["agreement/first_second/spearman"] == pytest.approx(1.0)
    assert metrics["agreement/first_second/answers"] == 9
    assert metrics["agreement/first_second/bias"] == pytest.approx(20.0)
    assert metrics["agreement/first_second/bias_ci_low"] < 20 < metrics["agreement/first_second/bias_ci_high"]


def test_opposite_judges_and_one_that_says_always_the_same(tmp_path: Path) -> None:
    found = rows(10)
    judge_predictions(scripted(lambda item, _: int(item.instruction[1:]), name="up"), found, tmp_path)
    judge_predictions(scripted(lambda item, _: 9 - int(item.instruction[1:]), name="down"), found, tmp_path)
    judge_predictions(scripted(lambda *_: 50, name="flat"), found, tmp_path)
    told = {agreement.judges: agreement for agreement in between_judges(found)}
    assert told["down", "up"].spearman == pytest.approx(-1.0)
    assert told["down", "flat"].spearman is None
    assert "agreement/down_flat/spearman" not in told["down", "flat"].metrics()
    assert len(told) == 3
