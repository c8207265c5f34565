"""The statistics of a comparison, against sums done by hand; and what is not compared."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medft.comparison.compare import Options, _find_front, compare
from medft.comparison.metrics import collect_metrics, find_front
from medft.comparison.settings import estimate_spread, tabulate_groups
from medft.comparison.significance import Comparer
from medft.comparison.variants import make_variants
from medft.errors import InputError
from medft.metrics.registry import METRICS
from medft.metrics.statistics import Difference, Ratio, compute_smallest_p
from tests.comparison.helpers import row, run, runs_of, verdicts

MEASURED = [name for name, metric in METRICS.items() if not metric.function_of and metric.is_installed]
TESTED = len(MEASURED)
DOCUMENTS = "aabbcc"
DOCUMENTS_OF = list(DOCUMENTS)
ONE = [[10, 12, 14, 16, 18, 20], [12, 14, 16, 18, 20, 22]]  # nats of each question, of two seeds
TWO = [[9, 11, 12, 14, 17, 19], [11, 13, 14, 16, 19, 21]]


def two_variants() -> list:
    return runs_of(64, ONE, DOCUMENTS) + runs_of(128, TWO, DOCUMENTS)


def test_seeds_are_averaged_by_question_and_documents_are_the_units() -> None:
    comparison = compare(two_variants(), Options(metrics=["loss"], metric="loss"))
    first, second = comparison.trained
    loss = comparison.result("loss", first)
    means = np.mean(ONE, axis=0)
    assert loss is not None
    assert loss.value.value == pytest.approx(means.sum() / 30)
    own = estimate_spread(*tabulate_groups([Ratio.of(nats, DOCUMENTS_OF, [5] * 6) for nats in ONE]))
    assert loss.value.high == pytest.approx(loss.value.value + float(own.compute_reach(0.05)))
    assert loss.by_run == pytest.approx((sum(ONE[0]) / 30, sum(ONE[1]) / 30))
    assert loss.spread == (loss.by_run[0], loss.by_run[1])
    assert (loss.questions, loss.groups, loss.difference) == (6, 3, None)
    other = comparison.result("loss", second)
    assert other is not None
    assert other.difference is not None
    assert other.difference.value == pytest.approx((-1 - 1 - 2 - 2 - 1 - 1) / 30)
    apart = [
        Ratio.of(np.subtract(after, before), DOCUMENTS_OF, [5] * 6) for before, after in zip(ONE, TWO, strict=True)
    ]
    spread = estimate_spread(*tabulate_groups(apart))
    assert other.kind == "settings"
    assert other.p == pytest.approx(float(spread.compute_p(np.asarray(other.difference.value))))
    assert comparison.family == 1
    before = comparison.result("loss", comparison.variants[0])
    assert before is not None and before.p == before.p_holm, "another question: not in the family"


def test_a_variant_whose_seeds_vary_more_is_left_to_itself() -> None:
    names = [str(place) for place in range(12)]

    def seeds(*luck: float) -> list[list[float]]:
        return [[50 + own + 0.1 * (place % 3) for place in range(12)] for own in luck]

    lucks = ((64, (0.0, 0.1, 0.2)), (128, (0.0, 0.12, 0.2)), (256, (0.02, 0.1, 0.2)), (512, (0.0, 0.1, 0.18)),
             (1024, (4.0, -9.0, 5.0)))  # fmt: skip
    runs = [each for length, own in lucks for each in runs_of(length, seeds(*own), names)]
    comparison = compare(runs, Options(metrics=["loss"], metric="loss", with_baseline=False))
    found = [comparison.result("loss", variant) for variant in comparison.trained[1:]]
    df = [float(each.spread_of_difference.seeds_df) for each in found if each and each.spread_of_difference]
    assert df == [6, 6, 6, 2], "three of the others beside each, as there are three seeds"


def test_a_variant_with_few_seeds_or_none_that_are_numbers_leaves_the_others_as_they_are() -> None:
    names = [str(place) for place in range(12)]

    def of(length: int, seeds: int, last: float = 0.0) -> list:
        random = np.random.default_rng(length)
        lucks = np.roll([0.0, 0.2, 0.4, 0.5, 0.9], length // 64)[:seeds]
        nats = [50 + length / 100 + luck + 0.3 * random.normal(size=12) for luck in lucks]
        nats[-1] = nats[-1] + last
        return runs_of(length, nats, names)

    def find(*others: list) -> tuple[float | None, float]:
        runs = [each for length in (64, 128, 256, 512) for each in of(length, 5)]
        runs += [each for some in others for each in some]
        result = compare(runs, Options(metric="loss", with_baseline=False)).results["loss"]["max_length=512"]
        assert result.spread_of_difference
        return result.p, float(result.spread_of_difference.seeds_df)

    p, df = find()
    assert df == 12, "three of the others beside it, each with five seeds"
    assert find(of(1024, 2)) == find(of(1024, 5, last=math.nan)) == (p, df)
    runs = of(64, 5) + of(128, 5) + of(256, 5) + of(512, 2)
    few = compare(runs, Options(reference="max_length=128", metric="loss", with_baseline=False))
    spread = few.results["loss"]["max_length=512"].spread_of_difference
    assert spread and float(spread.seeds_df) == 2, "of two seeds, which all four have"


def test_where_all_agree_nothing_is_shown() -> None:
    """No answer is right, whatever the setting: others may be."""
    names = [str(place) for place in range(16)]
    for seeds in (1, 2):
        runs = [
            run([row(place, name, measured={"exact_match": 0.0}) for place, name in enumerate(names)],
                seed, params={"dataset.max_length": str(length)})
            for length in (64, 128) for seed in range(1, seeds + 1)
        ]  # fmt: skip
        comparison = compare(runs, Options(metric="exact_match", with_baseline=False, margin=0.001))
        result = comparison.results["exact_match"]["max_length=128"]
        assert result.p == 1 and result.difference and result.difference.high and result.difference.high > 0.1
        assert result.value.high and result.value.high > 0.1
        assert not any("four times in five" in note or ": as good as" in note for note in comparison.notes)
        assert any("not shown to be as good as" in note for note in comparison.notes)


def test_where_all_agree_on_a_difference_the_groups_are_still_few() -> None:
    """Every answer of one setting is right, none of the other; but two groups are two."""
    for seeds in (1, 2):
        runs = [
            run([row(place, name, measured={"exact_match": right}) for place, name in enumerate("aabb")],
                seed, params={"dataset.max_length": str(length)})
            for length, right in ((64, 0.0), (128, 1.0)) for seed in range(1, seeds + 1)
        ]  # fmt: skip
        result = compare(runs, Options(metric="exact_match")).results["exact_match"]["max_length=128"]
        assert (result.p, result.is_finding) == (0.5, False)
        assert result.difference and result.difference.low is not None and result.difference.low < 0.2


def test_a_leaking_variant_is_not_called_as_good() -> None:
    def seeds(wobble: float) -> list[list[float]]:
        return [[50 + luck + wobble * (-1) ** place for place in range(40)] for luck in (0.0, 0.02, 0.01)]

    names = [str(place) for place in range(40)]
    leaking = runs_of(256, seeds(0.2), names, tags={"leaking": "true"})
    runs = runs_of(64, seeds(0), names) + runs_of(128, seeds(0.1), names) + leaking
    notes = " ".join(compare(runs, Options(metric="loss", margin=0.1)).notes)
    assert "max_length=128: as good as" in notes and "max_length=256" not in notes


def test_a_leak_tells_nothing_of_the_luck_of_seeds() -> None:
    lengths = (64, 128, 256)
    runs = [each for length in lengths for each in runs_of(length, ONE, DOCUMENTS)]
    runs += runs_of(512, TWO, DOCUMENTS, tags={"leaking": "true"})
    variants, _ = make_variants(runs, False, ())
    comparer = Comparer(variants, collect_metrics(variants)[0]["loss"])
    assert comparer._pool_seeds(frozenset("12"))[0] == [f"max_length={length}" for length in lengths]


def test_runs_of_other_code_are_pointed_out() -> None:
    runs = two_variants()
    tagged = [replace(each, tags=each.tags | {"code": "12"[place > 1], "git.commit": "ab"[place > 1] * 40})
              for place, each in enumerate(runs)]  # fmt: skip
    told = "the runs were made by 2 versions of medft's code (commits: aaaaaaaaaa, bbbbbbbbbb)"
    assert told in compare(tagged, Options()).notes
    assert not any("versions of medft" in note for note in compare(tagged[:2], Options()).notes)


def test_as_good_as_is_said_only_where_it_is_asked() -> None:
    names = [str(place) for place in range(40)]

    def seeds(shift: float, wobble: float) -> list[list[float]]:
        return [[50 + shift + luck + wobble * (-1) ** place for place in range(40)] for luck in (0.0, 0.02, 0.01)]

    runs = [
        each
        for length, own in ((64, seeds(0, 0)), (128, seeds(0.02, 0.1)), (256, seeds(-2, 0.1)), (512, seeds(3, 0.1)))
        for each in runs_of(length, own, names)
    ]  # fmt: skip
    options = Options(metric="loss", with_baseline=False)
    assert "as good" not in " ".join(compare(runs, options).notes)
    notes = compare(runs, replace(options, margin=0.1)).notes
    told = [note for note in notes if "within 0.1 in loss" in note]
    assert [note.split(" max_length=64 ")[0] for note in told] == [
        "max_length=128: as good as", "max_length=256: not worse than", "max_length=512: not shown to be as good as"
    ]  # fmt: skip
    single = [each for each in runs if each.seed == "1"]
    told = compare(single, replace(options, margin=0.1)).notes
    assert any(note.startswith("on these questions the trained models of max_length=128: as good as") for note in told)


def test_with_one_seed_the_models_are_compared() -> None:
    comparison = compare(runs_of(64, ONE, DOCUMENTS) + runs_of(128, TWO[:1], DOCUMENTS), Options(metric="loss"))
    other = comparison.result("loss", comparison.trained[1])
    assert other is not None
    assert other.kind == "models", "one seed is in common"
    assert other.p == 2 / 8  # of the eight sign patterns of three groups two are as far
    assert other.difference is not None and other.difference.value == pytest.approx(-8 / 30), "over the seed of both"
    assert "nothing here can be called different" in comparison.notes[-1], "so no difference would be found"
    assert comparison.warnings == [
        "variants have different seeds: a value is over all of its own, a difference over those that both have (with "
        "none in common over all)"
    ]
    apart = compare([two_variants()[0], two_variants()[3]], Options(metric="loss"))
    assert apart.warnings == comparison.warnings, "one seed each, and not the same"
    several = compare(two_variants(), Options(metric="loss")).notes[-1]
    assert "between two settings would be found four times in five (80% power), with twice the seeds" in several


def test_what_a_seed_does_to_all_variants_is_no_difference() -> None:
    """Three variants that differ by nearly the same everywhere, of seeds that lie far apart."""
    shifted = [
        [[nats + shift * (1 + place / 1e5) + luck for place, nats in enumerate(ONE[0])] for luck in (0, 9)]
        for shift in (0, -1, 1)
    ]
    runs = [
        each for length, own in zip((64, 128, 256), shifted, strict=True) for each in runs_of(length, own, DOCUMENTS)
    ]
    comparison = compare(runs, Options(metric="loss", with_baseline=False))
    for variant in comparison.trained[1:]:
        result = comparison.result("loss", variant)
        assert result is not None and result.difference is not None and result.p is not None
        assert result.p < 1e-6
        assert result.difference.low == pytest.approx(result.difference.high, rel=1e-3)
    first = comparison.result("loss", comparison.trained[0])
    assert first is not None and first.value.low is not None
    assert first.value.value - first.value.low > 0.9, "the interval of a setting includes its seeds"


def test_averaging_before_the_interval_is_not_taking_seeds_for_questions() -> None:
    one = compare(runs_of(64, ONE[:1], DOCUMENTS) + runs_of(128, TWO[:1], DOCUMENTS), Options(metrics=["loss"]))
    twice = [run(each.predictions, seed=each_seed, params={"dataset.max_length": each.params["dataset.max_length"]})
             for each in runs_of(64, ONE[:1], DOCUMENTS) + runs_of(128, TWO[:1], DOCUMENTS)
             for each_seed in (1, 2)]  # fmt: skip
    two = compare(twice, Options(metrics=["loss"]))
    for variant in one.trained:  # the same answers twice say nothing more
        before, after = one.result("loss", variant), two.result("loss", variant)
        assert before is not None
        assert after is not None
        pairs = [(before.value, after.value), (before.difference, after.difference)]
        for one_seed, two_seeds in [pair for pair in pairs if pair[0] is not None]:
            assert (two_seeds.value, two_seeds.low, two_seeds.high) == pytest.approx(
                (one_seed.value, one_seed.low, one_seed.high)
            )


def test_the_family_is_of_the_primary_metric_or_of_those_asked_for() -> None:
    everything = compare(two_variants(), Options(tested=list(MEASURED)))
    assert everything.family == TESTED
    assert compare(two_variants(), Options(tested=list(MEASURED), with_baseline=False)).family == TESTED
    one = compare(two_variants(), Options(metric="loss"))
    assert one.family == 1
    rouge = one.result("rougeL", one.trained[1])
    assert rouge is not None
    assert rouge.difference is not None
    assert (rouge.p, rouge.p_holm) == (None, None)
    models = compare(runs_of(64, ONE[:1], DOCUMENTS) + runs_of(128, TWO[:1], DOCUMENTS), Options(tested=MEASURED))
    told = f"with 3 groups no p-value can be below 0.25, and corrected over {TESTED} none below 1"
    assert any(told in note for note in models.notes)
    assert not any("no p-value can be" in note for note in everything.notes), "of settings there is no least p-value"
    bits = compare(two_variants(), Options()).result("bits_per_byte", one.trained[1])
    assert bits is not None and bits.p is not None


def test_the_least_p_value_is_what_the_test_gives() -> None:
    for documents in (2, 5, 13, 14):
        values, names = [1.0] * documents, [str(n) for n in range(documents)]
        p = Ratio.of(values, names).subtract(Ratio.of([0.0] * documents, names)).p
        assert p == pytest.approx(compute_smallest_p(documents), rel=1e-9 if documents <= 13 else 2.0)
        assert p >= compute_smallest_p(documents)


def test_one_document_has_no_intervals_and_no_p_values() -> None:
    comparison = compare(runs_of(64, ONE, "aaaaaa") + runs_of(128, TWO, "aaaaaa"), Options())
    result = comparison.result("loss", comparison.trained[1])
    assert result is not None
    assert result.difference is not None
    assert (result.value.low, result.difference.low, result.p, comparison.family) == (None, None, None, 0)


def test_another_tokenizer_is_compared_by_bytes_only() -> None:
    other = run(
        [row(place, each, 8.0, measured={"tokens": 3}, baseline_answer="b")
         for place, each in enumerate(DOCUMENTS)],
        params={"model.name": "other", "model.tokenizer": "own"},
    )  # fmt: skip
    comparison = compare([runs_of(64, ONE, DOCUMENTS)[0], other], Options())
    assert "loss" not in comparison.results
    assert any(
        "loss and perplexity are not compared: the variants count the tokens" in note for note in comparison.notes
    )
    assert any("did not begin with the same model" in note for note in comparison.notes)
    bits = comparison.result("bits_per_byte", comparison.variants[1])
    assert bits is not None
    assert bits.value.value == pytest.approx(8 / math.log(2) / 7)
    with pytest.raises(InputError, match="metric=loss: the variants cannot be ranked by it; there are bits_per_byte, "):
        compare([runs_of(64, ONE, DOCUMENTS)[0], other], Options(metric="loss"))


def test_answers_that_were_not_read_to_the_same_end_have_no_bits_per_byte() -> None:
    cut = [
        row(place, each, 8.0, measured={"tokens": 3, "bytes": 7 if place else 4, "cut": int(place == 0)})
        for place, each in enumerate(DOCUMENTS)
    ]
    comparison = compare([runs_of(64, ONE, DOCUMENTS)[0], run(cut, params={"model.name": "b"})], Options())
    bits = comparison.result("bits_per_byte", comparison.trained[1])
    assert bits is not None
    assert bits.questions == 5
    assert "bits_per_byte is compared on 5 of 6 questions: 1 answers were not read" in " ".join(comparison.notes)


def test_a_metric_that_not_all_runs_have_is_left_out_and_said() -> None:
    runs = two_variants()
    for each in runs[0].predictions:
        del each.test.values["chrf"]
    comparison = compare(runs, Options(with_baseline=False))
    assert "chrf" not in comparison.results
    assert "rougeL" in comparison.results
    assert "chrf is not compared: not all runs have measured it" in comparison.notes


def test_what_is_not_a_number_is_said_and_not_tested() -> None:
    runs = runs_of(64, ONE, DOCUMENTS) + runs_of(128, [[math.nan] * 6, TWO[0]], DOCUMENTS)
    comparison = compare(runs, Options())
    result = comparison.result("loss", comparison.trained[1])
    assert result is not None
    assert math.isnan(result.value.value)
    assert (result.value.low, result.difference, result.p) == (None, None, None)
    assert "not a number, as after a training that diverged: max_length=128" in comparison.warnings[-1]
    assert comparison.front == ["max_length=64"]
    assert comparison.family == 0  # one variant has none
    assert result.spread is None


def test_before_fine_tuning_is_shown_if_all_runs_began_alike() -> None:
    comparison = compare(two_variants(), Options())
    before = comparison.variants[0]
    assert before.is_baseline
    result = comparison.result("loss", before)
    assert result is not None
    assert result.value.value == 4.0
    assert comparison.costs[before.name] == {}
    assert [variant.name for variant in compare(two_variants(), Options(with_baseline=False)).variants] == [
        "max_length=64", "max_length=128"
    ]  # fmt: skip
    runs = two_variants()
    first = runs[3].predictions[0]
    assert first.baseline is not None
    first.baseline = replace(first.baseline, answer="another")
    assert "did not begin with the same model" in compare(runs, Options()).notes[0]
    for each in runs[3].predictions:
        each.baseline = None
    assert "not every run measured" in compare(runs, Options()).notes[0]


def test_a_leak_is_marked_and_on_no_front() -> None:
    runs = runs_of(64, ONE, DOCUMENTS) + runs_of(128, TWO, DOCUMENTS, tags={"leaking": "true"})
    comparison = compare(runs, Options())
    assert comparison.trained[1].is_leaking
    assert comparison.front == ["max_length=64"]
    assert "trained on test questions" in comparison.warnings[0]


def test_what_training_nearly_has_of_the_test_is_said() -> None:
    def audit(near: int, answers: int) -> dict[str, Any]:
        return {"shared": {"train-test": {"near": near, "near_answers": answers, "groups": 9}}}

    runs = runs_of(64, ONE, DOCUMENTS, audit=audit(0, 0)) + runs_of(128, TWO, DOCUMENTS, audit=audit(3, 1))
    comparison = compare(runs, Options())
    assert [variant.overlap for variant in comparison.trained] == [0, 4]
    runs[-1] = replace(runs[-1], audit=audit(1, 0))  # seeds draw other rows
    assert compare(runs, Options()).trained[1].overlap == 4
    runs[-1] = replace(runs[-1], audit=audit(3, 1))
    [told] = [warning for warning in comparison.warnings if "nearly are" in warning]
    assert "max_length=128 (4);" in told and "dataset.dedup=near takes duplicates away" in told
    assert "max_length=64" not in told
    for each in runs:
        each.params["dataset.dedup"] = "near"
    [told] = [warning for warning in compare(runs, Options()).warnings if "nearly are" in warning]
    assert told.endswith("may be remembered"), "what could be taken away is gone"


def test_runs_that_were_measured_otherwise_are_warned_of() -> None:
    runs = two_variants()
    for each in runs[2:]:
        each.params["generation.max_new_tokens"] = "8"
        each.tags["device"] = "cuda"
    for each in runs[:2]:
        each.params["generation.max_new_tokens"] = "4"
    warnings = compare(runs, Options()).warnings
    assert "not measured alike" in warnings[0]
    assert "generation.max_new_tokens (4, 8)" in warnings[0]
    assert "different devices (cpu, cuda)" in warnings[1]


def test_the_front_is_of_what_is_shown_to_be_worth_its_cost() -> None:
    costs = {"cheap": 1.0, "good": 5.0, "dear": 6.0, "middle": 3.0, "bad": 3.0, "twin": 3.000001, "better": 5.5}
    scores = {"cheap": 3.0, "good": 1.0, "dear": 1.0, "middle": 2.0, "bad": 2.5, "twin": 2.0, "better": 0.95}

    def is_better(one: str, other: str, least: float = 0.1) -> bool:
        return scores[other] - scores[one] > least

    assert find_front(costs, is_better) == ["cheap", "good", "middle", "twin"], "better is not told apart from good"
    assert find_front(costs, lambda one, other: is_better(one, other, 0.01)) == [
        "cheap", "good", "middle", "twin", "better"
    ]  # fmt: skip
    assert find_front(costs, lambda *_: False) == ["cheap"]
    assert find_front({"one": 1.0, "two": 1.0}, lambda *_: False) == ["one", "two"]
    assert find_front({}, is_better) == []


@pytest.mark.parametrize(("p", "bought"), [(0.03, False), (0.02, True)])
def test_the_front_is_corrected_for_how_many_are_compared(
    p: float, bought: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three beside the reference, each is compared with two others."""
    found = (Difference(-1.0, -2.0, -0.1, p), "settings", None)
    monkeypatch.setattr("medft.comparison.compare.Comparer", lambda *_: SimpleNamespace(compare=lambda *_: found))
    runs = [each for length in (64, 128, 256, 512) for each in runs_of(length, ONE, DOCUMENTS)]
    variants, _ = make_variants(runs, False, ())
    ratios = collect_metrics(variants)[0]["loss"]
    _, front, _, kinds = _find_front(variants[1:], variants[0], ratios, {}, "loss")  # the reference has diverged
    assert (len(front), kinds) == (3 if bought else 1, {"settings"})


