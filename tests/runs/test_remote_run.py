"""What is downloaded of a run that MLflow has goes with the process."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from types import SimpleNamespace
import mlflow
from medft.runs.remote_run import RemoteRun

def download(run_id, artifact_path, dst_path):
    print(dst_path)
    return dst_path

mlflow.artifacts.download_artifacts = download
info = SimpleNamespace(run_id="a", run_name="b", status="FINISHED", start_time=0, end_time=1, artifact_uri="URI")
data = SimpleNamespace(tags={}, metrics={}, params={})
RemoteRun(None, SimpleNamespace(info=info, data=data)).artifact("model")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri", "copied"), [("mlflow-artifacts:/1/a", True), ("s3://b/a", True), ("/mlruns/a", False), ("file:///m", False)]
)
def test_downloads_go_with_the_process(tmp_path: Path, uri: str, copied: bool) -> None:
    script = SCRIPT.replace("URI", uri)
    if not copied:  # a store on this disk is read where it is
        script = script.replace("return dst_path", "return '.'")
    done = subprocess.run([sys.executable, "-c", script], env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin"},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip().startswith(str(tmp_path / "medft-downloads-")) is copied
    assert not list(tmp_path.glob("medft-downloads-*"))
