"""Files are whole or not there, and one process holds a lock."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from medft.errors import DamagedFile, InputError
from medft.files import (
    apply_umask,
    exclusive_lock,
    file_digest,
    json_digest,
    link_or_copy,
    read_json,
    temporary_path,
    write_atomically,
    write_checked,
    write_json,
)  # fmt: skip


def test_a_file_appears_whole_in_a_folder_that_is_made(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.json"
    with write_atomically(target) as partial:
        assert partial.parent == target.parent, "renaming is one step only in the same folder"
        partial.write_text("half")
        assert not target.exists()
        partial.write_text("whole")
    assert target.read_text() == "whole"
    assert [each.name for each in target.parent.iterdir()] == ["file.json"]


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_atomically(target) as partial:
        partial.write_text("new")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_two_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    assert temporary_path(tmp_path / "file") != temporary_path(tmp_path / "file")


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "one.lock"
    with exclusive_lock(lock), pytest.raises(InputError, match="^taken$"), exclusive_lock(lock, "taken"):
        pass
    with exclusive_lock(lock, "taken"):
        pass


def test_a_lock_goes_when_its_block_fails(tmp_path: Path) -> None:
    lock = tmp_path / "one.lock"
    with pytest.raises(TimeoutError), exclusive_lock(lock, "taken"):
        raise TimeoutError("of the work, not of the lock")
    with exclusive_lock(lock, "taken"):
        pass


def test_digests_are_those_of_the_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    assert file_digest(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1}) != json_digest({"a": 2, "b": 1})
    assert len(json_digest([], 32)) == 32


def test_an_object_comes_back_and_a_changed_one_is_told(tmp_path: Path) -> None:
    file, content = tmp_path / "facts.json", {"b": 1.5, "a": ["é", None], "nan": {"x": 1e300}}
    write_json(file, content)
    assert read_json(file) == content
    whole = file.read_bytes()
    for damage in (whole[:-3], b"", b"[1]", b'{"a": 1}', whole.replace(b"1.5", b"1.6"), whole.replace(b'"b"', b'"c"')):
        file.write_bytes(damage)
        with pytest.raises(DamagedFile, match=f"^{file}: is not what was written"):
            read_json(file)


def test_a_link_takes_no_room_and_another_disk_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "weights", tmp_path / "store" / "weights"
    source.write_text("1")
    link_or_copy(source, target)
    assert target.samefile(source)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    source = tmp_path / "others"
    source.write_text("2")
    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(source, target)
    assert target.read_text() == "2"
    assert not target.samefile(source)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_weights_have_the_mode_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with write_checked(tmp_path / "best.safetensors") as partial:
            save_file({"a": np.zeros(2)}, partial)
        folder = tmp_path / "model"
        (folder / "deep").mkdir(parents=True)
        save_file({"a": np.zeros(2)}, folder / "deep" / "model.safetensors")
        apply_umask(folder)
    finally:
        os.umask(before)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert len(files) == 3
    assert {each.stat().st_mode & 0o777 for each in files} == {mode}
