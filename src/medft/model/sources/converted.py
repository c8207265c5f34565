"""Weights of other formats, converted once to a directory of safetensors in the cache."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from medft.config.schema import ModelConfig
from medft.console import say, warn
from medft.errors import NOT_AS_WRITTEN, DamagedFile, ModelError
from medft.files import exclusive_lock, file_digest, read_json, write_json

_DIGESTS = "digests.json"


def convert_once(name: str, key: str, cache: Path, write: Callable[[Path], None]) -> Path:
    """The directory that `write` makes at the path it is given, unless it is in the cache and as it was written.

    Args:
        name: of the source, for messages.
        key: all that decides what is written.
    """
    target = cache / "models" / hashlib.sha256(key.encode()).hexdigest()[:16]
    with exclusive_lock(target.with_name(f"{target.name}.lock")):
        if target.exists() and not _is_as_written(target):
            warn(f"{target}: {NOT_AS_WRITTEN}: converted anew")
            shutil.rmtree(target)
        if not target.exists():
            say(f"converting {name} to safetensors (once, to {target})")
            with tempfile.TemporaryDirectory(dir=target.parent) as directory:
                written = Path(directory) / "model"
                write(written)
                write_json(written / _DIGESTS, {each.name: file_digest(each) for each in written.iterdir()})
                shutil.move(written, target)
    return target


def digest_weights(file: Path, model: ModelConfig) -> str:
    """SHA-256 (hex) of a file of weights.

    Raises:
        ModelError: it is not `model.sha256`.
    """
    digest = file_digest(file)
    if model.sha256 not in (None, digest):
        raise ModelError(f"{file}: has sha256 {digest}, expected model.sha256={model.sha256}")
    return digest


def _is_as_written(folder: Path) -> bool:
    try:
        digests = read_json(folder / _DIGESTS)
        return all(file_digest(folder / name) == digest for name, digest in digests.items())
    except (DamagedFile, FileNotFoundError):
        return False
