"""The one door to MLflow: starting a run, ending it with the right status, and logging to it."""

import atexit
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tenacity
import yaml

from medft.config.roles import flatten
from medft.config.schema import Config
from medft.console import warn
from medft.data.splits import Splits
from medft.errors import InputError
from medft.files import write_atomically
from medft.runs.provenance import collect_code_tags, command_line, config_hash, make_identity_tags
from medft.runs.status import record_error
from medft.runs.store import connect, get_experiment_id, read_history, tracking_uri
from medft.runs.sweeps import ERROR, EXIT_CODE, NOTE, make_job_tags, supersede

_PARAM_LIMIT = 6000  # characters of a value that MLflow keeps


class Tracker:
    """Logs to one MLflow run.

    Args:
        folder: the run's own, where what it logs is written first.
        logged: (metric, step) that an interrupted run has logged. Resuming it repeats some steps with the same values,
            which are not logged twice.
    """

    def __init__(self, client: Any, run_id: str, folder: Path, logged: Set[tuple[str, int]] = frozenset()) -> None:
        self.client, self.run_id, self.folder, self._logged = client, run_id, folder, logged

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log values under their exact names."""
        import mlflow

        new = {name: value for name, value in metrics.items() if (name, step) not in self._logged}
        if new:
            mlflow.log_metrics(new, step=step, run_id=self.run_id, synchronous=True)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log parameters whole; of what MLflow would cut there is a warning instead."""
        import mlflow

        short = {key: value for key, value in params.items() if len(value) <= _PARAM_LIMIT}
        for key in params.keys() - short.keys():
            warn(f"{key} is longer than an MLflow parameter may be; it stands whole in the artifact config.yaml")
        mlflow.log_params(short, run_id=self.run_id)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, value)

    def set_description(self, text: str) -> None:
        """Describe the run in Markdown, where people look first."""
        self.set_tags({NOTE: text})

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file or a whole directory as an artifact."""
        log = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        log(self.run_id, str(path), artifact_path=folder)

    def log_text(self, name: str, text: str) -> None:
        """Write a file into the run's folder and log it."""
        (self.folder / name).write_text(text, encoding="utf-8")
        self.log_file(self.folder / name)

    def read_history(self, metric: str) -> list[tuple[int, float]]:
        """(step, value) of a metric so far, by step."""
        return read_history(self.client, self.run_id, metric)

    def tags(self) -> dict[str, str]:
        """The tags that the run has now."""
        return dict(self.client.get_run(self.run_id).data.tags)

    def artifact(self, name: str, key: str = "run") -> Path:
        """A local path to a file or directory that the run has logged.

        Args:
            key: where the user named the run.

        Raises:
            InputError: it has logged none of that name.
        """
        import mlflow

        try:
            path: Any = mlflow.artifacts.download_artifacts(run_id=self.run_id, artifact_path=name)
        except (OSError, mlflow.exceptions.MlflowException):
            raise InputError(f"{key}={self.run_id}: it logged no {name}") from None
        return Path(path)


@contextmanager
def tracked_run(config: Config, splits: Splits, device: str, run_id: str | None = None) -> Iterator[Tracker]:
    """A run that is RUNNING inside the context, and FINISHED, FAILED or KILLED after it.

    Args:
        run_id: the interrupted run to resume; None = a new one.
    """
    import mlflow

    client = connect(config)
    with contextlib.suppress(AttributeError):  # at exit MLflow calls whatever is still open FINISHED
        atexit.unregister(mlflow.tracking.fluent._safe_end_run)
    data = config.dataset
    name = f"{config.model.name}-{data.name}-n{data.size or 'all'}-len{data.max_length}"
    identity = {**make_identity_tags(config.resolved), "dataset.fingerprint": splits.fingerprint}
    run = mlflow.start_run(
        run_id=run_id,
        experiment_id=None if run_id else get_experiment_id(client, config),
        run_name=None if run_id else config.tracking.run_name or config.job.label or name,
        tags={**make_job_tags(config), **identity},
        log_system_metrics=config.tracking.system_metrics,
    )
    try:
        logged = _list_logged(client, run) if run_id else frozenset()
        tracker = Tracker(client, run.info.run_id, config.paths.output, logged)
        for key in {ERROR, EXIT_CODE} & run.data.tags.keys():  # why it had been interrupted
            client.delete_tag(run.info.run_id, key)
        _log_setup(tracker, config, splits, device)
        yield tracker
    except BaseException as error:
        record_error(client, run.info.run_id, error)
        mlflow.end_run("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    mlflow.end_run("FINISHED")


def _list_logged(client: Any, run: Any) -> set[tuple[str, int]]:
    names = [name for name in run.data.metrics if not name.startswith("system/")]
    return {(name, step) for name in names for step, _ in read_history(client, run.info.run_id, name)}


def _log_setup(tracker: Tracker, config: Config, splits: Splits, device: str) -> None:
    """Log what is known before training: config, tags, data. What an interrupted run has logged of it stays."""
    output = config.paths.output
    output.mkdir(parents=True, exist_ok=True)
    tags = {
        "device": device,
        "leaking": str(splits.leaking).lower(),
        "output_dir": str(output),
        "command": config.job.command or command_line("medft train", sys.argv[1:]),
    }
    own = {key: str(value) for key, value in config.tracking.tags.items()}
    tracker.set_tags({**collect_code_tags(), **tags, **own})
    if config.job.parent:
        supersede(config, tracker.run_id)
    known = tracker.client.get_run(tracker.run_id)
    # paths.output_dir is a tag; as a parameter it would differ in every comparison of runs
    left_out = {"paths.output_dir", *known.data.params}
    settings = {key: value for key, value in config.resolved.items() if key not in ("sweep", "launcher")}
    params = {**dict(flatten(settings)), "dataset.size_used": splits.size_used}
    tracker.log_params({key: str(value) for key, value in params.items() if key not in left_out})
    if not known.inputs.dataset_inputs:
        _log_inputs(config, splits)
    tracker.log_text("config.yaml", yaml.safe_dump(config.resolved, sort_keys=False, allow_unicode=True))
    splits.write_ids(output / "split.json")
    tracker.log_file(output / "split.json")
    if splits.skipped.file:
        tracker.log_file(splits.skipped.file)
    run_json = {
        "run_id": tracker.run_id,
        "config_hash": config_hash(config.resolved),
        "dataset_fingerprint": splits.fingerprint,
        "tracking_uri": tracking_uri(config),
        "output_dir": str(output),
    }
    with write_atomically(output / "run.json") as partial:
        partial.write_text(json.dumps(run_json, indent=2), encoding="utf-8")


# two jobs that log the same data for the first time at the same moment: MLflow lets one of them fail
@tenacity.retry(stop=tenacity.stop_after_attempt(6), wait=tenacity.wait_random(0.1, 1.0), reraise=True)
def _log_inputs(config: Config, splits: Splits) -> None:
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource(tags={"path": str(config.dataset.path or config.dataset.name)})
    for part, rows in splits.parts().items():
        dataset = MetaDataset(source, name=f"{config.dataset.name}-{part}", digest=rows.fingerprint[:36])
        mlflow.log_input(dataset, context="training" if part == "train" else part)
