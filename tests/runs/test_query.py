"""How runs are named: last, an id or the beginning of one, a name, a folder; those of this machine come first."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medft.config.schema import Config
from medft.errors import InputError
from medft.runs.delivery import deliver
from medft.runs.local_run import LocalRun
from medft.runs.query import RunStore, resolve_split_run
from medft.runs.remote_run import RemoteRun
from medft.runs.splits import read_splits
from medft.runs.state import KIND, PARENT, SUPERSEDED
from tests.composed import composed


@pytest.fixture
def store(compose: Callable[..., Config]) -> RunStore:
    return RunStore(compose())


def add(store: RunStore, name: str, status: str = "FINISHED", **tags: str) -> str:
    """A run in a folder here."""
    folder = Path(store.config.paths.root_dir) / "outputs" / f"{name}-{time.time_ns()}".replace("'", "")
    run = LocalRun.create(store.config, folder, name, tags)
    run.set_status(status)
    time.sleep(0.002)
    return run.run_id


def add_elsewhere(store: RunStore, name: str, ended: int, status: str = "FINISHED", **tags: str) -> str:
    """A run that only MLflow has."""
    run = store.client.create_run("0", start_time=ended - 1, run_name=name, tags=tags)
    store.client.set_terminated(run.info.run_id, status, ended)
    return str(run.info.run_id)


def test_last_is_the_newest_finished_run(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "old")
    newest = add(store, "new")
    for _ in range(3):
        add(store, "a sweep", **{KIND: "sweep"})
    add(store, "failed", "FAILED")
    add(store, "replaced", **{SUPERSEDED: newest})
    add_elsewhere(store, "a colleague's", int(1000 * time.time()) + 5000)
    assert store.find_run("last").run_id == newest
    assert capsys.readouterr().err == f"run=last: run {newest} (new)\n"


def test_last_is_looked_up_in_mlflow_where_there_is_none_here(store: RunStore) -> None:
    add_elsewhere(store, "old", 1000)
    newest = add_elsewhere(store, "new", 5000)
    for number in range(25):  # more than a page of runs that are not meant
        add_elsewhere(store, "a sweep", 6000 + number, **{KIND: "sweep"})
    add_elsewhere(store, "failed", 7000, "FAILED")
    add_elsewhere(store, "replaced", 8000, **{SUPERSEDED: newest})
    found = store.find_run("last")
    assert isinstance(found, RemoteRun) and found.run_id == newest


def test_last_is_the_newest_finished_sweep_for_a_parent(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    parent = add(store, "lengths", **{KIND: "sweep"})
    child = add(store, "child", **{PARENT: parent})
    add(store, "killed", "KILLED", **{KIND: "search"})
    assert store.find_parent("last").run_id == parent
    assert capsys.readouterr().err == f"parent=last: sweep {parent} (lengths)\n"
    assert [run.run_id for run in store.find_children("lengths")] == [child]
    failed = add(store, "one job failed", "FAILED", **{KIND: "sweep"})
    assert store.find_parent("last").run_id == failed, "the others of it did well"


def test_the_last_sweep_of_elsewhere_may_have_failed(store: RunStore) -> None:
    add_elsewhere(store, "well", 1000, **{KIND: "sweep"})
    failed = add_elsewhere(store, "one job failed", 2000, "FAILED", **{KIND: "sweep"})
    assert store.find_parent("last").run_id == failed


def test_a_sweep_that_only_mlflow_has_is_read_from_there(store: RunStore) -> None:
    parent = add_elsewhere(store, "lengths", 1000, **{KIND: "sweep", "sweep.name": "lengths"})
    child = add_elsewhere(store, "child", 1500, **{"mlflow.parentRunId": parent})
    assert [run.run_id for run in store.find_children(parent)] == [child]
    assert store.find_sweep("lengths").run_id == parent


def test_there_may_be_no_last_one(store: RunStore) -> None:
    with pytest.raises(InputError, match="^run=last: no finished run in sqlite"):
        store.find_run("last")
    with pytest.raises(InputError, match="^parent=last: no finished sweep in sqlite"):
        store.find_parent("last")


def test_a_run_has_an_id_a_beginning_a_name_and_a_folder(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = add(store, "o'clock")
    add(store, "other")
    folder = next((Path(store.config.paths.root_dir) / "outputs").glob("oclock-*"))
    for name in (run_id, run_id[:6], "o'clock", str(folder)):
        assert store.find_run(name).run_id == run_id
    assert capsys.readouterr().err == ""


def test_a_delivered_run_has_mlflows_id_too_and_is_read_from_its_folder(store: RunStore) -> None:
    local = store.find_run(add(store, "mine"))
    assert isinstance(local, LocalRun)
    deliver(local, store.client)
    (there,) = store.client.search_runs(["1"])
    for name in (there.info.run_id, there.info.run_id[:8]):
        found = store.find_run(name)
        assert isinstance(found, LocalRun) and found.run_id == local.run_id
    assert [run.run_id for run in store.search_runs("attributes.status = 'FINISHED'")] == [local.run_id]


def test_a_run_whose_folder_is_gone_is_found_in_mlflow_by_its_own_id(store: RunStore) -> None:
    import shutil

    local = store.find_run(add(store, "mine"))
    assert isinstance(local, LocalRun)
    deliver(local, store.client)
    shutil.rmtree(local.folder)
    found = store.find_run(local.run_id[:7])
    assert isinstance(found, RemoteRun) and (found.run_id, found.state.name) == (local.run_id, "mine")


def test_runs_here_are_found_without_mlflow(compose: Callable[..., Config], store: RunStore) -> None:
    run_id = add(store, "mine")
    away = RunStore(compose("tracking.uri=http://127.0.0.1:9"))
    for name in ("last", run_id[:8], "mine"):
        assert away.find_run(name).run_id == run_id
    assert "client" not in vars(away)


def test_what_is_not_one_run_is_one_line(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [add(store, "twice"), add(store, "twice")]
    with pytest.raises(InputError, match=f"^run=twice: 2 runs have this name, the newest {', '.join(ids)}; give more"):
        store.find_run("twice")
    for name in ("nothing", ids[0][:5], "x' or", "'\"", "%%%%%%"):
        with pytest.raises(InputError) as caught:
            store.find_run(name, "dataset.split.from_run")
        assert str(caught.value).startswith(f"dataset.split.from_run={name}: no such run in sqlite")
        assert "named by last, by its id" in str(caught.value)
    entries = [replace(each, run_id=f"abcdef{each.run_id}") for each in store._index.list_entries()]
    monkeypatch.setattr(store._index, "list_entries", lambda: entries)  # ids are random: two that begin alike
    with pytest.raises(InputError, match="^run=abcdef: 2 runs begin so, the newest"):
        store.find_run("abcdef")


def test_runs_to_compare_are_finished_and_no_sweeps(store: RunStore) -> None:
    sweep = add(store, "lengths", **{KIND: "sweep"})
    killed = add(store, "killed", "KILLED")
    good = add(store, "good")
    assert [run.run_id for run in store.find_runs([good, "good", good[:8]])] == [good]
    with pytest.raises(InputError, match=f"^run {sweep}: it is a sweep; its runs are compared by parent={sweep}"):
        store.find_runs([sweep])
    with pytest.raises(InputError, match=f"^run {killed}: it is KILLED, only FINISHED runs can be compared"):
        store.find_runs([killed])


def test_the_run_of_a_split_is_logged_by_its_id(store: RunStore, compose: Callable[..., Config]) -> None:
    run_id, key = add(store, "good one"), "dataset.split.from_run"
    for name in ("last", run_id[:7], "good one", "'good one'", run_id):
        assert resolve_split_run(["seed=1", f"{key}={name}"]) == ["seed=1", f"{key}={run_id}"]
    assert resolve_split_run([f"{key}=null", "~x"]) == [f"{key}=null", "~x"]
    with pytest.raises(InputError, match="^dataset.split.from_run=last: in a file it means another run each time"):
        read_splits(compose(f"{key}=last"))


@pytest.mark.parametrize("look", ["find_run", "find_parent", "search_runs"])
def test_a_store_that_is_not_there_is_not_made_to_look_into_it(
    look: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medft.runs.query.connect", lambda config: pytest.fail("asked MLflow"))
    store = RunStore(composed(f"paths.root_dir={tmp_path / 'nowhere'}"))
    if look == "search_runs":
        assert store.search_runs("metrics.x > 1") == []
    else:
        for name in ("last", "abcdef12"):
            with pytest.raises(InputError, match="no finished|no such run"):
                getattr(store, look)(name)
    assert not (tmp_path / "nowhere").exists()


def test_the_last_interrupted_run_is_one_that_can_go_on(config: Config, root: Path) -> None:
    interrupted = LocalRun.create(config, root / "outputs" / "one", "interrupted", {})
    failed = LocalRun.create(config, root / "outputs" / "two", "failed at its first step", {})
    failed.set_status("FAILED")
    assert RunStore(config).find_interrupted("last", "resume").run_id == interrupted.run_id
    (failed.folder / "checkpoints").mkdir()
    (failed.folder / "checkpoints" / "last.ckpt").touch()
    assert RunStore(config).find_interrupted("last", "resume").run_id == failed.run_id
