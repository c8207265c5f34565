"""What makes a run repeatable: its config's hash, the code's commit, the versions it ran on."""

import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from medft.config import roles
from medft.config.paths import PACKAGE, checkout_root
from medft.config.section import Role
from medft.files import json_digest
from medft.runs.state import CODE, GIT_COMMIT
from medft.secrets import hide_passwords

_PACKAGES = ("medft", "torch", "transformers", "pytorch-lightning", "peft", "tiktoken", "mlflow", "hydra-core")


def config_hash(resolved: dict[str, Any]) -> str:
    """SHA-256 (16 hex digits) of all that changes what is learned or measured; data count by their fingerprint."""
    return json_digest(roles.settings_with(resolved, roles.SETTINGS))


def judge_hash(resolved: dict[str, Any]) -> str:
    """SHA-256 (16 hex digits) of who judges and what, without where the judge runs and how patiently it is asked."""
    return json_digest(roles.settings_with(resolved, Role.JUDGE))


def make_identity_tags(resolved: dict[str, Any]) -> dict[str, str]:
    """The tags that tell whether two runs had the same config and the same judge."""
    return {"config_hash": config_hash(resolved), "judge_hash": judge_hash(resolved)}


def command_line(program: str, arguments: Sequence[str]) -> str:
    """A command as it can be pasted into a shell, without the passwords of addresses."""
    return " ".join([program, *(shlex.quote(hide_passwords(each)) for each in arguments)])


def collect_code_tags() -> dict[str, str]:
    """Git commit and whether the tree had changes (of a checkout), versions of what matters, and the machine."""
    tags = {f"version.{name}": version(name) for name in _PACKAGES}
    tags[CODE] = _digest_source()
    tags |= {"version.python": platform.python_version(), "machine": _describe_machine()}
    if checkout_root() and (commit := _git("rev-parse", "HEAD")):
        tags[GIT_COMMIT] = commit
        tags["git.dirty"] = str(bool(_git("status", "--porcelain"))).lower()
    return tags


def _describe_machine() -> str:
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else []
    processor = models[0] if models else platform.processor() or platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    return f"{platform.system()}, {processor}, {psutil.cpu_count()} cores, {memory:.0f} GiB"


@cache
def _digest_source() -> str:
    """SHA-256 (16 hex digits) of medft's own source; of a checkout with changes no commit tells it."""
    files = sorted(PACKAGE.rglob("*.py"))
    return json_digest([(file.relative_to(PACKAGE).as_posix(), file.read_text(encoding="utf-8")) for file in files])


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(checkout_root()), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
