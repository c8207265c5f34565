"""What nobody needs is found and removed; whatever is alive, finished, undelivered or of somebody else stays."""

import io
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from medft.cli.main import main
from medft.config.schema import Config
from medft.files import write_json
from medft.runs import cleaning
from medft.runs.cleaning import (
    ARTIFACTS,
    CACHE,
    COPIES,
    DOWNLOADS,
    FAILED_RUNS,
    RESTS,
    STARTS,
    Unneeded,
    find_unneeded,
    remove,
)
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun, hold_folder
from medft.runs.state import SUPERSEDED

DAY = "outputs/2026-01-02"


def make(file: Path, content: str = "x" * 100, age: float = 0) -> Path:
    """A file that was written some seconds ago."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    for path in (file, file.parent):
        os.utime(path, (time.time() - age,) * 2)
    return file


def add(config: Config, folder: Path, status: str = "FAILED", pending: bool = False, **tags: str) -> LocalRun:
    run = LocalRun.create(config, folder, "a run", tags)
    run.set_status(status)
    (run.folder / "run.lock").touch()
    if not pending:
        run.index.mark_delivered(run.run_id)
    return run


def found(config: Config) -> dict[str, set[Path]]:
    kinds: dict[str, set[Path]] = {}
    for each in find_unneeded(config):
        kinds.setdefault(each.kind, set()).add(each.path)
    return kinds


def test_the_cache_goes_but_not_verdicts_nor_what_was_just_written(config: Config) -> None:
    cache = config.paths.cache
    old = {make(cache / name, age=4000) for name in ("data/rows-1.arrow", "data/tokens-1.arrow", "baselines/1.json")}
    model = make(cache / "models" / "abc" / "config.json", age=4000).parent
    sources = {make(cache / name, age=4000) for name in ("gguf/a.gguf", "medquad/b.zip")}
    make(cache / "data" / "rows-2.arrow")
    make(cache / "judge" / "verdicts.sqlite", age=4000)
    make(cache / "locks" / "a.lock", age=4000)
    assert found(config) == {CACHE: {*old, model}, DOWNLOADS: sources}
    make(cache / "data" / "tokens-1.arrow.sha256")
    for each in find_unneeded(config):
        assert remove(each, Path(config.paths.root_dir))
    assert not list((cache / "data").glob("tokens*")) and not model.exists()
    assert (cache / "judge" / "verdicts.sqlite").exists() and (cache / "data" / "rows-2.arrow").exists()


def test_a_live_run_keeps_the_cache(config: Config, root: Path) -> None:
    make(config.paths.cache / "data" / "rows-1.arrow", age=4000)
    run = add(config, root / DAY / "12-00-00", "RUNNING", pending=True)
    assert CACHE in found(config)
    with hold_folder(run.folder):
        assert found(config) == {}


def test_starts_that_failed_go_with_the_folder_of_their_day(config: Config, root: Path) -> None:
    start = make(root / DAY / "12-00-00-1" / "error.txt").parent
    make(start / ".hydra" / "config.yaml")
    (start / "run.lock").touch()
    abandoned = make(root / DAY / "12-00-00-2" / "run.lock", age=90000).parent
    make(root / DAY / "12-00-00-3" / "run.lock")  # it reads its data yet
    make(make(root / DAY / "12-00-00-4" / "error.txt").parent / "my notes.txt")
    make(root / "outputs" / "mine" / "error.txt")
    (root / DAY / "12-00-00-5").symlink_to(start)
    assert found(config) == {STARTS: {start, abandoned}}
    each = next(each for each in find_unneeded(config) if each.path == start)
    with hold_folder(start):
        assert found(config) == {STARTS: {abandoned}}
        assert not remove(each, root)
    make(start / "run.json")  # another start, meanwhile
    assert not remove(each, root) and start.exists()
    (start / "run.json").unlink()
    assert remove(each, root) and not start.exists() and abandoned.exists()


def test_only_runs_that_came_to_nothing_go(config: Config, root: Path) -> None:
    gone = {add(config, root / DAY / status, status).folder for status in ("FAILED", "KILLED")}
    add(config, root / DAY / "finished", "FINISHED")
    add(config, root / DAY / "pending", pending=True)
    add(config, root / DAY / "job", **{"medft.parent": "p"})
    add(config, root / DAY / "sweep", **{"medft.kind": "sweep"})
    add(config, root / "outputs" / "mine")
    add(config, root.parent / "elsewhere")
    make(add(config, root / DAY / "goes on").folder / "checkpoints" / "last.ckpt")
    make(add(config, root / DAY / "damaged").folder / "journal.jsonl", "nonsense\n")
    held = add(config, root / DAY / "held")
    earlier = add(config, root / DAY / "twice", **{"medft.parent": "p"})
    newer = add(config, root / DAY / "twice", "FINISHED", **{"medft.parent": "p"})
    moved = newer.folder / "earlier" / earlier.run_id[:8]
    RunIndex(root).mark_delivered(earlier.run_id)
    with hold_folder(held.folder):
        assert found(config) == {FAILED_RUNS: {*gone, moved}}
    assert LocalRun(moved).state.tags[SUPERSEDED] == newer.run_id


def test_a_kill_in_the_middle_leaves_no_run_and_the_rest_goes_later(
    config: Config, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = add(config, root / DAY / "12-00-00")
    make(root / DAY / "other" / "report.html")
    (each,) = find_unneeded(config)
    with monkeypatch.context() as patch:
        patch.setattr(cleaning.shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remove(each, root)
    assert not run.folder.exists() and not list(root.rglob("run.json"))
    assert RunIndex(root).get(run.run_id) is None and not RunIndex(root).list_lost()
    (rest,) = find_unneeded(config)
    assert rest.kind == RESTS and rest.path.name.startswith("12-00-00.") and rest.path.name.endswith(".removed")
    assert remove(rest, root) and [path.name for path in (root / DAY).iterdir()] == ["other"]


def test_rests_are_old_and_nobody_has_them_open(config: Config, root: Path) -> None:
    old = make(root / DAY / "run" / "report.html.0123abcd.part", age=90000)
    make(root / DAY / "run" / "thesis.part", age=90000)
    make(root / DAY / "run" / "new.html.0123abcd.part")
    unpacked = make(config.paths.cache / "gguf" / "tmpabcdefgh" / "a.whl", age=90000).parent
    used = make(config.paths.cache / "data" / "rows.01234567.part", age=90000)
    with used.open():
        assert found(config) == {RESTS: {old, unpacked}}


def test_files_of_runs_that_were_deleted_in_mlflow_go(config: Config, root: Path) -> None:
    artifacts = root / "mlruns" / "artifacts"
    for name in ("deleted", "kept", "undelivered"):
        make(artifacts / name / "artifacts" / "report.html")
    run = add(config, root / "outputs" / "mine", "FINISHED", pending=True)
    from medft.files import write_json

    write_json(run.folder / "delivered.json", {"mlflow_run_id": "undelivered"})
    precious = make(root / "precious" / "thesis.tex").parent
    with closing(sqlite3.connect(root / "mlruns" / "mlflow.db")) as database:
        for name, stage, uri in (
            ("deleted", "deleted", (artifacts / "deleted" / "artifacts").as_uri()),
            ("kept", "active", (artifacts / "kept" / "artifacts").as_uri()),
            ("undelivered", "deleted", (artifacts / "undelivered" / "artifacts").as_uri()),
            ("strange", "deleted", precious.as_uri()),
            ("away", "deleted", "s3://bucket/away/artifacts"),
        ):
            columns = "run_uuid, lifecycle_stage, artifact_uri, status, source_type, experiment_id"
            values = (name, stage, uri, "FINISHED", "LOCAL", 0)
            database.execute(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values)
        database.commit()
        assert found(config) == {ARTIFACTS: {artifacts / "deleted"}}
        (each,) = find_unneeded(config)
        database.execute("UPDATE runs SET lifecycle_stage = 'active' WHERE run_uuid = 'deleted'")
        database.commit()
    assert not remove(each, root) and each.path.exists()


def test_the_command_asks_and_does_nothing_without_an_answer(
    config: Config, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = make(root / DAY / "12-00-00" / "error.txt", "x" * 1500).parent
    failed = add(config, root / DAY / "13-00-00").folder
    stdin = io.StringIO()
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["runs", "clean"]) == 2
    told = capsys.readouterr()
    assert "starts that failed" in told.out and "1.5 kB" in told.out
    assert "stays without --failed: failed and killed runs with nothing to go on from (1, " in told.out
    assert told.err.startswith("error: nothing was removed: there is no terminal to ask at")
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    for answer, exists in (("", True), ("n", True), (EOFError, True), ("y", False)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: give(question, answer))
        assert main(["runs", "clean"]) == 0
        assert start.exists() is exists
        assert ("removed:       1 of 1, 1.5 kB are free again" in capsys.readouterr().out) is not exists
    assert failed.exists()
    assert main(["runs", "clean", "--yes", "--failed"]) == 0
    assert not failed.exists() and not (root / DAY).exists()
    capsys.readouterr()
    assert main(["runs", "clean"]) == 0
    assert capsys.readouterr().out.startswith(f"nothing to remove in {root} and ")


def give(question: str, answer: object) -> str:
    assert question == "remove? [y/N] "
    if answer is EOFError:
        raise EOFError
    return str(answer)


def test_what_cannot_be_removed_is_named_and_the_rest_goes(
    config: Config, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1", "2"):
        make(root / DAY / name / "error.txt")
    really = cleaning.remove

    def refuse(each: Unneeded, root: Path) -> bool:
        if each.path.name == "1":
            raise PermissionError(13, "Permission denied")
        return really(each, root)

    monkeypatch.setattr(cleaning, "remove", refuse)
    assert main(["runs", "clean", "--yes"]) == 1
    told = capsys.readouterr()
    assert told.err == f"warning: {root / DAY / '1'}: cannot be removed (Permission denied)\n"
    assert told.out.endswith("removed:       1 of 2, 100 B are free again\n")


def test_copies_of_runs_go_when_mlflow_has_them_and_what_a_killed_export_has_left(config: Config) -> None:
    root, week = Path(config.paths.root_dir), 7 * 86400 + 9
    link = root.with_name("link")
    link.symlink_to(root)
    linked = config.model_copy(update={"paths": config.paths.model_copy(update={"root_dir": str(link)})})
    index = RunIndex(root)
    new, whole, ahead, broken = (index.name_copy("ab12") for _ in range(4))
    for folder, end, age in ((new, 10, 9.0), (whole, 10, week), (ahead, 9, week), (broken, 10, week)):
        folder.mkdir(parents=True)
        write_json(folder / "delivered.json", {"mlflow_run_id": "x", "experiment_id": None, "end": end})
        (folder / "journal.jsonl").write_text("0123456789")
        for path in (*folder.iterdir(), folder):
            os.utime(path, (time.time() - age,) * 2)
    (broken / "delivered.json").write_text("{}")
    make(root / "outputs" / "copies" / "mine" / "model.safetensors", age=week)
    export = make(root / "outputs" / "export" / ".export-abc" / "model.safetensors", age=week).parent
    with_old = make(root / "outputs" / "export" / ".export-def" / "old" / "model.safetensors", age=week).parents[1]
    os.utime(with_old, (time.time() - week,) * 2)
    make(root / "outputs" / "export" / "mine" / "model.safetensors", age=week)
    assert found(config) == found(linked) == {COPIES: {whole}, RESTS: {export}}
    pending = {entry.folder for entry in RunIndex(link).list_pending() if entry.run_id == "ab12"}
    assert pending == {str(ahead), str(broken)}, "whoever delivers what is damaged is told"
    [copy] = [each for each in find_unneeded(config) if each.kind == COPIES]
    (whole / "journal.jsonl").write_text("0123456789, and more")  # logged, after it was found
    os.utime(whole / "journal.jsonl", (time.time() - week,) * 2)
    assert not remove(copy, root) and whole.exists()
    (whole / "journal.jsonl").write_text("0123456789")
    os.utime(whole / "journal.jsonl", (time.time() - week,) * 2)
    assert remove(copy, root) and not whole.exists()
