"""A run that MLflow has and no folder here: it was made on another machine, or its folder is gone."""

import atexit
import contextlib
import functools
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medft.config.schema import Config
from medft.errors import InputError, explain
from medft.evaluation.judging.human import MARKS
from medft.files import write_json
from medft.runs.index import DELIVERED
from medft.runs.journal import Journal
from medft.runs.local_run import LocalRun, write_card
from medft.runs.metric_names import LOSS_CURVES
from medft.runs.state import ID, RUNNING, Curve, RunState
from medft.runs.store import read_history


class RemoteRun:
    """A run as MLflow has it.

    Args:
        run: MLflow's.
    """

    def __init__(self, client: Any, run: Any) -> None:
        self._client, self.mlflow_id = client, str(run.info.run_id)
        own = str(run.data.tags.get(ID, ""))
        self.run_id = own if own.isalnum() else self.mlflow_id  # it becomes part of a path
        self._uri = str(run.info.artifact_uri)
        is_open = run.info.end_time is None or run.info.status == RUNNING  # MLflow keeps an old end of a resumed run
        self.state = RunState(
            run_id=self.run_id,
            name=run.info.run_name,
            status=run.info.status,
            started=run.info.start_time / 1000,
            ended=math.inf if is_open else run.info.end_time / 1000,
            metrics=dict(run.data.metrics),
            params=dict(run.data.params),
            tags=dict(run.data.tags),
        )

    def history(self, metric: str) -> Curve:
        """(step, value) of a metric so far, by step."""
        return read_history(self._client, self.mlflow_id, metric)

    def artifact(self, name: str, key: str = "run") -> Path:
        """A local path to a file or directory that it has logged; one that is not here is downloaded.

        Raises:
            InputError: it has logged none of that name.
        """
        import mlflow
        from mlflow.utils.file_utils import local_file_uri_to_path

        missing = InputError(f"{key}={self.run_id}: it logged no {name}")
        if urlsplit(self._uri).scheme in ("", "file"):  # MLflow would copy it, and leave the copy behind
            place = Path(local_file_uri_to_path(self._uri)) / name
            if not place.exists():
                raise missing
            return place
        here = tempfile.mkdtemp(dir=_downloads())
        try:
            # not by the run's id: that way MLflow takes whatever goes wrong for a file that is not there
            path: Any = mlflow.artifacts.download_artifacts(artifact_uri=f"{self._uri}/{name}", dst_path=here)
        except (OSError, mlflow.exceptions.MlflowException) as error:
            if explain(error) is not error:  # a full disk
                raise
            raise missing from None
        return Path(path)


@functools.cache
def _downloads() -> str:
    """Where this process keeps what it downloads; MLflow would leave it, models and all, in the temporary folder."""
    folder = tempfile.mkdtemp(prefix="medft-downloads-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


StoredRun = LocalRun | RemoteRun  # a run that can be read, wherever it is


def adopt(run: RemoteRun, config: Config, folder: Path) -> LocalRun:
    """A folder for a run that was made elsewhere, so that more can be logged to it: without its model.

    Args:
        folder: a new one.

    Raises:
        InputError: it has logged no predictions or no config.
    """
    state, journal = run.state, Journal(folder)
    write_card(config, folder, run.run_id, state.name)
    journal.append("opened", {"name": state.name, "user": ""}, time=round(state.started * 1000))
    journal.append("tags", state.tags)
    journal.append("params", state.params)
    journal.append("metrics", {name: value for name, value in state.metrics.items() if name not in LOSS_CURVES})
    for name in LOSS_CURVES:
        for step, value in run.history(name):
            journal.append("metrics", {name: value}, step)
    ended = None if math.isinf(state.ended) else round(state.ended * 1000)
    journal.append("status", {"status": state.status}, time=ended)
    for name in ("config.yaml", "predictions.jsonl", "audit.json", MARKS):
        with contextlib.suppress(InputError) if name in ("audit.json", MARKS) else contextlib.nullcontext():
            shutil.copy(run.artifact(name), folder / name)
    end = journal.file.stat().st_size
    write_json(folder / DELIVERED, {"mlflow_run_id": run.mlflow_id, "experiment_id": None, "end": end})
    return LocalRun(folder)
