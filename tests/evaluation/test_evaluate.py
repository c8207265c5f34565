"""Measuring a model: the loss by hand, answers that do not depend on the batch, and no training setting."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medft.config.schema import Config
from medft.data.encode import encode_examples
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import DataError
from medft.evaluation.evaluate import (
    Measurement,
    compute_answer_losses,
    compute_baseline_key,
    digest_weights,
    evaluate,
    load_or_compute,
)
from medft.evaluation.probes import load_probes
from medft.metrics.registry import METRICS, estimate_unigram_loss, summarize_answers
from medft.model.build import build_model
from medft.runs.splits import read_splits

TOKENIZER = Gpt2Tokenizer()


def network(config: Config, seed: int = 1) -> torch.nn.Module:
    built = build_model(config.model, None, TOKENIZER, seed).eval()
    for parameter in built.parameters():  # far from uniform, so that greedy choices are clear
        parameter.data.mul_(3)
    return built


def test_loss_is_that_of_transformers(tiny: Callable[..., Config]) -> None:
    config = tiny()
    model = network(config)
    rows = encode_examples(read_splits(config).test, TOKENIZER, "alpaca")
    for row, found in zip(rows, compute_answer_losses(model, rows, 1024), strict=True):
        ids = torch.tensor([row.prompt + row.answer])
        labels = ids.clone()
        labels[:, : len(row.prompt)] = -100
        assert found.tokens == len(row.answer)
        assert found.cut == 0
        assert found.nats / found.tokens == pytest.approx(
            float(model(input_ids=ids, labels=labels).loss.detach()), rel=1e-5
        )


def test_an_answer_is_as_long_as_its_words_are_many_in_every_script(tiny: Callable[..., Config]) -> None:
    config = tiny()
    rows = [replace(read_splits(config).test[0], output=text) for text in ("Gout hurts, often.", "痛风是一种疾病。")]
    encoded = encode_examples(rows, TOKENIZER, config.dataset.prompt)
    measured = evaluate(network(config), TOKENIZER, rows, encoded, config)
    assert [answer.expected_words for answer in measured.answers] == [3, 7]


def test_tokens_beyond_the_limit_are_counted(tiny: Callable[..., Config]) -> None:
    config = tiny()
    rows = encode_examples(read_splits(config).test, TOKENIZER, "alpaca")
    limit = max(len(row.prompt) for row in rows) + 10
    for row, found in zip(rows, compute_answer_losses(network(config), rows, limit), strict=True):
        assert found.tokens + found.cut == len(row.answer)
        assert found.tokens == limit - len(row.prompt)
    assert [found.tokens for found in compute_answer_losses(network(config), rows, 8)] == [0] * len(rows)


TRAINING = ["dataset.max_length=16", "dataset.loss_on=all", "dataset.collate=pad", "dataset.batch_size=1",
            "trainer.max_epochs=9", "optimizer.lr=1.0", "seed=7"]  # fmt: skip


def measure(model: torch.nn.Module, config: Config) -> Measurement:
    test = list(read_splits(config).test)
    return evaluate(model, TOKENIZER, test, encode_examples(test, TOKENIZER, config.dataset.prompt), config)


def key(config: Config, model: torch.nn.Module) -> str:
    test = list(read_splits(config).test)
    encoded = encode_examples(test, TOKENIZER, config.dataset.prompt)
    return compute_baseline_key(config, model, TOKENIZER, test, encoded, "cpu")


def test_no_training_setting_changes_what_is_measured(tiny: Callable[..., Config]) -> None:
    config = tiny()
    model = network(config)
    expected = measure(model, config)
    for setting in TRAINING:
        other = tiny(setting)
        assert measure(model, other) == expected, setting
        assert key(other, model) == key(config, model), setting


def test_baseline_key_follows_what_is_measured(tiny: Callable[..., Config]) -> None:
    settings = [
        "generation.max_new_tokens=5",
        "evaluation.max_length=99",
        "dataset.split.seed=1",
        "evaluation.probes=null",
    ]
    configs = [tiny(), *(tiny(setting) for setting in settings)]
    keys = {key(config, network(config)) for config in configs}
    keys.add(key(tiny(), network(tiny(), seed=2)))
    assert len(keys) == 6


def test_the_loss_is_a_mean_over_tokens_and_differences_are_paired(tiny: Callable[..., Config]) -> None:
    config = tiny("evaluation.max_length=1024")
    tuned, before = (measure(network(config, seed), config) for seed in (1, 2))
    documents = [str(place) for place in range(len(tuned.answers))]
    results = summarize_answers(before.answers, tuned.answers, documents)
    nats, tokens = (sum(getattr(row, name) for row in tuned.answers) for name in ("nats", "tokens"))
    text_bytes = sum(len(row.output.encode()) for row in read_splits(config).test)
    after = {name: result.after.value for name, result in results.items() if result.after}
    assert after["loss"] == pytest.approx(nats / tokens)
    assert after["perplexity"] == pytest.approx(math.exp(nats / tokens))
    assert after["bits_per_byte"] == pytest.approx(nats / math.log(2) / text_bytes)
    assert list(results) == [name for name, metric in METRICS.items() if metric.is_installed]
    for name, result in results.items():
        assert result.after is not None
        assert result.before is not None
        assert result.after.low <= result.after.value <= result.after.high, name
        if METRICS[name].function_of:
            assert result.difference is None
            continue
        difference = result.difference
        assert difference is not None
        assert difference.value == pytest.approx(result.after.value - result.before.value)
        assert difference.low <= difference.value <= difference.high
        assert 0 < difference.p <= 1
    assert results["perplexity"].after.low == pytest.approx(math.exp(results["loss"].after.low))
    unigram = estimate_unigram_loss([row.nats + 1 for row in tuned.answers], tuned.answers, documents)
    assert unigram.value == pytest.approx((nats + len(tuned.answers)) / tokens)
    alone = summarize_answers(None, tuned.answers, documents)["loss"]
    assert (alone.before, alone.difference) == (None, None)
    assert set(tuned.probes) == {probe.id for probe in load_probes("probes.yaml")}


def test_baseline_is_computed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    def compute() -> Measurement:
        calls.append(1)
        return Measurement([], {"p": "answer — é"})

    assert load_or_compute("k", tmp_path, compute) == load_or_compute("k", tmp_path, compute)
    assert len(calls) == 1
    assert "baseline: taken from" in capsys.readouterr().out


def test_weights_digest_sees_every_weight(tiny: Callable[..., Config]) -> None:
    model = network(tiny())
    before = digest_weights(model)
    assert digest_weights(network(tiny())) == before
    model.transformer.h[0].mlp.c_fc.bias.data[0] += 1e-6
    assert digest_weights(model) != before


def test_wrong_probes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="evaluation.probes=nowhere.yaml: no such file"):
        load_probes("nowhere.yaml")
    (tmp_path / "p.yaml").write_text("- id: x\n")
    with pytest.raises(DataError, match="not a list of probes"):
        load_probes(str(tmp_path / "p.yaml"))
    assert load_probes(None) == []
