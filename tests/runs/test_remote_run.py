"""What is downloaded of a run that MLflow has goes with the process; what lies on this disk is read where it is."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from medft.errors import InputError
from medft.runs.remote_run import RemoteRun

SCRIPT = """
from types import SimpleNamespace
import mlflow
from medft.runs.remote_run import RemoteRun

def download(artifact_uri, dst_path):
    assert artifact_uri == "URI/model"
    print(dst_path)
    return dst_path

mlflow.artifacts.download_artifacts = download
info = SimpleNamespace(run_id="a", run_name="b", status="FINISHED", start_time=0, end_time=1, artifact_uri="URI")
data = SimpleNamespace(tags={}, metrics={}, params={})
RemoteRun(None, SimpleNamespace(info=info, data=data)).artifact("model")
"""


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["mlflow-artifacts:/1/a", "s3://b/a"])
def test_downloads_go_with_the_process(tmp_path: Path, uri: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.replace("URI", uri)], capture_output=True, text=True,
                          env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin"}, check=True)  # fmt: skip
    assert done.stdout.strip().startswith(str(tmp_path / "medft-downloads-"))
    assert not list(tmp_path.glob("medft-downloads-*"))


def test_a_full_disk_is_no_missing_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import mlflow

    def download(**_: object) -> str:
        raise error

    info = SimpleNamespace(run_id="a", run_name="b", status="FINISHED", start_time=0, end_time=1, artifact_uri="s3://b")
    run = RemoteRun(None, SimpleNamespace(info=info, data=SimpleNamespace(tags={}, metrics={}, params={})))
    monkeypatch.setattr("medft.runs.remote_run._downloads", lambda: str(tmp_path))
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    error: Exception = mlflow.exceptions.MlflowException("failed: OSError(28, 'No space left on device')")
    with pytest.raises(mlflow.exceptions.MlflowException, match="No space left"):
        run.artifact("model")
    error = OSError("404 Client Error: Not Found")
    with pytest.raises(InputError, match="run=a: it logged no model"):
        run.artifact("model")


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_store_on_this_disk_is_read_where_it_is(tmp_path: Path, as_uri: bool) -> None:
    place = tmp_path / "artifacts of ä run"
    (place / "model").mkdir(parents=True)
    info = SimpleNamespace(run_id="a", run_name="b", status="FINISHED", start_time=0, end_time=1,
                           artifact_uri=place.as_uri() if as_uri else str(place))  # fmt: skip
    run = RemoteRun(None, SimpleNamespace(info=info, data=SimpleNamespace(tags={}, metrics={}, params={})))
    assert run.artifact("model") == place / "model"
    with pytest.raises(InputError, match="^run=a: it logged no checkpoints$"):
        run.artifact("checkpoints")
