"""The statistics of a comparison, against sums done by hand; and what is not compared."""

import math

import numpy as np
import pytest

from medft.comparison.compare import Options, compare
from medft.comparison.costs import pareto_front
from medft.errors import InputError
from medft.metrics.statistics import Ratio, smallest_p
from tests.comparison.helpers import row, run, runs_of, verdicts

DOCUMENTS = "aabbcc"
ONE = [[10, 12, 14, 16, 18, 20], [12, 14, 16, 18, 20, 22]]  # nats of each question, of two seeds
TWO = [[9, 11, 12, 14, 17, 19], [11, 13, 14, 16, 19, 21]]


def two_entries() -> list:
    return runs_of(64, ONE, DOCUMENTS) + runs_of(128, TWO, DOCUMENTS)


def test_seeds_are_averaged_by_question_and_documents_are_the_units() -> None:
    found = compare(two_entries(), Options(metrics=["loss"], metric="loss"))
    first, second = found.trained
    loss = found.result("loss", first)
    means = np.mean(ONE, axis=0)
    assert loss is not None
    assert loss.value.value == pytest.approx(means.sum() / 30)
    # t of three documents: 4.3027 standard errors of a ratio, of residuals summed by document
    residuals = (means - loss.value.value * 5).reshape(3, 2).sum(axis=1)
    error = math.sqrt((residuals**2).sum() * 3 / 2) / 30
    assert loss.value.high == pytest.approx(loss.value.value + 4.302652729911275 * error)
    assert loss.by_run == pytest.approx((sum(ONE[0]) / 30, sum(ONE[1]) / 30))
    assert loss.spread == (loss.by_run[0], loss.by_run[1])
    assert (loss.questions, loss.documents, loss.difference) == (6, 3, None)
    other = found.result("loss", second)
    assert other is not None
    assert other.difference is not None
    assert other.difference.value == pytest.approx((-1 - 1 - 2 - 2 - 1 - 1) / 30)
    assert other.p == 2 / 8  # of the eight sign patterns of three documents two are as far
    # two p-values: this one and that of before fine-tuning, both 1/4, so Holm doubles the smaller and holds the other
    assert found.family == 2
    assert other.p_holm == 0.5


def test_averaging_before_the_interval_is_not_taking_seeds_for_questions() -> None:
    one = compare(runs_of(64, ONE[:1], DOCUMENTS) + runs_of(128, TWO[:1], DOCUMENTS), Options(metrics=["loss"]))
    twice = [run(each.predictions, seed=each_seed, params={"dataset.max_length": each.params["dataset.max_length"]})
             for each in runs_of(64, ONE[:1], DOCUMENTS) + runs_of(128, TWO[:1], DOCUMENTS)
             for each_seed in (1, 2)]  # fmt: skip
    two = compare(twice, Options(metrics=["loss"]))
    for entry in one.trained:  # the same answers twice say nothing more
        before, after = one.result("loss", entry), two.result("loss", entry)
        assert before is not None
        assert after is not None
        assert (after.value, after.difference, after.p) == (before.value, before.difference, before.p)


def test_the_family_is_all_p_values_or_those_asked_for() -> None:
    everything = compare(two_entries(), Options())
    assert everything.family == 2 * 11
    assert compare(two_entries(), Options(with_before=False)).family == 11
    one = compare(two_entries(), Options(tested=["loss"]))
    assert one.family == 2
    rouge = one.result("rougeL", one.trained[1])
    assert rouge is not None
    assert rouge.difference is not None
    assert (rouge.p, rouge.p_holm) == (None, None)
    assert "with 3 documents no p-value can be below 0.25, and corrected over 22 none below 1" in everything.notes[-1]


def test_the_least_p_value_is_what_the_test_gives() -> None:
    for documents in (2, 5, 13, 14):
        values, names = [1.0] * documents, [str(n) for n in range(documents)]
        p = Ratio.of(values, names).less(Ratio.of([0.0] * documents, names)).p
        assert p == pytest.approx(smallest_p(documents), rel=1e-9) or documents > 13
        assert p >= smallest_p(documents)


