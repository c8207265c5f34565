"""compare.html, compare.csv and the terminal: complete, and what a model wrote stays text."""

import csv
import re
from pathlib import Path

import pytest

from medft.comparison.compare import Comparison, Options, compare
from medft.metrics.registry import METRICS
from medft.report.compare_page import print_comparison, render_comparison
from medft.report.csv_files import write_compare_csv
from tests.comparison.helpers import row, run, runs_of, verdicts
from tests.report.test_run_page import EVIL, Page

TESTED = sum(not metric.function_of and metric.is_installed for metric in METRICS.values())
DOCUMENTS = "aabbccddee"
ONE = [[10.0 + place for place in range(10)], [12.0 + place for place in range(10)]]
TWO = [[9.0 + place for place in range(10)], [10.0 + place for place in range(10)]]


def compare_two(**options: object) -> Comparison:
    runs = runs_of(64, ONE, DOCUMENTS) + runs_of(128, TWO, DOCUMENTS, tags={"leaking": "true"})
    for each in runs:
        verdicts(each.predictions, [50.0] * 10, good=False)
    return compare(runs, Options(**options))  # type: ignore[arg-type]


def test_everything_is_on_the_page() -> None:
    html = render_comparison(compare_two())
    page = Page(html)
    text = " ".join(page.text.split())
    assert "3 variants compared by bits_per_byte" in text
    assert "on 10 test questions of 5 groups. Differences are to: max_length=64." in text
    assert "Trained on test questions, so these figures say nothing about new ones: max_length=128." in text
    assert "Judge j is UNRELIABLE" in text
    assert "judge/j (UNRELIABLE)" in text
    assert "max_length=64 (2 seeds, reference, on the front)" in text
    assert "max_length=128 (2 seeds, LEAKING)" in text
    assert "between settings (of: settings) as seeds and questions are both drawn" in text
    assert (
        "corrected by Holm over the 1 p-value here (1 variant, 1 metric); whether fine-tuning has done anything is"
        in text
    )
    assert "Intervals are not corrected" in text
    assert page.tags.count("svg") == 3
    assert page.tags.count("article") == 6
    for own in compare_two().trained:
        assert all(each.run_id[8:] in text for each in own.runs)


def test_nothing_is_loaded_and_texts_stay_texts() -> None:
    rows = [row(n, d, instruction=EVIL, input=EVIL, expected=EVIL[::-1], generated_answer=EVIL, baseline_answer=EVIL)
            for n, d in enumerate(DOCUMENTS)]  # fmt: skip
    runs = [run(rows, params={"dataset.max_length": EVIL, "x": f"${n}$"}, name=EVIL) for n in range(2)]
    html = render_comparison(compare(runs, Options(answers=3)))
    page = Page(html)
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert page.attributes.get("src") is None
    assert "default-src 'none'" in html
    assert all(link.startswith("#") for link in page.attributes.get("href", []) + page.attributes.get("xlink:href", []))
    assert not re.findall(r"url\((?!#)|@import", html)
    assert page.text.count("alert(1)> &") >= 9
    assert "x=$0$" in page.text


def test_sixteen_variants_have_a_page() -> None:
    runs = [each for length in range(16) for each in runs_of(length + 1, ONE[:1], DOCUMENTS)]
    page = Page(render_comparison(compare(runs, Options(answers=1))))
    assert page.text.count("max_length=16") > 10
    assert page.tags.count("svg") == 3


def test_a_single_entry_without_baseline_has_a_page() -> None:
    rows = [row(place, "a", baseline=False) for place in range(2)]
    comparison = compare([run(rows, metrics={}, curves={})], Options())
    page = Page(render_comparison(comparison))
    assert "1 variant compared by bits_per_byte" in page.text
    assert "No p-values" in page.text
    assert page.tags.count("svg") == 2  # no cost, no picture of it


def test_the_csv_has_a_line_for_each_variant_and_metric(tmp_path: Path) -> None:
    comparison = compare_two()
    write_compare_csv(comparison, tmp_path / "compare.csv")
    with (tmp_path / "compare.csv").open(newline="") as file:
        lines = {(line["variant"], line["metric"]): line for line in csv.DictReader(file)}
    assert len(lines) == 3 * TESTED + 2 + 4  # before fine-tuning has no scores, and no costs
    bits = lines["max_length=128", "bits_per_byte"]
    assert bits["difference_of"] == "settings"
    assert 0 < float(bits["p"]) <= float(bits["p_holm"]) < 1
    loss = lines["max_length=128", "loss"]
    assert (loss["p"], loss["p_holm"]) == ("", ""), "the primary metric has p-values"
    assert float(loss["difference"]) == pytest.approx(-1.5 / 5)
    assert (loss["questions"], loss["groups"], loss["runs"]) == ("10", "5", "2")
    assert len(loss["run_ids"].split()) == 2
    assert float(loss["seed_min"]) < float(loss["value"]) < float(loss["seed_max"])
    assert (loss["leaking"], loss["pareto_front"]) == ("true", "false")
    assert "trained on test questions" in loss["warnings"]
    first = lines["max_length=64", "loss"]
    assert (first["reference"], first["difference"], first["p"]) == ("true", "", "")
    assert lines["max_length=64", "cost/train_seconds"]["value"] == "15.0"


def test_a_p_value_and_a_corrected_one_are_two_columns(tmp_path: Path) -> None:
    three = [each for length, own in ((64, ONE), (128, TWO), (256, TWO)) for each in runs_of(length, own, DOCUMENTS)]
    write_compare_csv(compare(three, Options()), tmp_path / "compare.csv")
    with (tmp_path / "compare.csv").open(newline="") as file:
        [line] = [
            each for each in csv.DictReader(file) if (each["variant"], each["p"] > "") == ("max_length=128", True)
        ]
    assert float(line["p_holm"]) == pytest.approx(2 * float(line["p"]))


def test_the_terminal_has_a_line_for_each_variant(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(compare_two(metrics=["loss", "rougeL"], metric="loss"))
    out, err = capsys.readouterr()
    assert re.search(r"max_length=128 +│ +2\.8\d+ │ +-0\.300 │", out)
    assert re.search(r"│ \(2 seeds, +│.*\n│ LEAKING\) ", out)
    assert "over the 1 p-value here (1 variant, 1 metric)" in out
    assert "warning: trained on test questions" in err
    assert max(len(line) for line in out.splitlines() if "│" in line) <= 110
