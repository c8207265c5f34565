"""`requirements.lock` is what the tests run on, with a hash for each file."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from medft.config.paths import checkout_root

ROOT = checkout_root()


def read_pins(file: Path) -> dict[str, str]:
    """The version of each package."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([\w.\[\]-]+)==([^\s;]+)", line) for line in lines]
    return {canonicalize_name(match[1].split("[")[0]): match[2] for match in found if match}


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    return read_pins(ROOT / "requirements.lock")


def test_the_lock_has_the_versions_that_are_tested(locked: dict[str, str]) -> None:
    tested = read_pins(ROOT / "constraints.txt")
    assert len(locked) > 100
    assert {
        name: (version, tested[name]) for name, version in locked.items() if tested.get(name, version) != version
    } == {}


def test_all_that_medft_needs_is_in_the_lock(locked: dict[str, str]) -> None:
    """`make lock` renews it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked_extras = re.search(r"^LOCKED := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert locked_extras
    extras = [each for name in locked_extras[1].split() for each in project["optional-dependencies"][name]]
    needed = [Requirement(each) for each in (*project["dependencies"], *extras)]
    assert [str(each) for each in needed if locked.get(canonicalize_name(each.name), "") not in each.specifier] == []


def test_every_locked_package_has_its_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert [block.splitlines()[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}", block)] == []
    assert "://" not in text, "an address would be asked instead of the user's index"
