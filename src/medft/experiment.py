"""The story of a run, top to bottom: data, model, baseline, fit, generate, judge, record, report."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from medft.config.defaults import describe_rate
from medft.config.schema import Config
from medft.console import say, say_stage, warn
from medft.data.audit import audit
from medft.data.encode import Encoded
from medft.data.example import Example
from medft.data.module import MedicalQA
from medft.data.splits import Splits
from medft.data.tokenizer import Tokenizer, load_tokenizer
from medft.errors import InputError
from medft.evaluation.evaluate import (
    Measurement,
    compute_baseline_key,
    compute_unigram_losses,
    evaluate,
    load_or_compute,
)
from medft.evaluation.judges.base import judge_of
from medft.evaluation.judging.early import judge_early
from medft.evaluation.judging.judge_run import judge_predictions
from medft.evaluation.predictions import list_groups, make_predictions
from medft.evaluation.probes import load_probes
from medft.metrics.registry import estimate_unigram_loss, list_missing_metrics, summarize_answers
from medft.metrics.statistics import Estimate
from medft.model.build import build_model, check_targets, count_parameters, get_context_length
from medft.model.sources.resolve import NOT_PINNED, find_commit, resolve
from medft.report.audit_table import print_audit, warn_of_leaks, write_audit
from medft.report.run_page import print_next_steps, print_summary, publish_report
from medft.runs.local_run import LocalRun
from medft.runs.logger import RunLogger
from medft.runs.metric_names import flatten_costs, flatten_results
from medft.runs.record import log_model, log_results, log_verdicts
from medft.runs.recorder import deliver_finished, record_run
from medft.runs.resume import claim_run
from medft.runs.splits import read_splits
from medft.runs.store import find_artifacts, tracking_uri
from medft.training.checkpoints import remove_checkpoints
from medft.training.fit import fit
from medft.training.precision import check_devices, choose_device
from medft.training.settling import settle_model
from medft.training.space import check_space


def run(config: Config) -> dict[str, float]:
    """Run one experiment and log it; returns its final metrics under their MLflow names.

    Raises:
        InputError: what was asked for cannot be done; nothing was logged.
        MedftError: the run failed.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return join(config)  # torchrun has started it
    say_stage("reading data")
    splits = read_splits(config, config.paths.output)
    with claim_run(config, splits) as earlier:
        if earlier.metrics is not None:
            if earlier.run and config.job.parent is None:
                deliver_finished(config, earlier.run)
                remove_checkpoints(earlier.config)
                say(f"results:       {earlier.run.folder} (run {earlier.run.run_id})")
            return earlier.metrics
        return _run(earlier.config, splits, earlier.run)


def _run(config: Config, splits: Splits, interrupted: LocalRun | None) -> dict[str, float]:
    """The stages of a run whose data are read and whose folder no other process has."""
    _announce_data(config, splits)
    judge = judge_of(config).prepare() if config.generation.max_new_tokens else None
    say_stage("loading the model")
    network, tokenizer = load_model(config)
    _announce_commit(config)
    config = settle_model(config, network, tokenizer)
    say(rate := describe_rate(config))
    say_stage("tokens")
    data = MedicalQA(config, splits, tokenizer, get_context_length(network))
    audited = audit(config, data)
    print_audit(audited)
    warn_of_leaks(audited, config.dataset.on_leak, config.dataset.dedup)
    device = choose_device(config.trainer)
    preflight(config, network)
    test, encoded = list(splits.test), list(data.tokens["test"])
    with record_run(config, splits, device, interrupted) as run:
        _log_setup(run, data, network, rate)
        for file in write_audit(run.folder, audited, data, {audited.max_length: audited.at_max_length}):
            run.log_file(file)
        with judge_early(judge, test, config.generation.max_new_tokens, config.paths.cache) as early:
            baseline = _measure_baseline(config, test, encoded, network, tokenizer, device)
            if early and baseline:
                early.add_baseline(baseline.answers)
            say_stage("training")
            fitted = fit(config, network, data, RunLogger(run))
            run.set_tags({
                "memory.tokens_per_forward": str(data.collate.tokens_per_forward),
                "memory.recompute_above": str(fitted.plan.recompute_above),
            })  # fmt: skip
            say_stage("measuring after training")
            tell = early.add if early else None
            tuned = evaluate(fitted.network.to(device), tokenizer, test, encoded, config, tell)
            cuts = [answer.cut for answer in tuned.answers]
            say(
                f"test: {sum(cut > 0 for cut in cuts)} of {len(cuts)} answers cut at {data.measured_length} tokens "
                f"(evaluation.max_length or the model's context; {sum(cuts)} answer tokens not scored)"
            )
            predictions = make_predictions(test, baseline.answers if baseline else None, tuned.answers)
            groups = list_groups(predictions)
            if not all(math.isfinite(answer.nats) for answer in tuned.answers):
                warn("the training diverged: test/loss is not a number; a lower optimizer.lr may help")
            results = summarize_answers(baseline.answers if baseline else None, tuned.answers, groups)
            metrics = flatten_results(results, _unigram_loss(data, tuned, groups))
            metrics |= flatten_costs(fitted.costs) if fitted.costs else {}
            probes = {name: each.probes for name, each in (("before", baseline), ("after", tuned)) if each}
            log_results(run, metrics, predictions, probes)
            if config.saves_model:
                log_model(run, fitted.network, tokenizer, config)
        if judge:
            say_stage(f"judging with {judge.name}")
            verdicts = judge_predictions(judge, predictions, config.paths.cache)
            metrics |= log_verdicts(run, judge, predictions, verdicts)
        say_stage("report")
        record = publish_report(run, predictions)
    remove_checkpoints(config)
    print_summary(record)
    print_next_steps(run, config, was_judged=judge is not None)
    return metrics


