"""The story of a run, top to bottom: data, model, baseline, fit, generate, judge, track."""

import os
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from medft.config.schema import Config
from medft.console import say, warn
from medft.data.audit.audit import audit
from medft.data.example import Example
from medft.data.module import MedicalQA
from medft.data.rows import SKIPPED_ROWS
from medft.data.splits import Splits, load_splits
from medft.data.tokenizer import Tokenizer, load_tokenizer
from medft.errors import InputError
from medft.evaluation.baseline import baseline_key, cached
from medft.evaluation.evaluate import Measurement, measure
from medft.evaluation.judging.judge_run import judge_predictions
from medft.evaluation.loss import unigram_losses
from medft.evaluation.predictions import make_predictions
from medft.evaluation.probes import load_probes
from medft.metrics.aggregate import measured_metrics
from medft.model.attention import check_flat
from medft.model.build import build_model, context_length, parameter_counts
from medft.model.finetune import check_targets
from medft.model.sources.resolve import resolve
from medft.report.audit_table import print_audit, warn_of_leaks
from medft.report.description import log_note
from medft.report.run_report import log_report
from medft.report.run_table import print_summary
from medft.runs.artifacts import log_audit, log_model, log_results, log_verdicts
from medft.runs.logger import TrackerLogger
from medft.runs.open import logged_split
from medft.runs.resume import earlier
from medft.runs.store import ui_command
from medft.runs.tracker import Tracker, tracked_run
from medft.training.fit import FitResult, check_devices, device_name, fit, forget


def run(config: Config) -> dict[str, float]:
    """Run one experiment and log it; returns its final metrics.

    Raises:
        InputError: what was asked for cannot be done; nothing was logged.
        MedftError: the run failed.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return _join(config)
    splits = read_splits(config, config.paths.output)
    known = earlier(config, splits)
    if known.metrics is not None:
        return known.metrics
    config = known.config
    _announce(config, splits)
    judge = config.judge.prepare()
    network, tokenizer = _load_model(config)
    data = MedicalQA(config.dataset, splits, tokenizer, config.seed, config.paths.cache)
    audited = audit(config, data, context_length(network))
    print_audit(audited)
    warn_of_leaks(audited, config.dataset.on_leak)
    device = device_name(config.trainer)
    _preflight(config, network)
    test = list(splits.test)
    if not config.trainer.resume_from:
        forget(config)  # what a failed attempt may have left in the same folder
    with tracked_run(config, splits, device, known.run_id) as tracker:
        _log_setup(tracker, data, network)
        log_audit(tracker, config.paths.output, audited, data)
        baseline = _baseline(config, test, network, tokenizer, device)
        result = fit(config, network, data, TrackerLogger(tracker))
        tuned = measure(result.network.to(device), tokenizer, test, config)
        _announce_test_cuts(config, tuned)
        predictions = make_predictions(test, baseline, tuned)
        metrics = _metrics(data, baseline, tuned, result, [row.document for row in predictions])
        probes = {name: found.probes for name, found in (("before", baseline), ("after", tuned)) if found}
        log_results(tracker, config.paths.output, metrics, predictions, probes)
        if config.tracking.save_model == "best":
            log_model(tracker, config.paths.output, result.network, tokenizer)
        if judge:
            scores = judge_predictions(judge, predictions, config.paths.cache)
            log_verdicts(tracker, config.paths.output, judge, predictions, scores)
            metrics |= scores
        log_report(tracker, config.paths.output, predictions)
        log_note(tracker)
    forget(config)
    print_summary(metrics, predictions)
    _say_where(config, tracker.run_id, judged=judge is not None)
    return metrics


def _join(config: Config) -> dict[str, float]:
    """What the further processes of a distributed run do: train with the first one, and nothing else."""
    splits = read_splits(config)
    network, tokenizer = _load_model(config)
    data = MedicalQA(config.dataset, splits, tokenizer, config.seed, config.paths.cache)
    fit(config, network, data, None)
    return {}


def read_splits(config: Config, folder: Path | None = None) -> Splits:
    """The rows of the run, split by rule or as another run had them; skipped rows are written to `folder`."""
    origin = config.dataset.split.from_run
    frozen = logged_split(config, origin) if origin else None
    skipped_to = folder / SKIPPED_ROWS if folder else None
    return load_splits(config.dataset, config.paths.cache, skipped_to, frozen)


def _say_where(config: Config, run_id: str, judged: bool) -> None:
    say(f"compare runs:  {ui_command(config)}")
    if not judged:
        say(f"judge later:   medft judge run={run_id} judge=ollama")
    say(f"read:          {config.paths.output / 'report.html'}")
    say(f"results:       {config.paths.output} (MLflow run {run_id})")


def _announce(config: Config, splits: Splits) -> None:
    counts = ", ".join(f"{len(rows)} {part}" for part, rows in splits.parts().items())
    say(f"data: {config.dataset.name}, {splits.size_used} of {splits.available} rows ({counts})")
    if config.dataset.size and config.dataset.size > splits.available:
        warn(f"dataset.size={config.dataset.size} is more than the {splits.available} rows there are: all are used")
    if splits.left_over:
        say(
            f"{splits.left_over} rows are left unused: their groups are on the test or validation side, where "
            "dataset.split.test and dataset.split.validation ask for fewer rows"
        )
    if splits.duplicates:
        say(f"{splits.duplicates} duplicates are left out (dataset.dedup={config.dataset.dedup})")
    if splits.leaking:
        warn("dataset.split.train_on_all=true: test questions are trained on, scores say nothing about new ones")


def _announce_test_cuts(config: Config, tuned: Measurement) -> None:
    cuts = [row.cut for row in tuned.rows]
    say(
        f"test: {sum(cut > 0 for cut in cuts)} of {len(cuts)} answers cut at "
        f"evaluation.max_length={config.evaluation.max_length} ({sum(cuts)} answer tokens not scored)"
    )


def _preflight(config: Config, network: PreTrainedModel) -> None:
    """What would fail later, found before a run is opened."""
    check_devices(config.trainer)
    load_probes(config.evaluation.probes)
    check_targets(network, config.finetune)
    if config.dataset.collate == "flatten":
        check_flat(network)


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
    config: Config, test: Sequence[Example], network: PreTrainedModel, tokenizer: Tokenizer, device: str
) -> Measurement | None:
    if not config.evaluation.baseline:
        return None
    key = baseline_key(config, network, tokenizer, test, device)
    measured = cached(
        key,
        config.paths.cache,
        lambda: measure(network.to(device), tokenizer, test, config),
    )
    network.to("cpu")
    return measured


def _metrics(
    data: MedicalQA, baseline: Measurement | None, tuned: Measurement, result: FitResult, documents: Sequence[str]
) -> dict[str, float]:
    """All final metrics but the judge's, under their logged names."""
    test = data.tokens["test"].answers()
    read = [ids[: row.tokens] for ids, row in zip(test, tuned.rows, strict=True)]
    unigram = unigram_losses(data.tokens["train"].answers(), read, data.tokenizer.vocab_size)
    return measured_metrics(baseline, tuned, unigram, documents) | result.costs
