"""Logging of results: metrics, predictions, verdicts, the model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medft.data.tokenizer import Tokenizer
from medft.evaluation.judges.base import Judge
from medft.evaluation.judging.metrics import JudgeResults, compare_judges
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
    tracker.set_tags(
        {"cuts.test.answers_cut": str(sum(cut > 0 for cut in cuts)), "cuts.test.answer_tokens_lost": str(sum(cuts))}
    )
    tracker.log_text("probes.json", json.dumps(probes, indent=2, ensure_ascii=False))
    _log_predictions(tracker, predictions)


def log_verdicts(
    tracker: Tracker, judge: Judge, predictions: Sequence[Prediction], results: JudgeResults
) -> dict[str, float]:
    """Log the description of a judge, its scores, and the predictions with its verdicts.

    Returns:
        The metrics that were logged: the judge's, and those of its agreement with others that have judged the run.
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
    for name, write in (("predictions.jsonl", write_jsonl), ("predictions.json", write_notebook_json)):
        write(predictions, tracker.folder / name)
        tracker.log_file(tracker.folder / name)
