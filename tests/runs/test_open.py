"""Finished runs can be opened: their config with overrides on top, and their files."""

import json
from collections.abc import Callable

import pytest

from medft.config.schema import Config
from medft.errors import InputError
from medft.experiment import run
from medft.runs.open import open_run
from medft.runs.record import read_record


def test_a_run_is_read_whole_with_overrides(tiny: Callable[..., Config]) -> None:
    config = tiny("generation.max_new_tokens=2")
    metrics = run(config)
    run_id = json.loads((config.paths.output / "run.json").read_text())["run_id"]
    opened = open_run(run_id, ["dataset.long_answers=split", "judge=ollama"])
    assert opened.config.generation == config.generation
    assert opened.config.dataset.long_answers == "split"
    assert opened.config.judge.name == "ollama"
    record = read_record(opened.tracker)
    assert record.results["loss"].after is not None
    assert record.results["loss"].after.value == pytest.approx(metrics["test/loss"])
    assert len(record.predictions) == 7
    assert record.audit is not None
    with pytest.raises(InputError, match="nothing.txt"):
        opened.tracker.artifact("nothing.txt")
    with pytest.raises(InputError, match="dataset.nonsense: no such key in the run's config"):
        open_run(run_id, ["dataset.nonsense=1"])
