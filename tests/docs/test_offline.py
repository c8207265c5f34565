"""docs/offline.md as it is written: the second half in a network namespace that has no network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

_SKIPPED = shutil.ignore_patterns(".git", ".venv", "bundle", "mlruns", "outputs", "__pycache__", ".mypy_cache")


@pytest.mark.slow
@pytest.mark.skipif(
    "MEDFT_TEST_OFFLINE" not in os.environ, reason="MEDFT_TEST_OFFLINE is not set: it takes ten minutes"
)
def test_the_demo_runs_where_there_is_no_network(tmp_path: Path) -> None:
    online, offline = blocks((ROOT / "docs" / "offline.md").read_text(encoding="utf-8"), "sh")
    checkout, other = tmp_path / "checkout", tmp_path / "other"
    shutil.copytree(ROOT, checkout, ignore=_SKIPPED)
    other.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    run(["bash", "-ec", online], checkout, environment)
    shutil.move(checkout / "bundle", other / "bundle")
    shutil.rmtree(checkout)
    told = run(["unshare", "--map-root-user", "--net", "bash", "-ec", offline], other, environment)
    assert "bits_per_byte" in told and "report.html" in told


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=1800
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
