"""What a run logs once it is measured: metrics, predictions, verdicts, the model."""

from collections.abc import Mapping, Sequence
from typing import Any

from medft.data.tokenizer import Tokenizer
from medft.evaluation.judges.base import Judge
from medft.evaluation.judging.agreement import compare_judges
from medft.evaluation.judging.metrics import JudgeResults
from medft.evaluation.predictions import Prediction, write_jsonl, write_notebook_json
from medft.runs.metric_names import flatten_judge
from medft.runs.tracker import Tracker

IDENTITY = "identity"  # the tag judge.<name>.identity tells two judges of one name apart
_RELIABLE = {True: "reliable", False: "unreliable", None: "unknown"}


def log_results(
    tracker: Tracker,
    metrics: Mapping[str, float],
    predictions: Sequence[Prediction],
    probes: Mapping[str, Mapping[str, str]],
) -> None:
    """Log final metrics, predictions, and the answers to the probes, before and after."""
    tracker.log_metrics(metrics)
    cuts = [row.test.cut for row in predictions]
    counted = {"answers_cut": sum(cut > 0 for cut in cuts), "answer_tokens_lost": sum(cuts)}
    tracker.set_tags({f"cuts.test.{name}": str(value) for name, value in counted.items()})
    tracker.log_json("probes.json", probes)
    _log_predictions(tracker, predictions)


def log_verdicts(
    tracker: Tracker, judge: Judge, predictions: Sequence[Prediction], results: JudgeResults
) -> dict[str, float]:
    """Log what is known of a judge, then its scores, and the predictions with its verdicts.

    Returns:
        The metrics that were logged: of the judge, and of its agreement with others that have judged the run.
    """
    facts = {**judge.describe(), IDENTITY: judge.identity()}
    facts["controls"] = f"{_RELIABLE[results.reliability.reliable]}: {results.reliability.why}"
    tracker.set_tags({f"judge.{judge.name}.{key}": value for key, value in facts.items()})
    agreements = [agreement for agreement in compare_judges(predictions) if judge.name in agreement.judges]
    metrics = flatten_judge(results, agreements)
    tracker.log_metrics(metrics)
    _log_predictions(tracker, predictions)
    return metrics


def log_model(tracker: Tracker, network: Any, tokenizer: Tokenizer) -> None:
    """Log the tuned model and its tokenizer as a directory that transformers loads."""
    folder = tracker.folder / "model"
    network.to("cpu").save_pretrained(folder)
    tokenizer.save(folder)
    tracker.log_file(folder, "model")


def _log_predictions(tracker: Tracker, predictions: Sequence[Prediction]) -> None:
    """Log predictions.jsonl and, in the notebook's format, predictions.json."""
    tracker.folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(predictions, tracker.folder / "predictions.jsonl")
    write_notebook_json(predictions, tracker.folder / "predictions.json")
    tracker.log_file(tracker.folder / "predictions.jsonl")
    tracker.log_file(tracker.folder / "predictions.json")
