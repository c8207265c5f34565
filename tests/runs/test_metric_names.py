"""Typed results become MLflow's flat names, and come back as they were."""

from dataclasses import replace

from medft.evaluation.judging.human import JudgeAgreement, Mark, summarize_marks
from medft.evaluation.judging.metrics import Agreement, summarize_judge
from medft.metrics.registry import BeforeAfter, summarize_answers
from medft.metrics.statistics import Difference, Estimate
from medft.runs.metric_names import (
    flatten_costs,
    flatten_estimate,
    flatten_human,
    flatten_judge,
    flatten_results,
    read_costs,
    read_estimate,
    read_results,
)
from medft.training.fit import TrainingCosts
from tests.comparison.helpers import row, verdicts


def test_an_estimate_comes_back() -> None:
    for estimate in (Estimate(1.0), Estimate(1.0, 0.5, 2.0), Difference(-1.0, -2.0, 0.5, 0.25)):
        assert read_estimate(flatten_estimate("k", estimate), "k") == estimate
    assert set(flatten_estimate("k", Difference(-1.0, -2.0, 0.5, 0.25))) == {"k", "k_ci_low", "k_ci_high", "k_p"}
    assert flatten_estimate("k", None) == {}
    assert read_estimate({}, "k") is None


def test_results_and_costs_come_back() -> None:
    rows = [row(place, document) for place, document in enumerate("aabbcc")]
    documents = [each.document for each in rows]
    results = summarize_answers([each.scores("baseline") for each in rows], [each.test for each in rows], documents)
    flat = flatten_results(results, Estimate(3.0, 2.0, 4.0))
    assert read_results(flat) == results
    assert {"test/loss", "baseline/perplexity", "difference/rougeL_p", "reference/unigram_loss_ci_low"} <= set(flat)
    assert "difference/perplexity" not in flat
    alone = summarize_answers(None, [each.test for each in rows], documents)
    assert read_results(flatten_results(alone, Estimate(3.0))) == alone
    assert isinstance(alone["loss"], BeforeAfter)
    costs = TrainingCosts(1.0, 2.0, 3.0, 4.0, 5.0, mfu=0.4)
    assert set(flatten_costs(costs)) == {f"cost/{name}" for name in vars(costs)}
    assert "cost/mfu" not in flatten_costs(replace(costs, mfu=None))
    assert read_costs(flatten_costs(costs)) == vars(costs)


def test_a_judge_has_its_names() -> None:
    rows = [row(place, document) for place, document in enumerate("abcdefgh")]
    verdicts(rows, [50.0] * 8)
    agreement = Agreement(("i", "j"), 8, None, Difference(1.0, 0.5, 2.0, 0.1))
    flat = flatten_judge(summarize_judge("j", rows), [agreement])
    assert (flat["judge/j/score"], flat["judge/j/scored"], flat["judge/j/reliable"]) == (50.0, 8.0, 1.0)
    assert {"judge/j/control_expected_ci_low", "agreement/i_j/bias_p", "agreement/i_j/answers"} <= set(flat)
    assert "judge/j/baseline_score" not in flat
    assert "agreement/i_j/spearman" not in flat  # one of the two gives every answer the same


def test_marks_by_people_have_names_of_their_own() -> None:
    rows = [row(place, document) for place, document in enumerate("aabbcc")]
    marks = [Mark(f"id{place}", "better" if place else "equal", "Ana", "", "after") for place in range(6)]
    results = summarize_marks(marks, rows)
    assert results is not None
    flat = flatten_human(results)
    assert flat["human/better"] == 5 / 6
    assert (flat["human/marks"], flat["human/questions"], flat["human/people"]) == (6, 6, 1)
    assert {"human/worse", "human/equal_ci_low", "human/better_ci_high"} <= set(flat)
    share = Estimate(0.5, 0.25, 0.75)
    flat = flatten_human(replace(results, agreement=[JudgeAgreement("j", share, 4), JudgeAgreement("k", None, 0)]))
    assert read_estimate(flat, "human/agreement_j") == share
    assert flat["human/agreement_k_pairs"] == 0
    assert "human/agreement_k" not in flat
