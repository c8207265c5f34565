"""What lies in the current folder is not run: it may be a model's."""

import subprocess
import sys
from pathlib import Path

import pytest

from medft.cli import ddp_worker
from medft.cli.main import main
from medft.data.template import render_chat
from medft.interpreter import make_command
from medft.jobs import worker


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


ENDING = """
import atexit, gc
from medft.interpreter import end_quickly
counts = []
freeze = gc.freeze
gc.freeze = lambda: counts.append(freeze())
atexit.register(lambda: print(len(counts), gc.get_freeze_count() > 1000))  # the first to be registered ends last
end_quickly()
end_quickly()
"""


def test_a_process_ends_without_a_search_for_garbage() -> None:
    told = subprocess.run(make_command("-c", ENDING), check=True, capture_output=True, text=True).stdout
    assert told == "1 True\n"


def test_every_program_asks_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("medft.cli.main.end_quickly", lambda: asked.append("medft"))
    assert main(["--version"]) == 0
    assert asked == ["medft"]
    for program in (worker.main, ddp_worker.main):
        assert "end_quickly" in program.__code__.co_names
