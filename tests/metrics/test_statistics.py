"""Error bars: intervals cover as often as they say, and the test rejects as seldom as it says."""

import math

import numpy as np
import pytest

from medft.metrics.statistics import Estimate, Ratio, compute_sign_flip_p, compute_smallest_p

# how many data sets are simulated: a hundred find out what is plainly wrong, a thousand what is slightly so
simulated = pytest.mark.parametrize("data_sets", [100, pytest.param(1_000, marks=pytest.mark.slow)])

Simulated = tuple[np.ndarray, list[str], np.ndarray]


def clustered(kind: str, documents: int, random: np.random.Generator) -> Simulated:
    """(sums, document, counts) of questions in documents of unequal size; those of one document are alike."""
    sizes = 1 + random.geometric(0.3, documents)
    place = np.repeat(np.arange(documents), sizes)
    latent = random.normal(0, 1, documents)[place]
    own = random.normal(0, 1, len(place))
    values = {
        "score": np.clip(np.round((30 + 25 * latent + 25 * own) / 5) * 5, 0, 100),  # a judge's fives, many zeros
        "share": (latent + own > 1.0).astype(float),
        "rare": (latent + own > 2.6).astype(float),  # 3 in 100
        "loss": np.exp(0.8 + 0.2 * latent + 0.2 * own),  # nats a token
    }[kind]
    # answers of very unequal length, and longer ones are easier to predict
    counts = np.ceil(np.exp(4.5 - 0.3 * latent + 0.8 * random.normal(0, 1, len(place)))) if kind == "loss" else 1.0
    return values * counts, [str(number) for number in place], np.ones(len(place)) * counts


BOUNDS = {"score": (0.0, 100.0), "share": (0.0, 1.0), "rare": (0.0, 1.0), "loss": (0.0, math.inf)}


def truth(kind: str) -> float:
    """The mean over questions of very many documents."""
    sums, _, counts = clustered(kind, 400_000, np.random.default_rng(1))
    return float(sums.sum() / counts.sum())


@simulated
@pytest.mark.parametrize("documents", [30, 100])
@pytest.mark.parametrize("kind", ["score", "share", "rare", "loss"])
def test_the_interval_covers_the_truth_95_times_in_100(kind: str, documents: int, data_sets: int) -> None:
    random, mean, covered = np.random.default_rng(documents), truth(kind), 0
    for _ in range(data_sets):
        sums, names, counts = clustered(kind, documents, random)
        found = Ratio.of(sums.tolist(), names, counts, BOUNDS[kind]).estimate()
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= mean <= found.high
    print(f"coverage, {kind}, {documents} documents: {covered / data_sets:.3f}")
    assert covered / data_sets == pytest.approx(0.95, abs=0.02 if data_sets == 1_000 else 0.05)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_not_a_number_has_no_interval_and_no_p(broken: float) -> None:
    names = list("aabbccddee")
    diverged = Ratio.of([1.0] * 9 + [broken], names, bounds=(0.0, math.inf))
    assert (diverged.estimate().low, diverged.estimate().high) == (None, None)
    difference = diverged.subtract(Ratio.of([1.0] * 10, names, bounds=(0.0, math.inf)))
    assert (difference.low, difference.high, difference.p) == (None, None, None)


def test_an_interval_that_ignores_documents_would_be_found_out() -> None:
    """The same simulation, each question taken for a document of its own: the test above can fail."""
    random, mean, covered = np.random.default_rng(30), truth("score"), 0
    for _ in range(100):
        values, names, _ = clustered("score", 30, random)
        found = Ratio.of(values.tolist(), [f"{place}" for place in range(len(names))], bounds=(0, 100)).estimate()
        covered += (found.low or 0) <= mean <= (found.high or 0)
    assert covered < 90


@simulated
@pytest.mark.parametrize("documents", [30, 100])
def test_the_permutation_test_rejects_5_times_in_100_where_nothing_differs(documents: int, data_sets: int) -> None:
    random, rejected = np.random.default_rng(documents + 1), 0
    for _ in range(data_sets):
        before, names, _ = clustered("score", documents, random)
        place = np.array([int(name) for name in names])
        shift = random.normal(0, 10, documents)[place] + random.normal(0, 15, len(place))  # alike within a document
        after, before = before + shift / 2, before - shift / 2
        p = Ratio.of(after.tolist(), names).subtract(Ratio.of(before.tolist(), names)).p
        rejected += p <= 0.05
    print(f"false positives, {documents} documents: {rejected / data_sets:.3f}")
    assert rejected / data_sets == pytest.approx(0.05, abs=0.015 if data_sets == 1_000 else 0.05)


