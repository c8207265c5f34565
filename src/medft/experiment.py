"""The story of a run, top to bottom: data, model, baseline, fit, generate, judge, track."""

import os
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from medft.config.schema import Config
from medft.console import say, warn
from medft.data.module import MedicalQA
from medft.data.splits import Splits, load_splits
from medft.data.tokenizer import Tokenizer, load_tokenizer
from medft.errors import InputError
from medft.evaluation.baseline import baseline_key, cached, weights_digest
from medft.evaluation.judges.base import Judge
from medft.evaluation.judging import judge_predictions
from medft.evaluation.loss import unigram_loss
from medft.evaluation.measure import Measurement, measure
from medft.evaluation.predictions import Prediction, make_predictions, write_jsonl, write_notebook_json
from medft.evaluation.summary import print_summary
from medft.model.build import build_model, context_length, parameter_counts
from medft.model.sources.resolve import resolve
from medft.tracking.figures import loss_curves
from medft.tracking.logger import TrackerLogger
from medft.tracking.store import ui_command
from medft.tracking.tracker import Tracker, tracked_run
from medft.training.fit import FitResult, device_name, fit


def run(config: Config) -> dict[str, float]:
    """Run one experiment and log it; returns its final metrics.

    Raises:
        InputError: what was asked for cannot be done; nothing was logged.
        MedftError: the run failed.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return _join(config)
    splits = load_splits(config.dataset)
    _announce(config, splits)
    judge = config.judge.prepare()
    network, tokenizer = _load_model(config)
    data = MedicalQA(config.dataset, splits, tokenizer, config.seed)
    _announce_cuts(data)
    device = device_name(config.trainer)
    with tracked_run(config, splits, device) as tracker:
        _log_setup(tracker, data, network)
        baseline = _baseline(config, splits, network, tokenizer, device)
        result = fit(config, network, data, TrackerLogger(tracker))
        tuned = measure(result.network.to(device), tokenizer, splits.test, config)
        metrics = _metrics(data, baseline, tuned, result)
        predictions = make_predictions(splits.test, baseline, tuned)
        _log_results(tracker, config, predictions, metrics, baseline, tuned)
        _log_model(tracker, config, result.network, tokenizer)
        if judge:
            metrics |= _judge(tracker, config, judge, predictions)
        print_summary(metrics, predictions)
        say(f"compare runs:  {ui_command(config)}")
        if judge is None and config.judge.name != "none":
            say(f"judge later:   medft judge run={tracker.run_id}")
        say(f"results:       {config.paths.output} (MLflow run {tracker.run_id})")
    return metrics


def _join(config: Config) -> dict[str, float]:
    """What the further processes of a distributed run do: train with the first one, and nothing else."""
    network, tokenizer = _load_model(config)
    data = MedicalQA(config.dataset, load_splits(config.dataset), tokenizer, config.seed)
    fit(config, network, data, None)
    return {}


def _announce(config: Config, splits: Splits) -> None:
    counts = ", ".join(f"{len(rows)} {part}" for part, rows in splits.parts().items())
    say(f"data: {config.dataset.name}, {splits.size_used} of {splits.available} rows ({counts})")
    if config.dataset.size and config.dataset.size > splits.size_used:
        warn(f"dataset.size={config.dataset.size} is more than there is: {splits.size_used} rows are used")
    if splits.leaking:
        warn("dataset.split.train_on_all=true: test questions are trained on, scores say nothing about new ones")


def _announce_cuts(data: MedicalQA) -> None:
    for part, cuts in data.cuts.items():
        lost = cuts.answer_tokens_lost / max(1, cuts.answer_tokens)
        say(
            f"{part}: {cuts.answers_cut} of {cuts.rows} answers cut at dataset.max_length={data.config.max_length} "
            f"({lost:.1%} of answer tokens lost), {cuts.unsupervised} rows left out with nothing to learn"
        )


def _load_model(config: Config) -> tuple[PreTrainedModel, Tokenizer]:
    """The model before fine-tuning, with its tokenizer."""
    model = config.model
    directory = resolve(model, config.paths.cache)
    tokenizer = load_tokenizer(model.tokenizer, directory, model.end_token_id, model.pad_token_id)
    network = build_model(model, directory, tokenizer, config.seed)
    if config.dataset.max_length > context_length(network):
        raise InputError(
            f"dataset.max_length={config.dataset.max_length}: model={model.name} reads "
            f"{context_length(network)} tokens at most"
        )
    return network, tokenizer


def _log_setup(tracker: Tracker, data: MedicalQA, network: PreTrainedModel) -> None:
    numbers: dict[str, object] = {"parameters": parameter_counts(network)["total"]}
    for part, cuts in data.cuts.items():
        numbers |= {f"cuts.{part}.{name}": value for name, value in vars(cuts).items()}
    tracker.set_tags({key: str(value) for key, value in numbers.items()})


def _baseline(
    config: Config, splits: Splits, network: PreTrainedModel, tokenizer: Tokenizer, device: str
) -> Measurement | None:
    if not config.evaluation.baseline:
        return None
    key = baseline_key(config, splits, weights_digest(network), device)
    measured = cached(
        key, config.paths.cache, lambda: measure(network.to(device), tokenizer, splits.test, config)  # type: ignore[arg-type]
    )
    network.to("cpu")  # type: ignore[arg-type]
    return measured


def _metrics(data: MedicalQA, baseline: Measurement | None, tuned: Measurement, result: FitResult) -> dict[str, float]:
    """All final metrics but the judge's, under their logged names."""
    measured = {"baseline": baseline, "test": tuned}
    metrics = {f"{side}/{name}": value for side, found in measured.items() if found for name, value in found.summary().items()}
    tokenizer = data.tokenizer
    test = [[*tokenizer.encode(row.output), tokenizer.end_token_id] for row in data.splits.test]
    read = [ids[: row.tokens] for ids, row in zip(test, tuned.rows, strict=True)]
    metrics["reference/unigram_loss"] = unigram_loss(data.train_answers(), read, tokenizer.vocab_size)
    return metrics | result.costs


