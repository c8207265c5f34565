"""MLflow's database in a file: made whole or not at all, brought up to date, mended, or set aside.

All of it happens under a lock that stands beside the file, before MLflow opens it: MLflow itself makes its tables one
by one, and two processes that do so at once, or one that is killed meanwhile, leave half of a database.
"""

import contextlib
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from medft.console import note, warn
from medft.errors import TrackerUnavailable
from medft.files import exclusive_lock, write_atomically

_LARGEST_CHECKED = 256 * 2**20  # bytes that are looked through at every start: up to two seconds
_PATIENCE = 20.0  # seconds for another process to release the database
_LEFT_OVER = "_alembic_tmp_"  # tables of a migration that did not end


def prepare_database(file: Path) -> bool:
    """Make sure that MLflow can open a database.

    Returns:
        Whether what was there had to be set aside: runs that are in folders can be delivered anew.

    Raises:
        TrackerUnavailable: it is of a newer MLflow, or cannot be made or read now.
    """
    with _database_errors(file), exclusive_lock(file.with_name(f"{file.name}.lock")):
        if not file.exists() or file.stat().st_size == 0:
            _create(file)
            return False
        try:
            version, runs = _look_into(file)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or a full disk: nothing is wrong with the file
                raise
            _set_aside(file, f"it is no database any more ({error})")
            return True
        if version is None and not runs:
            _set_aside(file, "it was left half made")
            return True
        if version != _newest_version():
            _upgrade(file, version)
    return False


def list_deleted_artifacts(file: Path) -> dict[str, Path]:
    """The folders of the runs that were deleted in a database, by MLflow's id; none where there is no such database."""
    if not file.is_file():
        return {}
    query = "SELECT run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted'"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_PATIENCE)) as database:
            rows = database.execute(query).fetchall()
    except sqlite3.Error as error:
        warn(f"{file}: {error}; what was deleted in MLflow is not looked at")
        return {}
    places = {mlflow_id: urlsplit(uri or "") for mlflow_id, uri in rows}
    folders = {mlflow_id: Path(unquote(uri.path)) for mlflow_id, uri in places.items() if uri.scheme in ("", "file")}
    # <anything>/<id>/artifacts, as MLflow lays it out: nothing else is taken for a run's
    return {
        mlflow_id: folder.parent
        for mlflow_id, folder in folders.items()
        if folder.is_absolute() and (folder.parent.name, folder.name) == (mlflow_id, "artifacts")
    }


def _create(file: Path) -> None:
    """Make it under another name: a process that is killed meanwhile leaves nothing under its own."""
    import mlflow

    with write_atomically(file) as new:
        mlflow.MlflowClient(f"sqlite:///{new}", f"sqlite:///{new}").search_experiments(max_results=1)


def _look_into(file: Path) -> tuple[str | None, int]:
    """The version of its tables, None where they are not whole; and the number of runs."""
    with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=_PATIENCE)) as database:
        if file.stat().st_size <= _LARGEST_CHECKED:
            fault = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
            if fault != "ok":
                raise sqlite3.DatabaseError(" ".join(fault.split()))
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        runs = database.execute("SELECT count(*) FROM runs").fetchone()[0] if "runs" in tables else 0
        has_version = "alembic_version" in tables
        versions = database.execute("SELECT version_num FROM alembic_version").fetchall() if has_version else []
        half = any(name.startswith(_LEFT_OVER) for name in tables)
    return (None if half or not versions else str(versions[0][0])), int(runs)


def _newest_version() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _upgrade(file: Path, version: str | None) -> None:
    """Bring the tables of an older MLflow, or of a migration that did not end, up to date; a copy of before is kept."""
    import sqlalchemy
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config, _upgrade_db

    known = {each.revision for each in ScriptDirectory.from_config(_get_alembic_config("")).walk_revisions()}
    if version is not None and version not in known:
        raise TrackerUnavailable(f"{file}: was made by a newer MLflow (version {version}); pip install -U mlflow")
    copy = _free_name(file, "before-upgrade")
    shutil.copy2(file, copy)
    note(f"{file}: of an older MLflow, or half migrated: it is brought up to date; {copy.name} is as it was")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with closing(sqlite3.connect(file)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in (name for name in names if name.startswith(_LEFT_OVER)):
            database.execute(f'DROP TABLE "{name}"')
        database.commit()
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    try:
        _upgrade_db(engine)
    finally:
        engine.dispose()


def _set_aside(file: Path, why: str) -> None:
    aside = _free_name(file, "set-aside")
    for suffix in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            file.with_name(file.name + suffix).rename(aside.with_name(aside.name + suffix))
    warn(f"{file}: {why}; it is {aside.name} now, and a new one is made, which medft sync fills from the runs' folders")
    _create(file)


def _free_name(file: Path, what: str) -> Path:
    return file.with_name(f"{file.stem}.{what}-{datetime.now():%Y%m%d-%H%M%S-%f}{file.suffix}")


@contextmanager
def _database_errors(file: Path) -> Iterator[None]:
    """Errors of the file system and of sqlite, with the path."""
    try:
        yield
    except TrackerUnavailable:
        raise
    except Exception as error:  # MLflow and SQLAlchemy wrap them in their own
        raise TrackerUnavailable(f"{file}: {' '.join(str(error).split())[:200]}") from error