def test_a_difference_there_is_is_found() -> None:
    random, found = np.random.default_rng(3), 0
    for _ in range(100):
        values, names, _ = clustered("score", 30, random)
        shifted = values + 8 + random.normal(0, 10, len(values))
        found += Ratio.of(shifted.tolist(), names).subtract(Ratio.of(values.tolist(), names)).p <= 0.05
    assert found > 90


def test_by_hand() -> None:
    names = ["a", "a", "b", "c"]
    ratio = Ratio.of([10, 20, 60, 30], names, counts=[1, 1, 2, 1])
    assert ratio.estimate().value == 120 / 5
    # three documents, two of which say more and one less: 8 ways to flip, 4 of them at least as far from 0
    assert compute_sign_flip_p(np.array([3.0, 2.0, -1.0])) == pytest.approx(4 / 8)
    assert compute_sign_flip_p(np.array([1.0] * 6)) == pytest.approx(2 / 64)
    difference = ratio.subtract(Ratio.of([5, 15, 50, 20], names, counts=[1, 1, 2, 1]))
    assert difference.value == pytest.approx(30 / 5)
    assert difference.p == pytest.approx(2 / 8)


def test_random_flips_agree_with_all_flips() -> None:
    sums = np.random.default_rng(5).normal(0.4, 1, 13)
    exact = compute_sign_flip_p(sums)
    assert compute_sign_flip_p(np.append(sums, 0.0)) == pytest.approx(exact, abs=0.02)  # 14 documents: drawn at random


def test_no_p_is_nothing() -> None:
    """Of so many groups no random flip is as far as what was seen, which is one of them itself."""
    assert compute_sign_flip_p(np.ones(40)) == compute_smallest_p(40) == 1 / 10_001


def test_where_nothing_varies_the_bounds_speak() -> None:
    found = Ratio.of([0.0] * 50, [str(number) for number in range(50)], bounds=(0, 1)).estimate()
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.0747, abs=0.0001)  # none of 50 is not never: t²/(50 + t²)
    alike = Ratio.of([0.5] * 50, [str(number) for number in range(50)], bounds=(0, 1)).estimate()
    assert alike.high == pytest.approx(0.5 + 0.5 * (1 - 0.025 ** (1 / 50)))
    assert Ratio.of([0.3] * 50, [str(n) for n in range(50)]).estimate() == Estimate(pytest.approx(0.3))


def test_few_documents_are_wide_and_one_says_nothing() -> None:
    one = Ratio.of([1.0, 2.0, 3.0], ["a", "a", "a"], bounds=(0, 10)).estimate()
    assert one == Estimate(2.0)
    assert (one.value, one.low, one.high) == (2.0, None, None)
    # one of 30 is wider than none of 30, and both have an end that is not 0
    none, some = (
        Ratio.of([1.0] * hits + [0.0] * (30 - hits), [str(n) for n in range(30)], bounds=(0, 1)).estimate()
        for hits in (0, 1)
    )
    assert 0.1 < (none.high or 0) < (some.high or 0) < 0.25
    two = Ratio.of([1.0, 3.0], ["a", "b"], bounds=(0, 10)).estimate()
    assert (two.low, two.high) == (0.0, 10.0)
    four = Ratio.of([1.0, 2.0, 3.0, 4.0], list("abcd")).estimate()
    assert (four.low, four.high) == (pytest.approx(2.5 - 3.182 * 0.6455, abs=0.01), pytest.approx(4.554, abs=0.01))


def test_intervals_stay_inside_the_bounds_and_are_the_same_every_time() -> None:
    random = np.random.default_rng(0)
    values = (random.random(40) > 0.9).astype(float).tolist()
    ratio = Ratio.of(values, [str(number) for number in range(40)], bounds=(0, 1))
    found = ratio.estimate()
    assert found == ratio.estimate()
    assert found.low is not None and found.high is not None
    assert 0 <= found.low < found.value < found.high <= 1


def test_pairing_needs_the_same_rows() -> None:
    with pytest.raises(ValueError, match="same rows"):
        Ratio.of([1.0], ["a"]).subtract(Ratio.of([1.0], ["b"]))
    with pytest.raises(ValueError, match="same rows"):
        Ratio.of([1.0], ["a"], counts=[2]).subtract(Ratio.of([1.0], ["a"]))
    assert math.isnan(Ratio.of([0.0], ["a"], counts=[0]).estimate().value)
