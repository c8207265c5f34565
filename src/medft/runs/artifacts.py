"""What a run logs once it is measured: metrics, predictions, figure, model, verdicts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medft.data.audit.audit import Audit
from medft.data.module import MedicalQA
from medft.data.samples import TruncationStats
from medft.data.tokenizer import Tokenizer
from medft.evaluation.judges.base import Judge
from medft.evaluation.judging.controls import reliability
from medft.evaluation.predictions import Prediction, write_jsonl, write_notebook_json
from medft.report.plots import REFERENCE_LOSSES, length_histogram, loss_curves
from medft.runs.tracker import Tracker

IDENTITY = "identity"  # the tag judge.<name>.identity tells two judges of one name apart
_RELIABLE = {True: "reliable", False: "unreliable", None: "unknown"}


def log_audit(tracker: Tracker, output: Path, audit: Audit, data: MedicalQA) -> None:
    """Log what was found in the data before training: audit.json and its picture."""
    for file in write_audit(output, audit, data, {audit.max_length: audit.at_max_length}):
        tracker.log_file(file)


def write_audit(folder: Path, audit: Audit, data: MedicalQA, cuts: Mapping[int, TruncationStats]) -> list[Path]:
    """Write audit.json and audit.png, the histogram of lengths with a line for each of `cuts`; returns both."""
    files = [folder / "audit.json", folder / "audit.png"]
    files[0].write_text(json.dumps(audit.to_dict(), indent=2, ensure_ascii=False), encoding="utf-8")
    lengths = {name: tokens.prompt_lengths + tokens.answer_lengths for name, tokens in data.tokens.items()}
    length_histogram(lengths, cuts).savefig(files[1])
    return files


def log_results(
    tracker: Tracker,
    output: Path,
    metrics: Mapping[str, float],
    predictions: Sequence[Prediction],
    probes: Mapping[str, Mapping[str, str]],
) -> None:
    """Log final metrics, loss curves, predictions and the answers to the probes, before and after."""
    tracker.log_metrics(metrics)
    cuts = [int(each.metrics["test"]["cut"]) for each in predictions]
    counted = {"answers_cut": sum(cut > 0 for cut in cuts), "answer_tokens_lost": sum(cuts)}
    tracker.set_tags({f"cuts.test.{name}": str(value) for name, value in counted.items()})
    tracker.log_json(output / "probes.json", probes)
    figure = loss_curves(tracker.losses(), {key: metrics[key] for key in REFERENCE_LOSSES if key in metrics})
    figure.savefig(output / "loss_curves.png")
    tracker.log_file(output / "loss_curves.png")
    log_predictions(tracker, output, predictions)


def log_predictions(tracker: Tracker, output: Path, predictions: Sequence[Prediction]) -> None:
    """Log predictions.jsonl and, in the first users' format, predictions.json."""
    output.mkdir(parents=True, exist_ok=True)
    write_jsonl(predictions, output / "predictions.jsonl")
    write_notebook_json(predictions, output / "predictions.json")
    tracker.log_file(output / "predictions.jsonl")
    tracker.log_file(output / "predictions.json")


def log_verdicts(
    tracker: Tracker, output: Path, judge: Judge, predictions: Sequence[Prediction], scores: Mapping[str, float]
) -> None:
    """Log what is known of a judge, then its scores, and the predictions with its verdicts."""
    facts = {**judge.describe(), IDENTITY: judge.identity()}
    found = reliability(judge.name, predictions)
    facts["controls"] = f"{_RELIABLE[found.reliable]}: {found.why}"
    tracker.set_tags({f"judge.{judge.name}.{key}": value for key, value in facts.items()})
    tracker.log_metrics(scores)
    log_predictions(tracker, output, predictions)


def log_model(tracker: Tracker, output: Path, network: Any, tokenizer: Tokenizer) -> None:
    """Log the tuned model and its tokenizer as a directory that transformers loads."""
    folder = output / "model"
    network.to("cpu").save_pretrained(folder)
    tokenizer.save(folder)
    tracker.log_file(folder, "model")