def test_one_document_has_no_intervals_and_no_p_values() -> None:
    found = compare(runs_of(64, ONE, "aaaaaa") + runs_of(128, TWO, "aaaaaa"), Options())
    result = found.result("loss", found.trained[1])
    assert result is not None
    assert result.difference is not None
    assert (result.value.low, result.difference.low, result.p, found.family) == (None, None, None, 0)


def test_another_tokenizer_is_compared_by_bytes_only() -> None:
    other = run(
        [row(place, each, 8.0, measured={"tokens": 3, "bytes": 6}, baseline_answer="b")
         for place, each in enumerate(DOCUMENTS)],
        params={"model.name": "other", "model.tokenizer": "own"},
    )  # fmt: skip
    found = compare([runs_of(64, ONE, DOCUMENTS)[0], other], Options())
    assert "loss" not in found.results
    assert any("loss and perplexity are not compared: the entries count the tokens" in note for note in found.notes)
    assert any("did not begin with the same model" in note for note in found.notes)
    bits = found.result("bits_per_byte", found.entries[1])
    assert bits is not None
    assert bits.value.value == pytest.approx(8 / math.log(2) / 7)  # the answer's own bytes, as it was read whole
    with pytest.raises(InputError, match="metric=loss: the entries cannot be ranked by it; there are bits_per_byte, "):
        compare([runs_of(64, ONE, DOCUMENTS)[0], other], Options(metric="loss"))


def test_answers_that_were_not_read_to_the_same_end_have_no_bits_per_byte() -> None:
    cut = [row(place, each, 8.0, baseline_answer="b", measured={"tokens": 3, "bytes": 4, "cut": int(place == 0)})
           for place, each in enumerate(DOCUMENTS)]  # fmt: skip
    found = compare([runs_of(64, ONE, DOCUMENTS)[0], run(cut, params={"model.name": "b"})], Options())
    bits = found.result("bits_per_byte", found.trained[1])
    assert bits is not None
    assert bits.questions == 5
    assert "bits_per_byte is compared on 5 of 6 questions: 1 answers were not read" in " ".join(found.notes)


def test_rows_of_an_older_version_have_no_bytes_but_were_read_whole() -> None:
    runs = two_entries()
    for each in runs[0].predictions:
        for side in each.metrics.values():
            del side["bytes"], side["expected_words"]
    known, unknown = compare(two_entries(), Options()), compare(runs, Options())
    for metric in ("bits_per_byte", "length_ratio"):
        assert known.results[metric].values() != []
        assert list(known.results[metric].values()) == list(unknown.results[metric].values())


def test_what_is_not_a_number_is_said_and_not_tested() -> None:
    runs = runs_of(64, ONE, DOCUMENTS) + runs_of(128, [[math.nan] * 6, TWO[0]], DOCUMENTS)
    found = compare(runs, Options())
    result = found.result("loss", found.trained[1])
    assert result is not None
    assert math.isnan(result.value.value)
    assert (result.value.low, result.difference, result.p) == (None, None, None)
    assert "not a number, as after a training that diverged: max_length=128" in found.warnings[-1]
    assert found.front == ["max_length=64"]
    assert found.family == 11 + 9  # loss and bits_per_byte of one entry have none


def test_before_fine_tuning_is_shown_if_all_runs_began_alike() -> None:
    found = compare(two_entries(), Options())
    before = found.entries[0]
    assert before.is_before
    result = found.result("loss", before)
    assert result is not None
    assert result.value.value == 4.0
    assert found.costs[before.name] == {}
    assert [entry.name for entry in compare(two_entries(), Options(with_before=False)).entries] == [
        "max_length=64", "max_length=128"
    ]  # fmt: skip
    runs = two_entries()
    runs[3].predictions[0].baseline_answer = "another"
    assert "did not begin with the same model" in compare(runs, Options()).notes[0]
    for each in runs[3].predictions:
        del each.metrics["baseline"]
    assert "not every run measured" in compare(runs, Options()).notes[0]


