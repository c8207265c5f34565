"""What a run prints at its end, how MLflow describes it, and report.html.

Everything is on the page, it loads nothing, and what a model wrote stays text.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from medft.evaluation.judges.base import JudgeItem, Verdict
from medft.evaluation.judging.human import Mark
from medft.evaluation.predictions import Prediction
from medft.metrics.registry import measure_answers
from medft.report.run_page import describe_run, print_judge, print_summary, render_run
from medft.runs.record import RunRecord
from tests.comparison.helpers import answer, run
from tests.evaluation.judging.helpers import judge_rows, rows, scripted
from tests.finished import THIRTY, Finished

EVIL = '</div><script>alert("x")</script><img src=x onerror=alert(1)> & "quoted" {{ 7 * 7 }} {% raw %} \u202e'

METRICS = {
    "baseline/bits_per_byte": 0.9, "test/bits_per_byte": 0.7, "difference/bits_per_byte": -0.2,
    "difference/bits_per_byte_ci_low": -0.3, "difference/bits_per_byte_ci_high": -0.1,
    "difference/bits_per_byte_p": 0.01,
}  # fmt: skip

PARAMS = {"model.name": "m", "dataset.name": "d", "dataset.size_used": "60", "dataset.max_length": "128", "seed": "1"}


def record(predictions: list[Prediction], metrics: dict[str, float], **changes: object) -> RunRecord:
    for row in predictions:
        row.test = replace(row.test, values=measure_answers([row.expected], [row.test.answer])[0])
    measured = {"baseline/loss": 3.0, "test/loss": 2.0, "test/loss_ci_low": 1.8, "test/loss_ci_high": 2.25,
                "difference/loss": -1.0, "difference/loss_p": 0.0004}  # fmt: skip
    values: dict[str, object] = {
        "run_id": "abc", "name": "a <run>", "started": datetime(2026, 1, 2, tzinfo=UTC),
        "metrics": {**measured, **metrics}, "tags": {"leaking": "false"}, "params": {"model.name": "gpt2"},
        "curves": {"train/loss": [(1, 3.0), (2, 2.0)], "val/loss": [(2, 2.1)]}, "predictions": predictions,
        "questions": len(predictions), "config": "seed: 42\nevil: <b>\n", "audit": None,
    }  # fmt: skip
    return RunRecord(**{**values, **changes})  # type: ignore[arg-type]


class Page(HTMLParser):
    """The elements of a page, its attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def judged(answered: list[Prediction], tmp_path: Path, good: bool = True, name: str = "j") -> dict[str, float]:
    def rule(item: JudgeItem, _: int) -> int:
        return 90 if item.answer == item.expected or not good else 20

    return judge_rows(scripted(rule, name=name, controls=10, cache=False), answered, tmp_path)


def judged_run(expected: float | None, wrong: float, **changes: Any) -> RunRecord:
    """A run with a judge that gives answers 50, and these scores to its controls."""
    predictions = rows(12, baseline=False)
    for row in predictions:
        scores = {"test": 50.0, "control_expected": expected, "control_other": wrong, "control_empty": wrong}
        row.verdicts["j"] = {
            side: Verdict("failed" if score is None else "scored", score) for side, score in scores.items()
        }
    return run(predictions, metrics=METRICS, params=PARAMS, **changes)


def test_what_a_model_wrote_stays_text(tmp_path: Path) -> None:
    answered = rows(8)
    for row in answered:
        row.test, row.expected, row.instruction = answer(EVIL), EVIL[::-1], EVIL
    metrics = judged(answered, tmp_path)
    for row in answered:
        row.verdicts["j"]["test"] = replace(row.verdicts["j"]["test"], reason=EVIL)
    page = Page(render_run(record(answered, metrics, name=EVIL, config=EVIL, tags={"command": EVIL})))
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert page.text.count("alert(1)> &") >= 8
    assert "{{ 7 * 7 }}" in page.text


