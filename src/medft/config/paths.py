"""Where things lie: the config tree, the project root, the cache."""

import hashlib
import os
import zipfile
from pathlib import Path

from omegaconf import OmegaConf

PACKAGE = Path(__file__).resolve().parents[1]
ADAPTERS = "adapters"  # the folder of a run with those of LoRA alone; `model` has them merged


def checkout_root() -> Path | None:
    """The checkout this package is imported from, or None when it was installed from a wheel."""
    root = PACKAGE.parents[1]
    return root if (root / "conf" / "train.yaml").is_file() else None


def conf_dir() -> Path:
    """The config tree: `conf/` of the checkout, else the copy that the wheel carries."""
    root = checkout_root()
    return root / "conf" if root else PACKAGE / "conf"


def root_dir() -> str:
    """Where `mlruns/` and `outputs/` go: MEDFT_ROOT, else the checkout, else the working directory."""
    return os.environ.get("MEDFT_ROOT") or str(checkout_root() or Path.cwd())


def cache_dir() -> str:
    """Where downloads and converted weights go: MEDFT_CACHE, else the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return os.environ.get("MEDFT_CACHE") or str(Path(base) / "medft")


def data_place() -> str:
    """What MEDFT_DATA names: a directory, a .zip file or the URL of one; empty if it is not set."""
    named = os.environ.get("MEDFT_DATA", "")
    return str(Path(named).expanduser().absolute()) if named and "://" not in named else named


def downloaded_archive(cache: str, url: str) -> Path:
    """Where a release of MedQuAD from a URL is kept."""
    return Path(cache) / "medquad" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.zip"


def medquad_path(cache: str, archive: str) -> str:
    """Where MedQuAD lies: what MEDFT_DATA names, else its public archive, or the only copy of it that the cache has."""
    kept = downloaded_archive(cache, archive)
    copies = [] if kept.exists() else [each for each in kept.parent.glob("*.zip") if zipfile.is_zipfile(each)]
    return data_place() or (str(copies[0]) if len(copies) == 1 else archive)


def register_resolvers() -> None:
    """Make `${medft.root:}`, `${medft.cache:}` and `${medft.medquad:CACHE,URL}` known to OmegaConf."""
    OmegaConf.register_new_resolver("medft.root", root_dir, replace=True)
    OmegaConf.register_new_resolver("medft.cache", cache_dir, replace=True)
    OmegaConf.register_new_resolver("medft.medquad", medquad_path, replace=True)
