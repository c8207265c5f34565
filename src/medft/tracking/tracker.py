"""The one door to MLflow: starting a run, ending it with the right status, and logging to it."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from medft.config.schema import Config
from medft.console import warn
from medft.data.splits import Splits
from medft.errors import InputError
from medft.tracking.provenance import code_tags, config_hash, flatten
from medft.tracking.store import connect, experiment_id, tracking_uri

_PARAM_LIMIT = 6000  # characters of a value that MLflow keeps


class Tracker:
    """Logs to one MLflow run."""

    def __init__(self, client: Any, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log values under their exact names."""
        import mlflow

        mlflow.log_metrics(dict(metrics), step=step, run_id=self.run_id, synchronous=True)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log parameters whole; what MLflow would cut stands in config.yaml only, and says so."""
        import mlflow

        for key, value in params.items():
            if len(value) > _PARAM_LIMIT:
                warn(f"{key} is longer than an MLflow parameter may be; it stands whole in the artifact config.yaml")
        whole = {key: value for key, value in params.items() if len(value) <= _PARAM_LIMIT}
        mlflow.log_params(whole, run_id=self.run_id)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, value)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file or a whole directory as an artifact."""
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), artifact_path=folder)
        else:
            self.client.log_artifact(self.run_id, str(path), artifact_path=folder)

    def log_json(self, path: Path, content: Any) -> None:
        """Write plain data as JSON into the run's folder and log it."""
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
        self.log_file(path)

    def history(self, metric: str) -> list[tuple[int, float]]:
        """(step, value) of a metric so far, by step."""
        points = self.client.get_metric_history(self.run_id, metric)
        points = sorted(points, key=lambda point: point.timestamp)  # a resumed run has logged some steps twice
        return sorted({point.step: point.value for point in points}.items())

    def losses(self) -> dict[str, list[tuple[int, float]]]:
        """`train/loss` and `val/loss` so far, as (step, value)."""
        return {name: self.history(name) for name in ("train/loss", "val/loss")}


@contextmanager
def tracked_run(config: Config, splits: Splits, device: str) -> Iterator[Tracker]:
    """A run that is RUNNING inside the context, and FINISHED, FAILED or KILLED after it."""
    import mlflow

    client = connect(config)
    resumed = _interrupted_run(config, splits)
    run = mlflow.start_run(
        run_id=resumed,
        experiment_id=None if resumed else experiment_id(client, config),
        run_name=None if resumed else config.tracking.run_name or _run_name(config),
        log_system_metrics=config.tracking.system_metrics,
    )
    tracker = Tracker(client, run.info.run_id)
    try:
        _describe(tracker, config, splits, device, is_new=resumed is None)
        yield tracker
    except KeyboardInterrupt:
        mlflow.end_run("KILLED")
        raise
    except BaseException as error:
        with contextlib.suppress(Exception):  # what went wrong may be the store itself
            tracker.set_tags({"error": f"{type(error).__name__}: {error}"[:5000]})
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run("FINISHED")


def _describe(tracker: Tracker, config: Config, splits: Splits, device: str, is_new: bool) -> None:
    """Log what is known before training: config, tags, data."""
    output = config.paths.output
    output.mkdir(parents=True, exist_ok=True)
    digest = config_hash(config.resolved)
    run_json = {
        "run_id": tracker.run_id,
        "config_hash": digest,
        "dataset_fingerprint": splits.fingerprint,
        "tracking_uri": tracking_uri(config),
        "output_dir": str(output),
    }
    (output / "run.json").write_text(json.dumps(run_json, indent=2), encoding="utf-8")
    tags = {
        "config_hash": digest,
        "dataset.fingerprint": splits.fingerprint,
        "device": device,
        "leaking": str(splits.leaking).lower(),
        "output_dir": str(output),
        "command": " ".join(["medft train", *sys.argv[1:]]),
    }
    own = {key: str(value) for key, value in config.tracking.tags.items()}
    tracker.set_tags({**code_tags(), **tags, **own})
    if is_new:
        tracker.log_params({**dict(flatten(config.resolved)), "dataset.size_used": str(splits.size_used)})
        _log_inputs(config, splits)
    config_yaml = output / "config.yaml"
    config_yaml.write_text(yaml.safe_dump(config.resolved, sort_keys=False, allow_unicode=True), encoding="utf-8")
    tracker.log_file(config_yaml)
    splits.write_ids(output / "split.json")
    tracker.log_file(output / "split.json")
    if splits.skipped.file:
        tracker.log_file(splits.skipped.file)


def _log_inputs(config: Config, splits: Splits) -> None:
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource(tags={"path": str(config.dataset.path or config.dataset.name)})
    contexts = {"train": "training", "validation": "validation", "test": "test"}
    for part, rows in splits.parts().items():
        dataset = MetaDataset(source, name=f"{config.dataset.name}-{part}", digest=rows.fingerprint[:36])
        mlflow.log_input(dataset, context=contexts[part])


def _run_name(config: Config) -> str:
    size = config.dataset.size or "all"
    return f"{config.model.name}-{config.dataset.name}-n{size}-len{config.dataset.max_length}"


def _interrupted_run(config: Config, splits: Splits) -> str | None:
    """The MLflow run of the checkpoint to resume from, if its settings and its data are the same.

    Raises:
        InputError: they are not, or the checkpoint is not where a run left it.
    """
    checkpoint = config.trainer.resume_from
    if checkpoint is None:
        return None
    if not Path(checkpoint).is_file():
        raise InputError(f"trainer.resume_from={checkpoint}: no such checkpoint (a finished run has none left)")
    file = Path(checkpoint).resolve().parents[1] / "run.json"
    if not file.is_file():
        raise InputError(f"trainer.resume_from={checkpoint}: no run.json beside it, so it is not a run's checkpoint")
    run = json.loads(file.read_text(encoding="utf-8"))
    if run["config_hash"] != config_hash(config.resolved):
        raise InputError(
            f"trainer.resume_from={checkpoint}: the interrupted run had other settings (see config.yaml in "
            f"{os.path.relpath(file.parent)}); use the same command line, or start a new run"
        )
    if run["dataset_fingerprint"] != splits.fingerprint:
        raise InputError(f"trainer.resume_from={checkpoint}: the data is not what it was when the run was interrupted")
    return str(run["run_id"])
