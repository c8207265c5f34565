"""What an outage of MLflow costs a training: time, and whether all arrives, in order and once.

    python -m benchmarks.outages [--epochs 60] [--only server|sqlite]

The same run four times, one after the other: tracked by a server on PostgreSQL; by one that is killed and started again
five times, stopped for 60 s once, and away when the run ends (`medft sync` delivers the rest); in sqlite; in a sqlite
file that another process holds for 60 s. The peers are the undisturbed runs. Needs PostgreSQL's programs and psycopg.
The training has the first core for itself and the servers have the others, in every run: a server is in earnest on
another machine, and its start takes some seconds of a core.
"""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import psutil
from tests.processes import free_port
from tests.runs.test_server import serve_mlflow, serve_postgres

from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun

SETTINGS = ("model=gpt2-nano", "trainer=cpu", "judge=none", "dataset.size=210", "generation.max_new_tokens=8",
            "evaluation.probes=null", "trainer.log_every_n_steps=1", "trainer.val_checks_per_epoch=1")  # fmt: skip
FIRST_CORE = min(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--only", choices=("server", "sqlite"), default="")
    arguments = parser.parse_args()
    settings = (*SETTINGS, f"trainer.max_epochs={arguments.epochs}")
    folder = Path(tempfile.mkdtemp(prefix="outages-"))
    whole: dict[str, float] = {}
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {FIRST_CORE})  # the servers inherit it
    for kind, run in (("sqlite", in_sqlite), ("sqlite, held", in_a_held_sqlite), ("server", on_a_server),
                      ("server, disturbed", on_a_server_that_goes)):  # fmt: skip
        if not kind.startswith(arguments.only):
            continue
        place = folder / kind.replace(", ", "-")
        place.mkdir()
        seconds, arrived = run(place, settings)
        peer = whole.setdefault(kind.partition(",")[0], seconds)
        print(f"{kind:<20}{seconds:8.1f} s  {seconds / peer - 1:+6.1%}  {arrived}", flush=True)


def train(place: Path, settings: Sequence[str], uri: str | None = None) -> "subprocess.Popen[bytes]":
    """The command in the background on the core that this process has left free, with its output in a file."""
    tracked = {"MLFLOW_TRACKING_URI": uri} if uri else {}
    with (place / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "medft.cli.main", "train", *settings], stdout=log, stderr=log,
            env={**os.environ, "MEDFT_ROOT": str(place), "MEDFT_CACHE": str(place / "cache"), **tracked},
            preexec_fn=lambda: os.sched_setaffinity(0, {FIRST_CORE}),
        )  # fmt: skip


def wait_for(process: "subprocess.Popen[bytes]") -> float:
    """Wait until it ends; returns when that was."""
    assert process.wait() == 0, "see the file `log`"
    return time.monotonic()


def on_a_server(place: Path, settings: Sequence[str]) -> tuple[float, str]:
    with serve_postgres(place) as uri, serve_mlflow(place, free_port(), uri) as address:
        began = time.monotonic()
        return wait_for(train(place, settings, address)) - began, compare(place, address)


def on_a_server_that_goes(place: Path, settings: Sequence[str]) -> tuple[float, str]:
    port = free_port()
    with serve_postgres(place) as uri:
        began = time.monotonic()
        process = train(place, settings, f"http://127.0.0.1:{port}")
        for number in range(5):
            with serve_mlflow(place, port, uri) as _:
                server = find_server(port)
                wait_for_step(place, 40 * (number + 1), process)
                if number == 2:
                    os.killpg(server, signal.SIGSTOP)
                    time.sleep(60)
                    os.killpg(server, signal.SIGCONT)
                os.killpg(server, signal.SIGKILL)
            time.sleep(5)
        assert process.poll() is None, "it ended before all outages: more --epochs"
        seconds = wait_for(process) - began
        with serve_mlflow(place, port, uri) as address:
            subprocess.run([sys.executable, "-m", "medft.cli.main", "sync"], check=True, capture_output=True,
                           env={**os.environ, "MEDFT_ROOT": str(place), "MLFLOW_TRACKING_URI": address})  # fmt: skip
            return seconds, compare(place, address)


def in_sqlite(place: Path, settings: Sequence[str], held: float = 0) -> tuple[float, str]:
    began = time.monotonic()
    process = train(place, settings)
    if held:
        wait_for_step(place, 40, process)
        with sqlite3.connect(place / "mlruns" / "mlflow.db", isolation_level=None, timeout=60) as store:
            store.execute("BEGIN EXCLUSIVE")
            time.sleep(held)
            store.execute("ROLLBACK")
        assert process.poll() is None, "it ended meanwhile: more --epochs"
    return wait_for(process) - began, compare(place, f"sqlite:///{place / 'mlruns' / 'mlflow.db'}")


def in_a_held_sqlite(place: Path, settings: Sequence[str]) -> tuple[float, str]:
    return in_sqlite(place, settings, held=60)


def find_server(port: int) -> int:
    """The process group of what listens on a port of this machine."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == "LISTEN" and connection.laddr and connection.laddr.port == port and connection.pid:
            return os.getpgid(connection.pid)
    raise LookupError(port)


def the_run(place: Path) -> LocalRun:
    (entry,) = RunIndex(place).list_entries()
    return LocalRun(Path(entry.folder))


def wait_for_step(place: Path, step: int, process: Any) -> None:
    while not RunIndex(place).list_entries() or not any(at >= step for at, _ in the_run(place).history("train/loss")):
        assert process.poll() is None, "see the file `log`"
        time.sleep(0.5)


def compare(place: Path, uri: str) -> str:
    """What MLflow has of each metric, against the run's folder."""
    run, client = the_run(place), mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("medft")
    (there,) = client.search_runs([experiment.experiment_id])
    points = 0
    for name in run.state.metrics:
        arrived = [(each.step, each.value) for each in client.get_metric_history(there.info.run_id, name)]
        if name in ("train/loss", "val/loss", "train/lr"):
            assert arrived == run.history(name), name
        assert len(arrived) == len({step for step, _ in arrived}), f"{name} came twice"
        points += len(arrived)
    missing = run.state.metrics.keys() - there.data.metrics.keys()
    return f"{there.info.status}, {len(run.state.metrics)} metrics, {len(missing)} missing, {points} points in order"


if __name__ == "__main__":
    main()
