"""The local database: it appears when it is whole, and one that is there stays."""

from collections.abc import Callable
from pathlib import Path

from medft.config.schema import Config
from medft.runs.store import connect, get_experiment_id, tracking_uri
from tests.composed import composed


def test_a_database_is_made_whole_whatever_a_killed_process_has_left(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "mlruns"
    folder.mkdir(parents=True)
    (folder / "mlflow.1.new").write_bytes(b"half of a database")
    config = composed()
    assert connect(config).search_experiments()
    assert {each.name for each in folder.iterdir() if each.suffix in (".db", ".new")} == {"mlflow.db", "mlflow.1.new"}


def test_a_database_that_is_there_stays(tiny: Callable[..., Config], ready_store: Path, tmp_path: Path) -> None:
    config = tiny()
    first = get_experiment_id(connect(config), "medft", tracking_uri(config), tmp_path / "root")
    before = ready_store.stat().st_ino
    assert get_experiment_id(connect(config), "medft", tracking_uri(config), tmp_path / "root") == first
    assert ready_store.stat().st_ino == before