def _log_results(
    tracker: Tracker,
    config: Config,
    predictions: Sequence[Prediction],
    metrics: dict[str, float],
    baseline: Measurement | None,
    tuned: Measurement,
) -> None:
    output = config.paths.output
    tracker.log_metrics(metrics)
    tracker.set_tags({"cuts.test.answers_cut": str(sum(row.cut > 0 for row in tuned.rows)),
                      "cuts.test.answer_tokens_lost": str(sum(row.cut for row in tuned.rows))})  # fmt: skip
    probes = {name: found.probes for name, found in (("before", baseline), ("after", tuned)) if found}
    tracker.log_json(output / "probes.json", probes)
    references = {key: metrics[key] for key in ("reference/unigram_loss", "baseline/loss", "test/loss") if key in metrics}
    curves = {name: tracker.history(name) for name in ("train/loss", "val/loss")}
    loss_curves(curves, references, output / "loss_curves.png")
    tracker.log_file(output / "loss_curves.png")
    _log_predictions(tracker, output, predictions)


def _log_predictions(tracker: Tracker, output: Path, predictions: Sequence[Prediction]) -> None:
    write_jsonl(predictions, output / "predictions.jsonl")
    write_notebook_json(predictions, output / "predictions.json")
    tracker.log_file(output / "predictions.jsonl")
    tracker.log_file(output / "predictions.json")


def _log_model(tracker: Tracker, config: Config, network: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Log the tuned model as a directory that transformers loads, unless `tracking.save_model=none`."""
    (config.paths.output / "checkpoints" / "best.safetensors").unlink(missing_ok=True)
    if config.tracking.save_model == "none":
        return
    folder = config.paths.output / "model"
    network.to("cpu").save_pretrained(folder)  # type: ignore[arg-type]
    tokenizer.save(folder)
    tracker.log_file(folder, "model")


def _judge(tracker: Tracker, config: Config, judge: Judge, predictions: Sequence[Prediction]) -> dict[str, float]:
    scores = judge_predictions(judge, predictions)
    tracker.log_metrics(scores)
    tracker.set_tags({f"judge.{judge.name}.{key}": value for key, value in judge.describe().items()})
    _log_predictions(tracker, config.paths.output, predictions)
    return scores
