"""Where runs are kept: a sqlite database with artifacts beside it, unless the user names a server."""

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medft.config.schema import Config
from medft.errors import InputError
from medft.files import exclusive_lock, write_atomically

# MLflow reports usage to its makers unless told not to; medical users would not expect that.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# It prints the address of every run that ends; medft prints one once.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Artifacts are mostly copied from one local directory to another: no bar for that.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def tracking_uri(config: Config) -> str:
    """`tracking.uri` (MLFLOW_TRACKING_URI is its default), else the sqlite database under `paths.root_dir`.

    Raises:
        InputError: it is a plain directory, which MLflow no longer writes.
    """
    uri = config.tracking.uri
    if uri is None:
        return f"sqlite:///{_folder(config) / 'mlflow.db'}"
    if "://" not in uri or uri.startswith("file:"):
        raise InputError(
            f"tracking.uri={uri}: MLflow no longer writes plain directories; use sqlite:////path/mlflow.db or a server"
        )
    return uri


def connect(config: Config) -> Any:
    """An MLflow client; a new local database is set up under a lock, so that parallel jobs do not race."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    uri = tracking_uri(config)
    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    # MLflow has put the address there; the next job of a sweep would take it for one that the user chose
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if given is not None:
        os.environ["MLFLOW_TRACKING_URI"] = given
    if config.tracking.uri is None:
        database = _folder(config) / "mlflow.db"
        # made under another name: a process that is killed meanwhile, or several at once, leave no half of one
        with exclusive_lock(database.with_suffix(".db.lock")):
            if not database.exists():
                with write_atomically(database) as new:
                    mlflow.MlflowClient(f"sqlite:///{new}", f"sqlite:///{new}").search_experiments(max_results=1)
    return mlflow.MlflowClient()


def preload_mlflow() -> None:
    """Import MLflow now, which takes seconds, rather than when there is something to log."""
    import mlflow  # noqa: F401


def list_runs(client: Any, experiments: Sequence[str], filter_string: str) -> list[Any]:
    """All runs that a filter finds, the newest first."""
    runs, token = [], None
    while True:
        page = client.search_runs(experiments, filter_string, order_by=["attributes.start_time DESC"], page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def read_history(client: Any, run_id: str, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a run's metric so far, by step."""
    points = client.get_metric_history(run_id, metric)
    return sorted({point.step: point.value for point in points}.items())


def get_experiment_id(client: Any, config: Config) -> str:
    """The id of `tracking.experiment_name`, made if it is not there; local artifacts go under `mlruns/`."""
    name = config.tracking.experiment_name
    location = (_folder(config) / "artifacts").as_uri() if config.tracking.uri is None else None
    with exclusive_lock(config.paths.lock("experiment")):
        known = client.get_experiment_by_name(name)
        return str(known.experiment_id if known else client.create_experiment(name, artifact_location=location))


def ui_command(config: Config) -> str:
    """The command that shows the runs in a browser, as it works from this shell; a server has an address instead."""
    uri = tracking_uri(config)
    if uri.startswith(("http://", "https://")):
        return uri
    beside = Path(sys.executable).with_name("mlflow")
    program = "mlflow" if shutil.which("mlflow") or not beside.exists() else str(beside)
    return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(uri)}"


def _folder(config: Config) -> Path:
    return Path(config.paths.root_dir).resolve() / "mlruns"
