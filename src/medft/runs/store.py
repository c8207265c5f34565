"""Where runs are kept: a sqlite database with artifacts beside it, unless the user names a server."""

import logging
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from medft.config.paths import root_dir
from medft.config.schema import Config
from medft.console import warn
from medft.errors import InputError, TrackerUnavailable
from medft.files import exclusive_lock
from medft.runs.database import prepare_database
from medft.runs.index import RunIndex
from medft.runs.provenance import command_line
from medft.secrets import hide_passwords, lacks_password

# MLflow reports usage to its makers unless told not to; medical users would not expect that.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# It prints the address of every run that ends; medft prints one once.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Artifacts are mostly copied from one local directory to another: no bar for that.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# The run goes on without the server, so it need not be asked for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
_PATIENCE = 3.0  # seconds for a connection


def tracking_uri(config: Config) -> str:
    """`tracking.uri` (MLFLOW_TRACKING_URI is its default), else the sqlite database under `paths.root_dir`.

    Raises:
        InputError: it is a plain directory, which MLflow no longer writes.
    """
    uri = config.tracking.uri
    if uri is None:
        return _local_uri(Path(config.paths.root_dir))
    if "://" not in uri or uri.startswith("file:"):
        raise InputError(
            f"tracking.uri={uri}: MLflow no longer writes plain directories; use sqlite:////path/mlflow.db or a server"
        )
    return uri


def connect(config: Config) -> Any:
    """An MLflow client; a database in a file is made, brought up to date or set aside first, where it needs that.

    Raises:
        TrackerUnavailable: such a database cannot be used now.
    """
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # each of many tries; what comes of them is said
        logging.getLogger(name).setLevel(logging.CRITICAL)
    uri = tracking_uri(config)
    if lacks_password(uri):
        raise TrackerUnavailable(
            f"tracking.uri={uri}: the password was not logged; set MLFLOW_TRACKING_URI, or give tracking.uri"
        )
    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    # MLflow has put the address there; the next job of a sweep would take it for one that the user chose
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if given is not None:
        os.environ["MLFLOW_TRACKING_URI"] = given
    # before MLflow opens it
    if uri.startswith("sqlite:///") and prepare_database(Path(uri.removeprefix("sqlite:///"))):
        RunIndex(Path(config.paths.root_dir)).mark_all_undelivered()
    return mlflow.MlflowClient()


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


def get_experiment_id(client: Any, name: str, uri: str, root: Path) -> str:
    """The id of an experiment, made if it is not there; the artifacts of a local database go under `mlruns/`."""
    folder = find_artifacts(uri, root)
    location = folder.as_uri() if folder else None
    with exclusive_lock(root / "mlruns" / "experiment.lock"):
        known = client.get_experiment_by_name(name)
        return str(known.experiment_id if known else client.create_experiment(name, artifact_location=location))


def find_artifacts(uri: str, root: Path) -> Path | None:
    """The folder of this machine that gets the runs' files; None where a server or a database of the user's own keeps
    them.
    """
    return root.resolve() / "mlruns" / "artifacts" if uri == _local_uri(root) else None


def shown_uri(config: Config) -> str:
    """Where runs are tracked, without a password: what may be shown and written down."""
    return hide_passwords(tracking_uri(config))


def check_reachable(config: Config) -> None:
    """Say within seconds if the tracking server cannot be reached; a run can do without it for a while.

    Raises:
        TrackerUnavailable: it cannot, and `tracking.required` is set.
    """
    address = urlsplit(tracking_uri(config))
    if not address.hostname or (address.scheme.startswith("http") and getproxies().get(address.scheme)):
        return  # a file, or a way that only the client knows
    try:
        port = address.port or _PORTS.get(address.scheme.split("+")[0], 443)
        socket.create_connection((address.hostname, port), _PATIENCE).close()
    except OSError as error:
        where = f"tracking.uri={shown_uri(config)}: cannot be reached ({error.strerror or error})"
        if config.tracking.required:
            raise TrackerUnavailable(f"{where}, and tracking.required=true") from None
        warn(f"{where}: the run is recorded in its folder, and delivered by the next run or by: medft sync")


def ui_command(config: Config) -> str:
    """The command that shows the runs in a browser, as it works from this shell; a server has an address instead."""
    uri = shown_uri(config)
    if uri.startswith(("http://", "https://")):
        return uri
    beside = Path(sys.executable).with_name("mlflow")
    program = "mlflow" if shutil.which("mlflow") or not beside.exists() else str(beside)
    return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(uri)}"


def medft_command(config: Config, command: str, *arguments: str) -> str:
    """A command of medft as it can be pasted, with the place of the runs where that is not where they usually are."""
    root = Path(config.paths.root_dir).resolve()
    places = [] if root == Path(root_dir()).resolve() else [f"paths.root_dir={root}"]
    return command_line(f"medft {command}", [*arguments, *places])


def _local_uri(root: Path) -> str:
    return f"sqlite:///{root.resolve() / 'mlruns' / 'mlflow.db'}"
