"""What a run prints at its end."""

import pytest

from medft.report.run_table import interval, print_scores, print_summary
from tests.evaluation.judging.helpers import rows


def test_an_interval_has_the_decimals_of_its_largest_number() -> None:
    metrics = {"a": 0.1834, "a_ci_low": 0.17, "a_ci_high": 0.2, "b": 9.5, "b_ci_low": 4.0, "b_ci_high": 15.04, "c": 1.0}
    assert [interval(metrics, key) for key in "abcd"] == ["0.183 [0.170, 0.200]", "9.5 [4.0, 15.0]", "1.000", "-"]


def test_an_unreliable_judge_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"test/loss": 2.0, "judge/j/score": 90.0, "judge/j/scored": 3.0, "judge/j/failed": 1.0,
               "judge/j/too_long": 0.0}  # fmt: skip
    for reliable, words in ((0.0, "UNRELIABLE"), (1.0, "(3 scored"), (None, "of unknown worth")):
        print_summary(metrics | ({} if reliable is None else {"judge/j/reliable": reliable}), rows(3))
        out = capsys.readouterr().out
        assert words in out
        assert ("UNRELIABLE" in out) == (reliable == 0.0)


def test_the_scores_of_a_judge_with_those_of_agreement(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"judge/j/score": 90.0, "judge/j/score_ci_low": 80.0, "judge/j/score_ci_high": 95.0}
    print_scores(
        "j", {**scores, "judge/j/difference": 4.0, "judge/j/difference_p": 0.0002, "agreement/a_j/spearman": 0.5}
    )
    out = capsys.readouterr().out
    assert "90.0 [80.0, 95.0]" in out
    assert "<0.001" in out
    assert "agreement/a_j/spearman" in out
