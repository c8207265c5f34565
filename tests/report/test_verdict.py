"""Sentences come from the statistics."""

import pytest

from medft.comparison.compare import Options, compare
from medft.report.verdict import write_verdict
from tests.comparison.helpers import row, run, runs_of

MANY = [f"d{place}" for place in range(16)]


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
    assert better.endswith("(p <0.001 after Holm).")
    assert worse.startswith("max_length=256 is worse than max_length=64: loss is higher by 0.198")
    assert alike.startswith("Cannot be told apart from max_length=64: max_length=512 (")
    assert lowest.startswith("The lowest loss is that of max_length=128: 1.97")
    assert rest[0].startswith("On the Pareto front of loss and training time: max_length=128")
    assert rest[1] == "Seeds of one variant lie up to 0.004 apart in loss (max_length=64)."


def test_higher_can_be_better() -> None:
    def of(length: int, rouge: float) -> list:
        rows = [row(place, each, rouge=rouge + place / 1000 * (length > 64)) for place, each in enumerate(MANY)]
        return [run(rows, params={"dataset.max_length": str(length)})]

    said = words(of(64, 0.2), of(128, 0.6), metric="rougeL", tested=["rougeL"])
    assert "max_length=128 is better than max_length=64: rougeL is higher by 0.40" in said
    assert "The highest rougeL is that of max_length=128" in said
    assert "One seed only of every variant: how much is luck of the seed is not known." in said


def test_a_difference_smaller_than_the_seeds_is_called_so() -> None:
    said = words(runs_of(64, [nats(0), nats(5)], MANY), runs_of(128, [nats(-1), nats(4)], MANY))
    assert "Seeds of one of the two lie further apart than that, so it may be luck of the seed." in said


@pytest.mark.parametrize(("documents", "begins"), [
    ("aabbccdd" * 2, "4 documents are too few to establish any difference from max_length=64, however large: max_"),
    ("a" * 16, "Not tested against max_length=64, since the test questions are of one document: max_length=128."),
])  # fmt: skip
def test_few_documents_allow_no_finding(documents: str, begins: str) -> None:
    said = words(runs_of(64, [nats(0)], documents), runs_of(128, [nats(-9)], documents))
    assert said.startswith(begins)
    assert "better" not in said


def test_leaks_are_named_and_get_no_verdict() -> None:
    said = words(
        runs_of(64, [nats(0)], MANY), runs_of(128, [nats(-5)], MANY, tags={"leaking": "true"}),
        runs_of(256, [[float("nan")] * 16], MANY),
    )  # fmt: skip
    assert "max_length=128 is better" not in said
    assert "max_length=128 was trained on the test questions, which says nothing about new ones" in said
    assert "it looks better than max_length=64 by 1.000 in loss, p <0.001, and so much the leak may flatter." in said
    assert "Not tested against max_length=64, since a value is not a number: max_length=256." in said
    assert "On the Pareto front of loss and training time: max_length=64." in said


def test_before_fine_tuning_is_a_sentence() -> None:
    said = words(runs_of(64, [nats(0)], MANY), runs_of(128, [nats(0.1)], MANY), with_baseline=True)
    assert "Before fine-tuning loss was 4.000" in said
    assert "against max_length=64 that is +1.6" in said