def join(config: Config) -> dict[str, float]:
    """Train with the first process of a distributed run, and do nothing else."""
    splits = read_splits(config)
    network, tokenizer = load_model(config)
    config = settle_model(config, network, tokenizer)
    data = MedicalQA(config, splits, tokenizer, get_context_length(network))
    fit(config, network, data, None)
    return {}


def _announce_data(config: Config, splits: Splits) -> None:
    counts = ", ".join(f"{len(rows)} {part}" for part, rows in splits.parts().items())
    say(f"data: {config.dataset.name}, {splits.size_used} of {splits.available} rows ({counts})")
    if splits.left_over:
        say(
            f"{splits.left_over} rows are left unused: their groups are on the test or validation side, where "
            "dataset.split.test and dataset.split.validation ask for fewer rows"
        )
    if config.dataset.train_seed is not None and not splits.train_left:
        warn("dataset.train_seed: all training rows are used anyway, so that it changes their order only")
    if splits.duplicates:
        say(f"{splits.duplicates} duplicates are left out (dataset.dedup={config.dataset.dedup})")
    if splits.leaking:
        warn("dataset.split.train_on_all=true: test questions are trained on, scores say nothing about new ones")
    for metric in list_missing_metrics():
        say(f"{metric.name} is not measured: pip install 'medft[{metric.extra}]'")


def _announce_commit(config: Config) -> None:
    """Say which weights of a model on the hub these are: the same name may stand for others tomorrow."""
    if commit := find_commit(config.model):
        pin = "" if config.model.revision or commit == NOT_PINNED else f"; model.revision={commit} keeps to it"
        say(f"model.source={config.model.source}: commit {commit}{pin}")


def preflight(config: Config, network: PreTrainedModel) -> None:
    """What would fail later, looked at before a run is opened."""
    check_devices(config.trainer)
    load_probes(config.evaluation.probes)
    check_targets(network, config.finetune)
    check_space(config, network, find_artifacts(tracking_uri(config), Path(config.paths.root_dir)))


def load_model(config: Config) -> tuple[PreTrainedModel, Tokenizer]:
    """The model before fine-tuning, with its tokenizer."""
    model = config.model
    directory = resolve(model, config.paths.cache)
    tokenizer = load_tokenizer(model, directory)
    network = build_model(model, directory, tokenizer, config.seed)
    if config.dataset.max_length > get_context_length(network):
        raise InputError(
            f"dataset.max_length={config.dataset.max_length}: model={model.name} reads "
            f"{get_context_length(network)} tokens at most"
        )
    return network, tokenizer


def _log_setup(run: LocalRun, data: MedicalQA, network: PreTrainedModel, rate: str) -> None:
    facts: dict[str, object] = {"parameters": count_parameters(network)["total"], "learning_rate": rate}
    for part, cuts in data.cuts.items():
        facts |= {f"cuts.{part}.{name}": value for name, value in vars(cuts).items()}
    run.set_tags({key: str(value) for key, value in facts.items()})


def _measure_baseline(
    config: Config, test: list[Example], encoded: list[Encoded], network: Any, tokenizer: Tokenizer, device: str
) -> Measurement | None:
    if not config.evaluation.baseline:
        return None
    say_stage("measuring before training (baseline)")
    key = compute_baseline_key(config, network, tokenizer, test, encoded, device)
    measurement = load_or_compute(
        key, config.paths.cache, lambda: evaluate(network.to(device), tokenizer, test, encoded, config)
    )
    network.to("cpu")
    return measurement


def _unigram_loss(data: MedicalQA, tuned: Measurement, groups: Sequence[str]) -> Estimate:
    """The loss of knowing word frequencies only, over the tokens that the tuned model's loss has read."""
    test = data.tokens["test"].iterate_answers()
    read = [ids[: answer.tokens] for ids, answer in zip(test, tuned.answers, strict=True)]
    nats = compute_unigram_losses(data.tokens["train"].iterate_answers(), read, data.tokenizer.vocab_size)
    return estimate_unigram_loss(nats, tuned.answers, groups)
