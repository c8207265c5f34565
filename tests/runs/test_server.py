"""Parallel jobs and an MLflow server on PostgreSQL: runs and artifacts are there, and a repeat finds them there."""

import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from tests.jobs.sweeps import sweep
from tests.processes import free_port, running

# Debian keeps the server's programs out of the PATH
BIN = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *(Path(each) for each in os.get_exec_path())]


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """The URI of an empty database."""
    with serve_postgres(tmp_path) as uri:
        yield uri


@contextmanager
def serve_postgres(tmp_path: Path) -> Iterator[str]:
    """The URI of an empty database; its server is reached from this machine and with a password only."""
    programs = next((folder for folder in BIN if (folder / "initdb").exists()), None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to run as root
    folder, password, port = Path(tempfile.mkdtemp(prefix="pg")), secrets.token_hex(16), free_port()
    (folder / "password").write_text(password)
    if as_user:
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "password", "postgres")
    try:
        subprocess.run(
            [*as_user, str(programs / "initdb"), "-D", str(folder / "data"), "-U", "medft", "--no-sync",
             "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"],
            check=True, capture_output=True, timeout=120, cwd="/",
        )  # fmt: skip
        command = [*as_user, str(programs / "postgres"), "-D", str(folder / "data")]
        command += ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        log = tmp_path / "postgres.log"
        with running(command, log, lambda: "ready to accept connections" in log.read_text()):
            yield f"postgresql+psycopg://medft:{password}@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder)


@contextmanager
def serve_mlflow(folder: Path, port: int, database: str) -> Iterator[str]:
    """The address of an MLflow server on a database which keeps artifacts too, while the context lasts."""
    address = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", str(folder / "artifacts")]
    settings = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # 8 processes less
    with running(command, folder / "mlflow.log", is_up, stop=signal.SIGKILL, **settings):
        yield address


@pytest.fixture
def server(tmp_path: Path, postgres: str) -> Iterator[str]:
    """A server on that database."""
    with serve_mlflow(tmp_path, free_port(), postgres) as address:
        yield address


@pytest.mark.slow
def test_parallel_jobs_log_to_a_server_and_a_repeat_finds_them_there(tmp_path: Path, server: str) -> None:
    settings = ("seed=1,2,3,4", "launcher.n_jobs=2")
    code, out = sweep(*settings, MLFLOW_TRACKING_URI=server)
    assert code == 0, out
    assert f"compare runs:  {server}" in out
    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name("medft")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    jobs = {name: run for name, run in runs.items() if "sweep.label" in run.data.tags}
    assert set(jobs) == {"seed=1", "seed=2", "seed=3", "seed=4"}
    for run in jobs.values():
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        text = Path(client.download_artifacts(run.info.run_id, "predictions.jsonl", str(tmp_path))).read_text()
        assert len([json.loads(line) for line in text.splitlines()]) == 7
        assert client.get_metric_history(run.info.run_id, "val/loss")
    assert not (tmp_path / "root" / "mlruns" / "mlflow.db").exists(), "something was logged beside the server"

    code, out = sweep(*settings, MLFLOW_TRACKING_URI=server)
    assert code == 0, out
    assert out.count("done earlier") == 4
    again = {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    assert again == {run.info.run_id for run in runs.values()}
