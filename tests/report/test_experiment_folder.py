"""The folder of an experiment: its text, its verdict, its results, which later runs extend, and its figure."""

import csv
import errno
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from medft.comparison.compare import Options, compare
from medft.errors import InputError
from medft.report.csv_files import extend_results_csv
from medft.report.experiment_folder import render_readme, write_folder, write_verdict
from medft.report.plots import plot_over_setting, plot_variants
from medft.runs.record import RunRecord
from medft.runs.sweeps import SweepRecord
from tests.comparison.helpers import row, run, runs_of, verdicts

DOCUMENTS = "aabbccddee"
ONE = [[10.0 + place for place in range(10)], [12.0 + place for place in range(10)]]
TWO = [[9.0 + place for place in range(10)], [10.0 + place for place in range(10)]]
LENGTH = "dataset.max_length"
OPTIONS = Options(swept=[LENGTH])
RENEW = "medft report experiment=lengths"
MANY = [f"d{place}" for place in range(16)]


def sweep(**changes: object) -> SweepRecord:
    fields: dict[str, object] = {
        "run_id": "p" * 32, "name": "lengths", "keys": [LENGTH, "seed"], "question": "How long?", "reference": "",
        "limits": "Ten questions.", "metric": "test/bits_per_byte", "command": "medft sweep lengths",
        "started": datetime(2026, 1, 2, tzinfo=UTC), "seconds": 2400.0,
        "tags": {"version.torch": "2.0", "git.commit": "abc", "git.dirty": "true", "machine": "2 cores"},
    }  # fmt: skip
    return SweepRecord(**{**fields, **changes})  # type: ignore[arg-type]


def runs() -> list[RunRecord]:
    made = {"tags": {"git.commit": "abc", "code": "1"}}
    return runs_of(64, ONE, DOCUMENTS, **made) + runs_of(128, TWO, DOCUMENTS, **made)


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_readme_says_all(tmp_path: Path) -> None:
    own = runs()
    write_folder(sweep(), compare(own, OPTIONS), {"abc": "it is FAILED"}, tmp_path, RENEW)
    text = (tmp_path / "README.md").read_text()
    for words in (
        "# lengths\n\nHow long?\n\n![bits_per_byte of each variant](figure.png)",
        "Cannot be told apart from max_length=64: max_length=128 (-",
        "| max_length=64 (2 seeds, reference, on the front) | 3.195 [",
        "corrected by Holm over the 1 p-value here",
        "Run abc of the sweep is left out: it is FAILED.",
        "Ten questions.\n\n4 runs of 2 variants, tested on 10 questions of 5 groups",
        "```\nmedft sweep lengths\n```",
        "Date: 2026-01-02, 40 min from start to end; MLflow run ppp",
        "Machine: 2 cores, cpu.",
        "Versions: torch 2.0; commit abc with changes.",
        "`medft report experiment=lengths`",
        "`medft compare parent=" + "p" * 32,
    ):
        assert words in text
    assert "further" not in text.split("results.csv)")[1].split("\n")[0]
    assert {file.name for file in tmp_path.iterdir()} == {
        "README.md", "results.csv", "figure.png", "figure.pdf", "figure.svg"
    }  # fmt: skip
    begins = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<svg"}
    assert all((tmp_path / f"figure.{suffix}").read_bytes().startswith(first) for suffix, first in begins.items())


def test_results_extend(tmp_path: Path) -> None:
    first, second = runs(), runs()
    write_folder(sweep(), compare(first, OPTIONS), {}, tmp_path, RENEW)
    assert [(line["run_id"], line[LENGTH], line["seed"]) for line in lines(tmp_path)] == [
        (each.run_id, each.params[LENGTH], each.params["seed"]) for each in first
    ]
    first[0].metrics["test/loss"] = 1.25
    write_folder(sweep(), compare(first, OPTIONS), {}, tmp_path, RENEW)
    assert [line["test/loss"] for line in lines(tmp_path)] == ["1.25", "", "", ""]
    write_folder(sweep(), compare(second, OPTIONS), {}, tmp_path, RENEW)
    comparison = lines(tmp_path)
    assert [line["run_id"] for line in comparison] == [each.run_id for each in first + second]
    assert comparison[0]["test/loss"] == "1.25"
    assert "It has 4 further lines of other runs" in (tmp_path / "README.md").read_text()


