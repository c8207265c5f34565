"""A sweep on a Ray cluster of two nodes: both run jobs, failing ones take nobody along, a repeat runs only these."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.sweeps import jobs, parents, sweep
from tests.processes import wait_until

pytest.importorskip("ray", reason="ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ready_store")]

# jobs have to hear of these from the command, not from their node
UNKNOWN_TO_NODES = ("MEDFT_ROOT", "MEDFT_CACHE", "MLFLOW_TRACKING_URI")


def start_node(name: str, log: Path, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    """`ray start` with one CPU and little memory, in a process group of its own; waits until it is up."""
    known = {key: value for key, value in os.environ.items() if key not in UNKNOWN_TO_NODES}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
    with log.open("wb") as file:
        node = subprocess.Popen(
            [*command, "--object-store-memory=80000000", "--disable-usage-stats", *arguments],
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            env={**known, **environment, "MEDFT_TEST_NODE": name},
        )  # fmt: skip
    wait_until(lambda: "Ray runtime started" in log.read_text(), node, log)
    return node


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of two nodes."""
    checkout = Path(__file__).parents[2]
    paths = os.pathsep.join(map(str, (checkout, checkout / "tests" / "installed")))
    armed = {"MEDFT_TEST_ARMED": str(tmp_path / "armed"), "PYTHONPATH": paths}
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # sockets lie there, whose paths may have 107 characters
    nodes = []
    try:
        head = ("--head", "--port=0", "--include-dashboard=false", f"--temp-dir={folder}")
        nodes.append(start_node("one", tmp_path / "one.log", *head, **armed))
        address = (folder / "ray_current_cluster").read_text().strip()
        nodes.append(start_node("two", tmp_path / "two.log", f"--address={address}", **armed))
        yield address
    finally:
        for node in reversed(nodes):
            node.send_signal(signal.SIGTERM)
            try:
                node.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def test_two_nodes_share_a_sweep_and_a_repeat_runs_only_what_failed(cluster: str, tmp_path: Path) -> None:
    root, armed = tmp_path / "root", tmp_path / "armed"
    (root / "mlruns").mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{root / 'mlruns' / 'mlflow.db'}"
    settings = (
        "launcher=ray",
        f"launcher.address={cluster}",
        "dataset.reader._target_=tests.jobs.faulty.Faulty",
        "+dataset.reader.fault=none,fine,raise,exit",
    )
    armed.touch()
    code, out = sweep(*settings, MLFLOW_TRACKING_URI=uri, MEDFT_TEST_ARMED=str(armed))
    assert code == 1, out
    first = {label.removeprefix("fault="): run for label, run in jobs(root).items()}
    statuses = {name: run.info.status for name, run in first.items()}
    assert statuses == {"none": "FINISHED", "fine": "FINISHED", "raise": "FAILED", "exit": "FAILED"}, out
    (folder,) = (root / "outputs").glob("*/*-sweep")
    logs = "".join((folder / f"fault={name}" / "job.log").read_text() for name in first)
    assert "on node one" in logs and "on node two" in logs
    assert "FAILED: fault=raise: RuntimeError: out of luck" in out
    assert "FAILED: fault=exit: the job called sys.exit(0)" in out
    assert {each.name for each in folder.iterdir() if each.is_dir()} == {f"fault={name}" for name in first}

    armed.unlink()
    code, out = sweep(*settings, MLFLOW_TRACKING_URI=uri, MEDFT_TEST_ARMED=str(armed))
    assert code == 0, out
    again = {label.removeprefix("fault="): run for label, run in jobs(root).items()}
    assert {run.info.status for run in again.values()} == {"FINISHED"}
    assert {name for name in again if again[name].info.run_id == first[name].info.run_id} == {"none", "fine"}
    assert parents(root)[0].info.status == "FINISHED"
