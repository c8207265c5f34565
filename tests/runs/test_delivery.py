"""MLflow gets every thing once and in order, however often and late it is sent."""

import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medft.config.schema import Config
from medft.errors import TrackerUnavailable
from medft.runs.delivery import Courier, deliver, deliver_pending, find_mlflow_id
from medft.runs.local_run import LocalRun
from medft.runs.store import check_reachable, connect
from tests.processes import free_port


@pytest.fixture
def config(compose: Callable[..., Config]) -> Config:
    return compose()


@pytest.fixture
def client(config: Config) -> Any:
    return connect(config)


@pytest.fixture
def run(config: Config, tmp_path: Path) -> LocalRun:
    return make(config, tmp_path / "out")


def make(config: Config, folder: Path, **tags: str) -> LocalRun:
    run = LocalRun.create(config, folder, "a run", {"who": "me", **tags})
    run.log_params({"seed": "1"})
    for step in range(1, 4):
        run.log_metrics({"train/loss": 4.0 - step}, step)
    run.log_text("note.txt", "hello")
    run.log_inputs({"train": {"name": "sample-train", "digest": "abc", "source": "sample"}})
    return run


def as_mlflow_has_it(client: Any, run: LocalRun) -> Any:
    return client.get_run(find_mlflow_id(run, client))


def test_all_arrives(run: LocalRun, client: Any) -> None:
    run.set_status("FINISHED")
    deliver(run, client)
    there = as_mlflow_has_it(client, run)
    assert (there.info.run_name, there.info.status) == ("a run", "FINISHED")
    assert there.data.params == {"seed": "1"} and there.data.tags["medft.id"] == run.run_id
    points = client.get_metric_history(there.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in points] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert there.info.start_time == run.journal.read()[0].time
    assert [each.path for each in client.list_artifacts(there.info.run_id)] == ["note.txt"]
    (given,) = there.inputs.dataset_inputs
    assert (given.dataset.name, given.tags[0].value) == ("sample-train", "training")
    assert run.index.list_pending() == []


def test_weights_lie_once_on_a_disk(run: LocalRun, client: Any) -> None:
    weights = run.folder / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    run.log_file(weights.parent, "model")
    deliver(run, client)
    there = client.list_artifacts(find_mlflow_id(run, client), "model")
    assert [each.path for each in there] == ["model/model.safetensors"]
    (found,) = [each for each in Path(run.card["root_dir"]).rglob("model.safetensors") if each != weights]
    assert found.samefile(weights)