def test_a_file_of_someone_else_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column run_id"):
        extend_results_csv(compare(runs(), OPTIONS), [LENGTH], file)
    assert file.read_text() == "a,b\n1,2\n"


def test_a_sweep_about_another_metric_says_what_is_compared() -> None:
    assert sweep(metric="test/rougeL").primary == "rougeL"
    assert sweep(metric="judge/ollama/score").primary == "judge/ollama"
    other = sweep(metric="val/loss")
    assert other.primary == "bits_per_byte"
    assert "The sweep was about val/loss; what is compared by question is bits_per_byte." in render_readme(
        other, compare(runs(), OPTIONS), {}, 0, RENEW
    )


def grid(policies: tuple[str, ...], lengths: tuple[str, ...] = ("64", "1024")) -> list[RunRecord]:
    rows = [row(place, each) for place, each in enumerate(DOCUMENTS)]
    return [
        run(rows, params={LENGTH: length, "dataset.long_answers": policy}) for length in lengths for policy in policies
    ]


@pytest.mark.parametrize(
    ("keys", "policies", "lengths", "labels"),
    [
        ([LENGTH], ("truncate",), ("64", "1024"), 0),
        ([LENGTH, "dataset.long_answers"], ("truncate", "split"), ("64", "1024"), 2),
        (["dataset.long_answers", LENGTH], ("truncate", "split"), ("64", "1024"), 2),
        ([LENGTH], ("truncate",), ("64", "null"), None),
        (["dataset.long_answers"], ("truncate", "split"), ("64",), None),
        ([LENGTH], ("truncate", "split"), ("64", "1024"), None),  # something else differs too
    ],
)
def test_a_number_gets_a_line(
    keys: list[str], policies: tuple[str, ...], lengths: tuple[str, ...], labels: int | None
) -> None:
    comparison = compare(grid(policies, lengths), Options(swept=keys))
    figure = plot_over_setting(comparison, keys)
    if labels is None:
        assert figure is None
        assert plot_variants(comparison, "bits_per_byte").axes[0].get_xlabel() == (
            "bits_per_byte\nwith 95% intervals over groups, of these trained models"
        )
        return
    axes = figure.axes[0]
    assert axes.get_xlabel() == LENGTH
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["64", "1024"]
    assert len(axes.get_legend_handles_labels()[1]) == labels


def nats(shift: float, wobble: float = 0.0) -> list[float]:
    return [10.0 + place / 4 + shift + wobble * (-1) ** place for place in range(16)]


def words(*runs: list, **options: object) -> str:
    flat = [each for some in runs for each in some]
    given = {"metric": "loss", "tested": ["loss"], "with_baseline": False, **options}
    return "\n".join(write_verdict(compare(flat, Options(**given))))  # type: ignore[arg-type]


def test_what_differs_and_what_does_not() -> None:
    said = words(
        runs_of(64, [nats(0), nats(0.02)], MANY),
        runs_of(128, [nats(-2, 0.1), nats(-2.02, 0.1)], MANY),
        runs_of(256, [nats(1), nats(1)], MANY),
        runs_of(512, [nats(0.01, 0.3), nats(0.01, 0.3)], MANY),
    )
    better, worse, alike, lowest, *rest = said.splitlines()
    assert better.startswith("max_length=128 is better than max_length=64: loss is lower by 0.404 [0.3")
    assert better.endswith(" after Holm, over 2 seeds and 16 groups).")
    assert worse.startswith("max_length=256 is worse than max_length=64: loss is higher by 0.198")
    assert alike.startswith("Cannot be told apart from max_length=64: max_length=512 (")
    assert lowest.startswith("The lowest loss is that of max_length=128: 1.97")
    assert rest[0] == (
        "Shown to be better than all that cost less: max_length=128 (128 tokens); the cheapest: max_length=64 (64 "
        "tokens)."
    )
    assert rest[1] == "Seeds of one variant lie up to 0.004 apart in loss (max_length=64)."


