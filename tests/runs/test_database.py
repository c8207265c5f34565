"""MLflow's database in a file: made once, and what is not whole is mended or set aside."""

import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from medft.config.schema import Config
from medft.errors import TrackerUnavailable
from medft.runs import database
from medft.runs.database import prepare_database
from medft.runs.delivery import deliver, deliver_pending, find_mlflow_id
from medft.runs.local_run import LocalRun
from medft.runs.store import connect


def execute(file: Path, *commands: str) -> None:
    with closing(sqlite3.connect(file)) as store:
        for command in commands:
            store.execute(command)
        store.commit()


def count_experiments(file: Path) -> int:
    return len(mlflow.MlflowClient(f"sqlite:///{file}").search_experiments())


def beside(file: Path, what: str) -> list[Path]:
    return sorted(file.parent.glob(f"{file.stem}.{what}-*"))


@pytest.fixture
def file(tmp_path: Path, empty_store: Path) -> Path:
    """A whole database."""
    (tmp_path / "store").mkdir()
    return Path(shutil.copy(empty_store, tmp_path / "store" / "mlflow.db"))


def test_a_whole_one_stays_as_it_is(file: Path) -> None:
    before = file.read_bytes()
    assert not prepare_database(file)
    assert file.read_bytes() == before
    assert {each.name for each in file.parent.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


@pytest.mark.parametrize("left", ["nothing", "empty"])
def test_one_that_is_not_there_is_made(file: Path, left: str) -> None:
    file.unlink() if left == "nothing" else file.write_bytes(b"")
    assert not prepare_database(file)
    assert count_experiments(file) == 1


def test_tables_without_a_version_are_half_made(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execute(file, "DROP TABLE alembic_version", "DROP TABLE datasets")
    assert prepare_database(file)
    assert count_experiments(file) == 1
    (aside,) = beside(file, "set-aside")
    assert f"{file}: it was left half made; it is {aside.name} now" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "garbage", "zeroed page"])
def test_what_is_no_database_any_more_is_set_aside_and_kept(
    file: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(file.read_bytes())
    content[: 4096 if damage == "zeroed page" else 100] = bytes(4096 if damage == "zeroed page" else 100)
    file.write_bytes({"cut": file.read_bytes()[:5000], "garbage": b"garbage" * 1000}.get(damage, bytes(content)))
    was = file.read_bytes()
    assert prepare_database(file)
    (aside,) = beside(file, "set-aside")
    assert aside.read_bytes() == was
    assert str(file) in capsys.readouterr().err
    assert count_experiments(file) == 1


def test_a_migration_that_did_not_end_is_mended_with_the_runs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{file}")
    run_id = client.create_run("0").info.run_id
    execute(file, "CREATE TABLE _alembic_tmp_experiments (id INTEGER)")
    assert not prepare_database(file)
    assert mlflow.MlflowClient(f"sqlite:///{file}").get_run(run_id).info.status == "RUNNING"
    assert len(beside(file, "before-upgrade")) == 1
    assert not prepare_database(file)
    assert len(beside(file, "before-upgrade")) == 1


def test_one_of_a_newer_mlflow_is_told(file: Path) -> None:
    execute(file, "UPDATE alembic_version SET version_num = 'of-tomorrow'")
    with pytest.raises(TrackerUnavailable, match=f"{file}: was made by a newer MLflow"):
        prepare_database(file)


def test_a_folder_or_a_full_disk_is_a_line_with_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(TrackerUnavailable, match=f"{tmp_path / 'mlflow.db'}: unable to open"):
        prepare_database(tmp_path / "mlflow.db")

    def fail(file: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(database, "_create", fail)
    with pytest.raises(TrackerUnavailable, match="new.db: .*No space left"):
        prepare_database(tmp_path / "new.db")


def test_after_a_database_is_lost_its_runs_are_delivered_anew(
    compose: Callable[..., Config], tmp_path: Path, ready_store: Path
) -> None:
    config = compose()
    run = LocalRun.create(config, tmp_path / "out", "a run", {})
    run.log_metrics({"test/loss": 1.0})
    run.set_status("FINISHED")
    deliver(run, connect(config))
    first = find_mlflow_id(run, connect(config))
    ready_store.write_bytes(b"garbage" * 1000)
    for engine in SqlAlchemyStore._engine_map.values():  # as in a new process
        engine.dispose()
    whole, _ = deliver_pending(config, connect(config))
    assert [each.run_id for each in whole] == [run.run_id]
    again = connect(config).get_run(find_mlflow_id(run, connect(config)))
    assert again.info.run_id != first
    assert again.data.metrics == {"test/loss": 1.0}


def open_store(
    file: Path, barrier: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[str]"
) -> None:
    barrier.wait(timeout=60)
    try:
        prepare_database(file)
        mlflow.MlflowClient(f"sqlite:///{file}").create_run("0")
        results.put("")
    except Exception as error:
        results.put(str(error))


@pytest.mark.slow
def test_four_at_once_on_a_fresh_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=open_store, args=(tmp_path / "mlflow.db", barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [results.get(timeout=1) for _ in processes] == [""] * 4
    assert len(mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").search_runs(["0"])) == 4


def test_one_whose_pages_are_damaged_is_set_aside(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(file)) as store:
        size = store.execute("PRAGMA page_size").fetchone()[0]
        page = store.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metrics'").fetchone()[0]
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 64] = bytes(64)
    file.write_bytes(content)
    assert prepare_database(file)
    assert "it is no database any more" in capsys.readouterr().err
    assert [each.read_bytes() for each in beside(file, "set-aside")] == [content]
    assert count_experiments(file) == 1
