"""What makes a run repeatable: its config's hash, the code's commit, the versions it ran on."""

import hashlib
import json
import platform
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from medft.config.paths import checkout_root

_NOT_HASHED = (
    "paths",
    "tracking",
    "sweep",
    "launcher",
    "judge",
    "audit",
    "hydra",
)  # they do not change what is learned or measured
_JUDGE_NOT_HASHED = ("host", "base_url", "timeout", "load_timeout", "attempts", "backoff", "concurrency", "cache")
_PACKAGES = (
    "medft",
    "torch",
    "transformers",
    "pytorch-lightning",
    "peft",
    "tiktoken",
    "mlflow",
    "hydra-core",
)


def config_hash(resolved: dict[str, Any]) -> str:
    """SHA-256 (16 hex digits) of a resolved config, without where it runs, how it is logged and who judges."""
    kept = {key: value for key, value in resolved.items() if key not in _NOT_HASHED}
    kept["trainer"] = {key: value for key, value in kept["trainer"].items() if key != "resume_from"}
    kept["dataset"] = _without_paths(kept["dataset"])
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def judge_hash(resolved: dict[str, Any]) -> str:
    """SHA-256 (16 hex digits) of who judges and how, without where the judge runs and how patiently it is asked."""
    kept = {key: value for key, value in resolved["judge"].items() if key not in _JUDGE_NOT_HASHED}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def command_line(program: str, arguments: Sequence[str]) -> str:
    """A command as it can be pasted into a shell."""
    return " ".join([program, *map(shlex.quote, arguments)])


def flatten(resolved: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each value of a nested config with its dotted key."""
    for key, value in resolved.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def code_tags() -> dict[str, str]:
    """Git commit and whether the tree had changes (of a checkout), versions of what matters, and the machine."""
    tags = {f"version.{name}": version(name) for name in _PACKAGES}
    tags["version.python"] = platform.python_version()
    tags["machine"] = machine()
    root = checkout_root()
    commit = _git("rev-parse", "HEAD") if root else None
    if commit:
        tags["git.commit"] = commit
        tags["git.dirty"] = str(bool(_git("status", "--porcelain"))).lower()
    return tags


def machine() -> str:
    """The machine in words: system, processor, cores, memory."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else []
    processor = models[0] if models else platform.processor() or platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    return f"{platform.system()}, {processor}, {psutil.cpu_count()} cores, {memory:.0f} GiB"


def _without_paths(dataset: dict[str, Any]) -> dict[str, Any]:
    """Data counts by its content (the fingerprint tag), not by where it lies."""
    reader = {key: value for key, value in dataset["reader"].items() if key not in ("path", "cache_dir")}
    return {key: value for key, value in dataset.items() if key != "path"} | {"reader": reader}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout_root()), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