def test_what_costs_more_is_worth_it_by_the_same_p_values() -> None:
    """The front says of no pair what the verdict on it does not."""
    close = [runs_of(64, [nats(0), nats(0)], MANY), runs_of(128, [nats(-0.4, 0.53), nats(-0.37, 0.53)], MANY)]
    said = words(*close)
    assert said.startswith("max_length=128 is better than max_length=64: ")
    assert "Shown to be better than all that cost less: max_length=128 (128 tokens); the cheapest: max_len" in said
    said = words(*close, runs_of(256, [nats(-0.1, 0.1), nats(-0.17, 0.1)], MANY))
    assert said.startswith("Cannot be told apart from max_length=64: max_length=128 ("), "0.029, corrected over two"
    assert "Nothing is shown to be better than all that cost less; the cheapest: max_length=64 (64 tokens)." in said
    said = words(*close, runs_of(256, [nats(-0.3, 0.1), nats(-0.37, 0.1)], MANY))
    assert said.startswith("max_length=128 is better than max_length=64: "), "the second of Holm's steps"
    assert "Shown to be better than all that cost less: max_length=128 (128 tokens); the cheapest: max_len" in said
    noisy = runs_of(128, [nats(-0.4, 4), nats(-0.4, 4)], MANY)
    said = words(close[0], noisy, runs_of(256, [nats(-1), nats(-1.01)], MANY))
    assert said.startswith("max_length=256 is better than max_length=64")
    assert "Nothing is shown to be better than all that cost less; the cheapest: max_length=64 (64 tokens)." in said


def test_costs_are_of_the_seeds_that_all_have() -> None:
    def of(length: int, costs: list[float], shift: float) -> list:
        made = runs_of(length, [nats(shift * seed, 10 * shift) for seed in range(len(costs))], MANY)
        metrics = {"cost/train_seconds": 1.0}
        return [replace(each, metrics={**metrics, "cost/train_tokens": cost})
                for each, cost in zip(made, costs, strict=True)]  # fmt: skip

    said = words(of(64, [100, 100.05, 700], 0), of(128, [100.04, 100], 0.01))
    assert "the cheapest: max_length=64 (300 tokens); max_length=128 (100 tokens)." in said
    assert "Nothing is shown to be better" in said, "neither costs more over the seeds that both have"


def test_a_line_of_results_is_of_all_questions_of_its_run(tmp_path: Path) -> None:
    own = [replace(each, predictions=each.predictions[place:]) for place, each in enumerate(runs()[:2])]
    own = [replace(each, metrics={**each.metrics, "test/loss": 2.5, "judge/j/score": 7.0}) for each in own]
    for each in own:
        verdicts(each.predictions, [50.0] * len(each.predictions))
    extend_results_csv(compare(own, Options(shared_only=True)), [LENGTH], tmp_path / "results.csv")
    assert [(line["questions"], line["test/loss"], line["judge/j/score"]) for line in lines(tmp_path)] == [
        ("10", "2.5", "7.0")
    ] * 2


def test_higher_can_be_better() -> None:
    def of(length: int, rouge: float) -> list:
        rows = [row(place, each, rouge=rouge + place / 1000 * (length > 64)) for place, each in enumerate(MANY)]
        return [run(rows, params={"dataset.max_length": str(length)})]

    said = words(of(64, 0.2), of(128, 0.6), metric="rougeL", tested=["rougeL"])
    assert (
        "the trained model of max_length=128 answers better than that of max_length=64: rougeL is higher by 0.4" in said
    )
    assert "(p <0.001 after Holm). Whether its setting is, other seeds would have to show." in said
    assert "max_length=128 is better" not in said
    assert "The highest rougeL is that of max_length=128" in said
    assert "One seed only of every variant: how much is luck of the seed is not known." in said


