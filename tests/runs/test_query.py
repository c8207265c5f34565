"""How runs are named: last, an id or the beginning of one, a name."""

from collections.abc import Callable
from typing import Any

import pytest

from medft.config.schema import Config
from medft.errors import InputError
from medft.runs.query import RunStore, resolve_split_run
from medft.runs.splits import read_splits
from medft.runs.sweeps import KIND, PARENT, SUPERSEDED


@pytest.fixture
def store(compose: Callable[..., Config]) -> RunStore:
    return RunStore(compose())


def add(store: RunStore, name: str, ended: int, status: str = "FINISHED", **tags: str) -> str:
    run = store.client.create_run("0", start_time=ended - 1, run_name=name, tags=tags)
    store.client.set_terminated(run.info.run_id, status, ended)
    return str(run.info.run_id)


def found(run: Any) -> str:
    return str(run.info.run_id)


def test_last_is_the_newest_finished_run(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "old", 1000)
    newest = add(store, "new", 5000)
    for number in range(25):  # more than a page of runs that are not meant
        add(store, "a sweep", 6000 + number, **{KIND: "sweep"})
    add(store, "failed", 7000, "FAILED")
    add(store, "replaced", 8000, **{SUPERSEDED: newest})
    assert found(store.find_run("last")) == newest
    assert capsys.readouterr().err == f"run=last: run {newest} (new)\n"


def test_last_is_the_newest_finished_sweep_for_a_parent(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    parent = add(store, "lengths", 1000, **{KIND: "sweep"})
    child = add(store, "child", 1500, **{PARENT: parent})
    add(store, "killed", 2000, "KILLED", **{KIND: "search"})
    assert found(store.find_parent("last")) == parent
    assert capsys.readouterr().err == f"parent=last: sweep {parent} (lengths)\n"
    assert [found(run) for run in store.find_children("lengths")] == [child]


def test_there_may_be_no_last_one(store: RunStore) -> None:
    with pytest.raises(InputError, match="^run=last: no finished run in sqlite"):
        store.find_run("last")
    with pytest.raises(InputError, match="^parent=last: no finished sweep in sqlite"):
        store.find_parent("last")


def test_a_run_has_an_id_a_beginning_and_a_name(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = add(store, "o'clock", 1000)
    add(store, "other", 2000)
    for name in (run_id, run_id[:6], "o'clock"):
        assert found(store.find_run(name)) == run_id
    assert capsys.readouterr().err == ""


def test_what_is_not_one_run_is_one_line(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [add(store, "twice", 1000), add(store, "twice", 2000)]
    with pytest.raises(InputError, match=f"^run=twice: 2 runs have this name, the newest {', '.join(ids)}; give more"):
        store.find_run("twice")
    for name in ("nothing", ids[0][:5], "x' or", "'\"", "%%%%%%"):
        with pytest.raises(InputError) as caught:
            store.find_run(name, "dataset.split.from_run")
        assert str(caught.value).startswith(f"dataset.split.from_run={name}: no such run in sqlite")
        assert "named by last, by its id" in str(caught.value)
    runs = store._search("")
    monkeypatch.setattr(store, "_search", lambda _: runs)  # ids are random: two that begin alike
    with pytest.raises(InputError, match="^run=abcdef: 2 runs begin so, the newest"):
        store.find_run("abcdef")


def test_runs_to_compare_are_finished_and_no_sweeps(store: RunStore) -> None:
    sweep = add(store, "lengths", 1000, **{KIND: "sweep"})
    killed = add(store, "killed", 1000, "KILLED")
    good = add(store, "good", 1000)
    assert [found(run) for run in store.find_runs([good, "good", good[:8]])] == [good]
    with pytest.raises(InputError, match=f"^run {sweep}: it is a sweep; its runs are compared by parent={sweep}"):
        store.find_runs([sweep])
    with pytest.raises(InputError, match=f"^run {killed}: it is KILLED, only FINISHED runs can be compared"):
        store.find_runs([killed])


def test_the_run_of_a_split_is_logged_by_its_id(store: RunStore, compose: Callable[..., Config]) -> None:
    run_id, key = add(store, "good one", 1000), "dataset.split.from_run"
    for name in ("last", run_id[:7], "good one", "'good one'", run_id):
        assert resolve_split_run(["seed=1", f"{key}={name}"]) == ["seed=1", f"{key}={run_id}"]
    assert resolve_split_run([f"{key}=null", "~x"]) == [f"{key}=null", "~x"]
    with pytest.raises(InputError, match="^dataset.split.from_run=last: in a file it means another run each time"):
        read_splits(compose(f"{key}=last"))