@pytest.mark.parametrize(("shift", "front"), [(-9, ["max_length=64", "max_length=256"]), (9, ["max_length=64"])])
def test_the_reference_is_on_the_front_where_it_is_worth_its_cost(shift: float, front: list[str]) -> None:
    names = [str(place) for place in range(16)]
    runs = []
    for length, by in ((64, 0.0), (256, shift)):
        nats = [[50 + place % 3 + by * (1 + place / 99) + seed / 9 for place in range(16)] for seed in range(3)]
        runs += runs_of(length, nats, names)
    options = Options(reference="max_length=256", metric="loss", with_baseline=False)
    assert compare(runs, options).front == front


def test_a_front_of_trained_models_is_called_so() -> None:
    """Two variants without a seed in common, each of which shares two with the reference."""
    names = [str(place) for place in range(16)]

    def of(length: int, shift: float, seeds: int) -> list:
        nats = [[50 + place % 3 + shift * (1 + place / 99) + seed / 9 for place in range(16)] for seed in range(seeds)]
        return runs_of(length, nats, names)

    runs = of(64, 0, 4)
    for length, shift, first in ((128, -1, 1), (256, -9, 3)):
        own = of(length, shift, 2)
        runs += [replace(each, params={**each.params, "seed": str(seed)}) for seed, each in enumerate(own, first)]
    comparison = compare(runs, Options(metric="loss", with_baseline=False))
    kinds = {each.kind for each in comparison.results["loss"].values() if each.difference}
    assert (kinds, comparison.front_kinds) == ({"settings"}, {"settings", "models"})