def test_nothing_is_loaded() -> None:
    html = render_run(record(rows(3), {}))
    page = Page(html)
    assert "default-src 'none'" in html
    assert page.attributes.get("src") is None
    links = [each for name in ("href", "xlink:href") for each in page.attributes.get(name, [])]
    assert all(link.startswith("#") for link in links)
    assert not re.findall(r"url\((?!#)|@import", html)


def test_results_have_their_intervals_and_the_judge_its_verdict(tmp_path: Path) -> None:
    answered = rows(12)
    page = Page(render_run(record(answered, judged(answered, tmp_path))))
    assert "2.000 [1.800,\u00a02.250]" in page.text
    assert "<0.001" in page.text
    assert "Reliable on its controls" in page.text
    assert "90.0 [" in page.text
    assert "Ranked by j." in page.text
    assert page.tags.count("svg") == 3
    unsure = rows(12)
    metrics = judged(unsure, tmp_path, good=False)
    page = Page(render_run(record(unsure, metrics)))
    assert "Unreliable: it puts the expected answer only 0.0 points above another question's answer" in page.text
    assert "Ranked by rougeL (no judge is reliable on its controls)" in page.text


def test_worst_and_best_answers_are_shown_once_each(tmp_path: Path) -> None:
    answered = rows(20)
    metrics = judge_rows(
        scripted(lambda item, _: 90 if item.answer == item.expected else int(item.instruction[1:]), controls=15),
        answered, tmp_path,
    )  # fmt: skip
    text = Page(render_run(record(answered, metrics))).text
    assert re.findall(r"scripted (\d+), id(\d+)", text) == [
        (str(n), str(n)) for n in (0, 1, 2, 3, 4, 19, 18, 17, 16, 15)
    ]
    few = Page(render_run(record(rows(3), {}))).text
    assert len(re.findall(r"rougeL [\d.]+, id\d", few)) == 3


def test_two_judges_and_their_agreement(tmp_path: Path) -> None:
    answered = rows(8)
    metrics = judged(answered, tmp_path, name="first") | judged(answered, tmp_path, good=False, name="second")
    text = " ".join(Page(render_run(record(answered, metrics))).text.split())
    assert "Judge first" in text
    assert "Judge second" in text
    assert re.search(r"first, second8--70\.0 \[", text)


def test_a_run_without_baseline_judge_and_audit_has_a_report() -> None:
    page = Page(render_run(record(rows(3, baseline=False), {})))
    assert "Results" in page.text
    assert "Judge" not in page.text
    assert "on both sides of" not in page.text
    assert page.tags.count("article") == 3


def test_the_report_of_a_real_run(finished: Callable[..., Finished]) -> None:
    made = finished(*THIRTY)
    config, metrics = made.config, made.metrics
    page = Page((config.paths.output / "report.html").read_text(encoding="utf-8"))
    assert f"{metrics['test/loss']:.1f}" in page.text
    assert "on both sides of" in page.text
    assert "dataset:" in page.text
    assert page.tags.count("article") == 10


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


def test_marks_by_people_have_a_section(tmp_path: Path) -> None:
    predictions = rows(6)
    assert "Marked by people" not in render_run(record(predictions, METRICS))
    judge_rows(scripted(lambda item, _: 90 if item.answer.startswith("new") else 20, controls=0), predictions, tmp_path)
    choices = ("better", "better", "better", "worse", "equal")
    marks = [Mark(f"id{place}", choice, EVIL, "", "after") for place, choice in enumerate(choices)]
    page = Page(render_run(record(predictions, METRICS, marks=[*marks, replace(marks[0], who="Bo")])))
    assert f"6 marks of 5 questions, by {EVIL} (5), Bo (1)" in page.text
    assert re.search(r"better\s*4\s*0\.667 \[", page.text.replace("\xa0", " "))
    assert re.search(r"scripted\s*5\s*0\.800 \[", page.text.replace("\xa0", " "))
    assert page.tags.count("script") == 0