@pytest.mark.parametrize("place", ["before", "after"])
def test_each_event_arrives_once_wherever_a_kill_comes(
    run: LocalRun, client: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Killed before or after each request, with what was sent not noted."""
    from medft.runs import delivery

    class Kill(BaseException):
        pass

    real, calls = delivery._send, []

    def killed_each_time(*arguments: Any) -> None:
        key = arguments[2][0].end
        if key in calls:
            return real(*arguments)
        calls.append(key)
        if place == "after":
            real(*arguments)
        raise Kill

    monkeypatch.setattr(delivery, "_send", killed_each_time)
    run.set_status("FINISHED")
    for _ in range(30):
        try:
            deliver(run, client)
        except Kill:
            continue
        break
    assert len(calls) >= 6
    there = as_mlflow_has_it(client, run)
    assert len(client.search_runs([there.info.experiment_id])) == 1
    assert [each.step for each in client.get_metric_history(there.info.run_id, "train/loss")] == [1, 2, 3]
    assert there.info.status == "FINISHED" and len(there.inputs.dataset_inputs) == 1


def test_a_child_is_put_under_its_parent(config: Config, client: Any, tmp_path: Path) -> None:
    parent = LocalRun.create(config, tmp_path / "sweep", "sweep", {"medft.kind": "sweep"})
    child = make(config, tmp_path / "sweep" / "job", **{"medft.parent": parent.run_id})
    deliver(child, client)
    assert as_mlflow_has_it(client, child).data.tags["mlflow.parentRunId"] == find_mlflow_id(parent, client)
    assert len(client.search_runs([as_mlflow_has_it(client, child).info.experiment_id])) == 2


def test_a_resumed_run_is_running_again(run: LocalRun, client: Any) -> None:
    run.set_tags({"error": "interrupted"})
    run.set_status("KILLED")
    deliver(run, client)
    assert as_mlflow_has_it(client, run).info.status == "KILLED"
    run.set_status("RUNNING")
    run.remove_tags(["error", "never there"])
    deliver(run, client)
    there = as_mlflow_has_it(client, run)
    assert there.info.status == "RUNNING" and "error" not in there.data.tags


def test_what_mlflow_refuses_does_not_hold_up_the_rest(
    run: LocalRun, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run.journal.append("params", {"seed": "another"})  # a parameter cannot be changed
    run.log_metrics({"test/loss": 1.0})
    deliver(run, client)
    assert "MLflow refuses params" in capsys.readouterr().err
    assert as_mlflow_has_it(client, run).data.metrics["test/loss"] == 1.0


@pytest.mark.slow
def test_a_locked_database_delays_and_loses_nothing(
    run: LocalRun, config: Config, ready_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medft.runs.database._PATIENCE", 0.2)
    deliver(run, connect(config))
    database = sqlite3.connect(ready_store, check_same_thread=False)
    database.execute("BEGIN EXCLUSIVE")
    run.log_metrics({"test/loss": 1.0})
    with pytest.raises(TrackerUnavailable, match="locked"):
        deliver(run, connect(config))
    threading.Timer(1.0, database.rollback).start()
    run.set_status("FINISHED")
    courier = Courier(run, config)
    courier.start()
    assert courier.close(30)
    assert as_mlflow_has_it(connect(config), run).data.metrics["test/loss"] == 1.0
    database.close()


def test_a_run_without_a_tracker_waits_for_its_patience_and_is_delivered_by_the_next(
    compose: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://me:SECRET@127.0.0.1:{free_port()}"
    config = compose(f"tracking.uri={address}")
    run = make(config, tmp_path / "out")
    run.set_status("FINISHED")
    courier, began = Courier(run, config), time.monotonic()
    courier.start()
    assert not courier.close(1.0)
    assert time.monotonic() - began < 15
    courier.join(timeout=10)
    assert not courier.is_alive()  # in a notebook the process goes on
    told = capsys.readouterr().err
    assert told.count("MLflow cannot be had") == 1
    assert "SECRET" not in told
    local = connect(compose())
    whole, elsewhere = deliver_pending(compose(), local)
    assert (whole, [each.run_id for each in elsewhere]) == ([], [run.run_id])


def test_the_next_run_on_the_store_delivers_what_an_earlier_one_left(
    config: Config, client: Any, tmp_path: Path
) -> None:
    left = make(config, tmp_path / "left")
    left.set_status("FINISHED")
    run = make(config, tmp_path / "out")
    run.set_status("FINISHED")
    courier = Courier(run, config)
    courier.start()
    assert courier.close(30)
    assert as_mlflow_has_it(client, left).info.status == "FINISHED"
    assert run.index.list_pending() == []


def test_a_folder_of_another_user_holds_up_nobody(
    config: Config, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, mine = make(config, tmp_path / "theirs"), make(config, tmp_path / "mine")
    for each in (theirs, mine):
        each.set_status("FINISHED")

    def refuse(run: LocalRun, client: Any) -> int:
        if run.folder == theirs.folder:
            raise PermissionError(13, "Permission denied", str(run.folder / "delivery.lock"))
        return deliver(run, client)

    monkeypatch.setattr("medft.runs.delivery.deliver", refuse)
    whole, _ = deliver_pending(config, client)
    assert [each.run_id for each in whole] == [mine.run_id]
    assert f"Permission denied: '{theirs.folder / 'delivery.lock'}'" in capsys.readouterr().err


def test_a_closed_port_is_told_at_once(compose: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://me:SECRET@127.0.0.1:{free_port()}"
    began = time.monotonic()
    check_reachable(compose(f"tracking.uri={address}"))
    assert time.monotonic() - began < 5
    told = capsys.readouterr().err
    assert "cannot be reached" in told and "medft sync" in told and "SECRET" not in told
    with pytest.raises(TrackerUnavailable, match="tracking.required=true"):
        check_reachable(compose(f"tracking.uri={address}", "tracking.required=true"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_reachable(compose(f"tracking.uri=http://127.0.0.1:{server.getsockname()[1]}", "tracking.required=true"))
    assert capsys.readouterr().err == ""