def test_the_front_is_of_operations_where_all_have_counted_them() -> None:
    runs = two_variants()
    for each in runs:
        each.metrics["cost/train_tflop"] = {"64": 5.0, "128": 4.0}[each.params["dataset.max_length"]]
    assert (compare(runs, Options()).front_cost, compare(runs, Options()).front) == ("train_tflop", ["max_length=128"])
    del runs[0].metrics["cost/train_tflop"]
    assert (compare(runs, Options()).front_cost, compare(runs, Options()).front) == ("train_tokens", ["max_length=64"])
    del runs[0].metrics["cost/train_tokens"]
    assert (compare(runs, Options()).front_cost, compare(runs, Options()).front) == ("", [])


def test_costs_are_means_and_missing_ones_missing() -> None:
    runs = two_variants()
    del runs[3].metrics["cost/train_seconds"]
    comparison = compare(runs, Options())
    assert comparison.costs["max_length=64"] == {"train_seconds": 15.0, "train_tokens": 64.0}
    assert comparison.costs["max_length=128"] == {"train_tokens": 128.0}


def test_judges_are_compared_on_what_all_have_scored() -> None:
    runs = two_variants()
    for each, scores in zip(runs, ([10, 20, 30, 40, None, 60], [20] * 6, [50, None, 50, 50, 50, 50], [70] * 6),
                            strict=True):  # fmt: skip
        verdicts(each.predictions, scores)
    comparison = compare(runs, Options())
    first, second = (comparison.result("judge/j", variant) for variant in comparison.trained)
    assert first is not None
    assert second is not None
    assert first.questions == second.questions == 4
    assert first.value.value == pytest.approx((15 + 25 + 30 + 40) / 4)
    assert second.difference is not None
    assert second.difference.value == pytest.approx(60 - 27.5)
    assert comparison.result("judge/j", comparison.variants[0]) is None  # before fine-tuning was not judged
    assert comparison.reliable == {"judge/j": None}  # three documents do not say
    assert "judge j: compared on the 4 of 6 questions that all have a score for" in comparison.notes


