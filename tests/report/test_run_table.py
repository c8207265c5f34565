"""What a run prints at its end, and how MLflow describes it."""

from dataclasses import replace
from typing import Any

import pytest

from medft.evaluation.judges.base import Verdict
from medft.report.run_table import describe_run, print_judge, print_summary
from medft.runs.record import RunRecord
from tests.comparison.helpers import run
from tests.evaluation.judging.helpers import rows

METRICS = {
    "baseline/bits_per_byte": 0.9, "test/bits_per_byte": 0.7, "difference/bits_per_byte": -0.2,
    "difference/bits_per_byte_ci_low": -0.3, "difference/bits_per_byte_ci_high": -0.1,
    "difference/bits_per_byte_p": 0.01,
}  # fmt: skip
PARAMS = {"model.name": "m", "dataset.name": "d", "dataset.size_used": "60", "dataset.max_length": "128", "seed": "1"}


def judged_run(expected: float | None, wrong: float, **changes: Any) -> RunRecord:
    """A run with a judge that gives answers 50, and these scores to its controls."""
    predictions = rows(12, baseline=False)
    for row in predictions:
        scores = {"test": 50.0, "control_expected": expected, "control_other": wrong, "control_empty": wrong}
        row.verdicts["j"] = {
            side: Verdict("failed" if score is None else "scored", score) for side, score in scores.items()
        }
    return run(predictions, metrics=METRICS, params=PARAMS, **changes)


@pytest.mark.parametrize(
    ("expected", "wrong", "words"),
    [(95.0, 5.0, "judge/j/score (12"), (50.0, 45.0, "UNRELIABLE"), (None, 5.0, "of unknown worth")],
)
def test_an_unreliable_judge_is_called_so(
    expected: float | None, wrong: float, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = judged_run(expected, wrong)
    print_summary(record)
    out = " ".join(capsys.readouterr().out.split())
    assert words in out
    assert ("UNRELIABLE" in out) == (words == "UNRELIABLE")
    assert ("UNRELIABLE" in describe_run(record)) == (words == "UNRELIABLE")


def test_the_scores_of_a_judge_with_those_of_agreement(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"judge/j/score": 90.0, "judge/j/score_ci_low": 80.0, "judge/j/score_ci_high": 95.0}
    print_judge(
        "j", {**scores, "judge/j/difference": 4.0, "judge/j/difference_p": 0.0002, "agreement/a_j/spearman": 0.5}
    )
    out = capsys.readouterr().out
    assert "90.0 [80.0, 95.0]" in out
    assert "<0.001" in out
    assert "agreement/a_j/spearman" in out


def test_a_run_is_described_by_its_headline_table() -> None:
    record = run(rows(3), metrics=METRICS, params=PARAMS)
    text = describe_run(record)
    assert text.startswith("**m** on **d**, 60 rows, max_length 128, seed 1")
    assert "| bits_per_byte | 0.900 | 0.700 | -0.200 [-0.300, -0.100] | 0.010 |" in text
    assert "trained on" not in text
    leaking = replace(record, tags={"leaking": "true"})
    assert "**Test questions were trained on**" in describe_run(leaking)