def test_a_leak_is_marked_and_on_no_front() -> None:
    runs = runs_of(64, ONE, DOCUMENTS) + runs_of(128, TWO, DOCUMENTS, tags={"leaking": "true"})
    found = compare(runs, Options())
    assert found.trained[1].is_leaking
    assert found.front == ["max_length=64"]
    assert "trained on test questions" in found.warnings[0]


def test_runs_that_were_measured_otherwise_are_warned_of() -> None:
    runs = two_entries()
    for each in runs[2:]:
        each.params["generation.max_new_tokens"] = "8"
        each.tags["device"] = "cuda"
    for each in runs[:2]:
        each.params["generation.max_new_tokens"] = "4"
    warnings = compare(runs, Options()).warnings
    assert "not measured alike" in warnings[0]
    assert "generation.max_new_tokens (4, 8)" in warnings[0]
    assert "different devices (cpu, cuda)" in warnings[1]


def test_the_front_is_of_what_nothing_beats() -> None:
    points = {"cheap": (1.0, 3.0), "good": (5.0, 1.0), "dear": (6.0, 1.0), "middle": (3.0, 2.0), "bad": (3.0, 2.5),
              "twin": (3.0, 2.0)}  # fmt: skip
    assert pareto_front(points, lower_is_better=True) == ["cheap", "good", "middle", "twin"]
    assert pareto_front(points, lower_is_better=False) == ["cheap"]
    assert pareto_front({}, lower_is_better=True) == []


def test_costs_are_means_and_missing_ones_missing() -> None:
    runs = two_entries()
    del runs[3].metrics["cost/train_seconds"]
    found = compare(runs, Options())
    assert found.costs["max_length=64"] == {"cost/train_seconds": 15.0}
    assert found.costs["max_length=128"] == {}


def test_judges_are_compared_on_what_all_have_scored() -> None:
    runs = two_entries()
    for each, scores in zip(runs, ([10, 20, 30, 40, None, 60], [20] * 6, [50, None, 50, 50, 50, 50], [70] * 6),
                            strict=True):  # fmt: skip
        verdicts(each.predictions, scores)
    found = compare(runs, Options())
    first, second = (found.result("judge/j", entry) for entry in found.trained)
    assert first is not None
    assert second is not None
    assert first.questions == second.questions == 4
    assert first.value.value == pytest.approx((15 + 25 + 30 + 40) / 4)
    assert second.difference is not None
    assert second.difference.value == pytest.approx(60 - 27.5)
    assert found.result("judge/j", found.entries[0]) is None  # before fine-tuning was not judged
    assert found.worth == {"judge/j": None}  # three documents do not say
    assert "judge j: compared on the 4 of 6 questions that all have a score for" in found.notes


def test_judges_that_are_not_worth_it_or_not_the_same_are_called_so() -> None:
    runs = two_entries()
    for each in runs:
        verdicts(each.predictions, [50] * 6, good=False)
    found = compare(runs, Options())
    assert found.worth == {"judge/j": False}
    assert any(note.startswith("judge j is UNRELIABLE: it puts the expected answer only 5.0") for note in found.notes)
    runs[0].tags["judge.j.identity"], runs[1].tags["judge.j.identity"] = "x", "y"
    found = compare(runs, Options())
    assert "judge/j" not in found.results
    assert any("judge j is not compared: runs had different judges of that name" in note for note in found.notes)
    with pytest.raises(
        InputError, match=r"judge=k: none of the runs has scores of a judge of that name \(there are: j"
    ):
        compare(runs, Options(judge="k"))


def test_answers_are_those_that_differ_most_and_some_at_random() -> None:
    runs = two_entries()
    for place, each in enumerate(runs[2].predictions):
        each.metrics["test"]["rougeL"] = 0.5 + place / 20
    found = compare(runs, Options(answers=3, with_before=False))
    assert [question.row.id for question in found.questions[:2]] == ["id5", "id4"]
    assert found.questions[2].why == "chosen at random"
    assert [answer.scores for answer in found.questions[0].answers] == [{"rougeL": 0.5}, {"rougeL": 0.75}]
    assert compare(runs, Options(answers=3)).questions[2].row.id == found.questions[2].row.id
    assert len(compare(runs, Options(answers=99)).questions) == 6
    assert compare(runs, Options(answers=0)).questions == []
