"""Finished runs stay usable: also those of a version that knew fewer keys."""

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import yaml

from medft.config.schema import Config
from medft.experiment import run
from medft.runs.open import open_run


def test_a_run_of_an_older_version_is_read_with_defaults(tiny: Callable[..., Config]) -> None:
    config = tiny("generation.max_new_tokens=2", "judge=auto", "judge.host=http://127.0.0.1:9")
    run(config)
    run_id = json.loads((config.paths.output / "run.json").read_text())["run_id"]
    logged = yaml.safe_load((config.paths.output / "config.yaml").read_text())
    del logged["audit"], logged["dataset"]["split"]["from_run"]
    for key in ("on_bad_row", "max_row_bytes", "dedup", "near_threshold", "on_leak", "long_answers", "continuation"):
        del logged["dataset"][key]
    for key in ("prompt", "backoff", "reply_tokens", "concurrency", "cache", "repeats", "controls", "controls_seed"):
        del logged["judge"][key]
    artifacts = Path(mlflow.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    (artifacts / "config.yaml").write_text(yaml.safe_dump(logged))
    found = open_run(run_id, []).config
    assert found.dataset == config.dataset
    assert found.generation == config.generation
    assert found.judge.model_dump() == config.judge.model_dump()
    assert open_run(run_id, ["dataset.long_answers=split"]).config.dataset.long_answers == "split"
