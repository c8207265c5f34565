"""The repository's pages, the blocks of code in them, and the hooks that complete them."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from medft.config.paths import checkout_root

ROOT = checkout_root() or Path()
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "experiments/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def load_hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert spec and spec.loader
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> Iterator[str]:
    """The lines of the `sh` blocks, continued ones joined."""
    for block in blocks(text, "sh"):
        yield from filter(None, map(str.strip, block.replace("\\\n", " ").splitlines()))
