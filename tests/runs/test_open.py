"""Finished runs can be opened: their config with overrides on top, and their files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medft.errors import InputError
from medft.runs.open import open_run
from medft.runs.record import read_record
from tests.finished import Finished


def test_a_run_is_read_whole_with_overrides(finished: Callable[..., Finished], tmp_path: Path) -> None:
    made = finished().copied_to(tmp_path)
    run_id, metrics = made.run_id, made.metrics
    opened = open_run(run_id, ["dataset.long_answers=split", "judge=ollama"])
    assert opened.config.generation == made.config.generation
    assert opened.config.dataset.long_answers == "split"
    assert opened.config.judge.name == "ollama"
    record = read_record(opened.stored)
    assert record.results["loss"].after is not None
    assert record.results["loss"].after.value == pytest.approx(metrics["test/loss"])
    assert len(record.predictions) == 7
    assert record.audit is not None
    with pytest.raises(InputError, match="nothing.txt"):
        opened.stored.artifact("nothing.txt")
    with pytest.raises(InputError, match="dataset.nonsense: no such key in the run's config"):
        open_run(run_id, ["dataset.nonsense=1"])
