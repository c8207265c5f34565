"""Sweeps in which everything goes wrong that can: who fails takes nobody along, and a repeat runs only what is left."""

import os
import signal
from pathlib import Path

import pytest

from tests.jobs.sweeps import LONG, client, histories, jobs, parents, start_sweep, sweep, wait_for

pytestmark = pytest.mark.slow

FAULTS = ("dataset.reader._target_=tests.jobs.faulty.Faulty", "+dataset.reader.fault=hang,none,raise,exit,kill,fine",
          "launcher.n_jobs=2", "launcher.time_limit=45", "launcher.grace=1", *LONG)  # fmt: skip
TRIES = int(os.environ.get("MEDFT_TEST_TRIES", "1"))


@pytest.mark.usefixtures("ready_store")
def test_four_of_six_jobs_fail_each_in_its_own_way_and_a_repeat_runs_only_the_four(tmp_path: Path) -> None:
    root, armed = tmp_path / "root", tmp_path / "armed"
    armed.touch()
    code, out = sweep(*FAULTS, MEDFT_TEST_ARMED=str(armed))
    assert code == 1, out
    found = {label.removeprefix("fault="): run for label, run in jobs(root).items()}
    assert {name: run.info.status for name, run in found.items()} == {
        "none": "FINISHED", "fine": "FINISHED", "raise": "FAILED", "exit": "FAILED", "kill": "KILLED", "hang": "KILLED",
    }  # fmt: skip
    reasons = {
        "raise": "RuntimeError: out of luck",
        "exit": "the job called sys.exit(0)",
        "kill": "ended by SIGKILL",
        "hang": "took longer than launcher.time_limit=45 seconds",
    }
    for name, reason in reasons.items():
        assert found[name].data.tags["error"].startswith(reason)
        assert f"fault={name}: {reason}" in out
        assert f"+dataset.reader.fault={name}" in out.split(f"{found[name].info.status}: fault={name}: ")[1]
    store = client(root)
    for name in ("raise", "exit"):
        trace = Path(store.download_artifacts(found[name].info.run_id, "error.txt", str(tmp_path))).read_text()
        assert "_go_wrong" in trace
    assert "4 of 6 jobs did not finish; the same command again runs only these" in out
    (parent,) = parents(root)
    assert parent.info.status == "FAILED"
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in found.values())

    armed.unlink()
    code, out = sweep(*FAULTS, "launcher.time_limit=null", MEDFT_TEST_ARMED=str(armed))
    assert code == 0, out
    assert {out.count(f"fault={name}: done earlier") for name in ("none", "fine")} == {1}
    assert {out.count(f"fault={name}: done after") for name in reasons} == {1}
    again = {label.removeprefix("fault="): run for label, run in jobs(root).items()}
    assert {run.info.status for run in again.values()} == {"FINISHED"}
    assert parents(root)[0].info.run_id == parent.info.run_id
    assert parents(root)[0].info.status == "FINISHED"
    same = {name for name, run in again.items() if run.info.run_id == found[name].info.run_id}
    assert same == {"none", "fine", "kill", "hang"}  # these two go on in the same run, failed ones get a new one
    assert not {"error", "exit_code"} & set(again["kill"].data.tags)
    expected = histories(root, again["none"])
    for name in ("kill", "hang", "raise"):
        assert histories(root, again[name]) == expected, f"{name}: not as if it had never been interrupted"


@pytest.mark.parametrize("attempt", range(TRIES))
def test_jobs_at_once_do_not_lock_each_other_out_of_a_new_store(tmp_path: Path, attempt: int) -> None:
    code, out = sweep("seed=1,2,3,4", "launcher.n_jobs=4", "evaluation.baseline=false")
    assert code == 0, out
    logs = "".join(path.read_text() for path in (tmp_path / "root" / "outputs").rglob("job.log"))
    assert "locked" not in (out + logs).lower()
    assert "operationalerror" not in (out + logs).lower()
    assert {run.info.status for run in jobs(tmp_path / "root").values()} == {"FINISHED"}


@pytest.mark.usefixtures("ready_store")
def test_ctrl_c_ends_the_jobs_and_the_same_sweep_is_not_run_twice_at_once(tmp_path: Path) -> None:
    settings = ("seed=1,2", "trainer.max_epochs=200", *LONG[1:])
    process = start_sweep(*settings)
    root = tmp_path / "root"
    wait_for(root, "**/last.ckpt", since=0, process=process)
    code, out = sweep(*settings)
    assert (code, "this sweep is running already" in out) == (2, True)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert {label: run.info.status for label, run in jobs(root).items()} == {"seed=1": "KILLED"}
    assert parents(root)[0].info.status == "KILLED"
    assert "NOT STARTED: seed=2: had not begun when this command ended" in out