def test_a_difference_that_seeds_do_not_agree_on_is_no_finding() -> None:
    agreeing = words(runs_of(64, [nats(0), nats(5)], MANY), runs_of(128, [nats(-1), nats(4, 0.1)], MANY))
    assert agreeing.startswith("max_length=128 is better than max_length=64"), "what a seed does to both is no luck"
    luck = words(runs_of(64, [nats(0), nats(0.1)], MANY), runs_of(128, [nats(-2), nats(-0.4)], MANY))
    assert luck.startswith("Cannot be told apart from max_length=64: max_length=128 (")
    alone = words(runs_of(64, [nats(0)], MANY), runs_of(128, [nats(-2, 0.1)], MANY))
    assert alone.startswith("On these questions the trained model of max_length=128 answers better than that of")


@pytest.mark.parametrize(("groups", "begins"), [
    ("aabbccdd" * 2, "4 groups are too few to establish any difference from max_length=64, however large: max_"),
    ("a" * 16, "Not tested against max_length=64, since the test questions are of one group: max_length=128."),
])  # fmt: skip
def test_few_documents_allow_no_finding(groups: str, begins: str) -> None:
    said = words(runs_of(64, [nats(0)], groups), runs_of(128, [nats(-9)], groups))
    assert said.startswith(begins)
    assert "is better" not in said and "answers better" not in said


def test_why_nothing_was_tested_is_said() -> None:
    first, second, third = (runs_of(length, [nats(0)], MANY) for length in (64, 128, 256))
    for each in (*second, *third):
        verdicts(each.predictions, [50.0] * 16)
    said = words(first, second, third, metric="judge/j", tested=["judge/j"])
    assert "Not tested against max_length=64, since that has no judge/j: max_length=128; max_length=256." in said


def test_leaks_are_named_and_get_no_verdict() -> None:
    said = words(
        runs_of(64, [nats(0)], MANY), runs_of(128, [nats(-5)], MANY, tags={"leaking": "true"}),
        runs_of(256, [[float("nan")] * 16], MANY),
    )  # fmt: skip
    assert "max_length=128 is better" not in said
    assert "max_length=128 was trained on the test questions, which says nothing about new ones" in said
    assert "it looks better than max_length=64 by 1.000 in loss, p <0.001, and so much the leak may flatter." in said
    assert "Not tested against max_length=64, since a value is not a number: max_length=256." in said
    assert "shown to be better than all" not in said.lower(), "one was left"


def test_a_leak_that_changes_nothing_looks_neither_better_nor_worse() -> None:
    said = words(runs_of(64, [nats(0)], MANY), runs_of(128, [nats(0)], MANY, tags={"leaking": "true"}))
    assert "says nothing about new ones: it looks like max_length=64 in loss." in said


def test_a_disk_that_fills_takes_no_line_of_earlier_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(sweep(), compare(runs(), OPTIONS), {}, tmp_path, RENEW)
    before = (tmp_path / "results.csv").read_bytes()

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("csv.DictWriter.writerows", fill)
    with pytest.raises(OSError, match="No space"):
        write_folder(sweep(), compare(runs(), OPTIONS), {}, tmp_path, RENEW)
    assert (tmp_path / "results.csv").read_bytes() == before


def test_before_fine_tuning_is_a_sentence() -> None:
    said = words(runs_of(64, [nats(0)], MANY), runs_of(128, [nats(0.1)], MANY), with_baseline=True)
    assert "Before fine-tuning loss was 4.000" in said
    assert "against max_length=64 that is +1.6" in said
