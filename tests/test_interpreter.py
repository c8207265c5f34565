"""What lies in the current folder is not run: it may be a model's."""

import subprocess
import sys
from pathlib import Path

import pytest

from medft.data.template import render_chat
from medft.interpreter import make_command


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, whose modules leave a mark."""
    for name in ("random", "json", "mine"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_modules_of_the_current_folder_are_not_imported(trap: Path) -> None:
    assert subprocess.run(make_command("-c", "import json, random"), check=False).returncode == 0
    assert subprocess.run(make_command("-m", "mine"), check=False, capture_output=True).returncode == 1
    assert render_chat("{{ messages[0].content }}", {}, [{"role": "user", "content": "Gicht?"}]) == "Gicht?"
    assert not (trap / "ran").exists()


@pytest.mark.parametrize("is_named", [False, True])
def test_those_of_a_folder_that_this_process_imports_from_are(
    trap: Path, is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(trap) if is_named else "", *sys.path])
    subprocess.run(make_command("-m", "mine"), check=True)
    assert (trap / "ran").exists()