def test_judges_that_are_not_worth_it_or_not_the_same_are_called_so() -> None:
    runs = two_variants()
    for each in runs:
        verdicts(each.predictions, [50] * 6, good=False)
    comparison = compare(runs, Options())
    assert comparison.reliable == {"judge/j": False}
    assert any(
        note.startswith("judge j is UNRELIABLE: it puts the expected answer only 5.0") for note in comparison.notes
    )
    for each in runs[1:]:
        verdicts(each.predictions, [50] * 6)
    assert compare(runs, Options()).reliable == {"judge/j": False}, "in one run of four it was not"
    runs[0].tags["judge.j.identity"], runs[1].tags["judge.j.identity"] = "x", "y"
    comparison = compare(runs, Options())
    assert "judge/j" not in comparison.results
    assert any("judge j is not compared: runs had different judges of that name" in note for note in comparison.notes)
    with pytest.raises(
        InputError, match=r"judge=k: none of the runs has scores of a judge of that name \(there are: j"
    ):
        compare(runs, Options(judge="k"))


def test_answers_are_those_that_differ_most_and_some_at_random() -> None:
    runs = two_variants()
    for place, each in enumerate(runs[2].predictions):
        each.test.values["rougeL"] = 0.5 + place / 20
    comparison = compare(runs, Options(answers=3, with_baseline=False))
    assert [question.row.id for question in comparison.questions[:2]] == ["id5", "id4"]
    assert comparison.questions[2].why == "chosen at random"
    assert [answer.scores for answer in comparison.questions[0].answers] == [{"rougeL": 0.5}, {"rougeL": 0.75}]
    assert compare(runs, Options(answers=3)).questions[2].row.id == comparison.questions[2].row.id
    assert len(compare(runs, Options(answers=99)).questions) == 6
    assert compare(runs, Options(answers=0)).questions == []
