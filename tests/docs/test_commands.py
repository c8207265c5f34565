"""The commands of README.md, of the manual and of conf/ exist, and their overrides make a valid config."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from medft.cli.commands import COMMANDS
from medft.cli.parser import name_command
from medft.config.compose import compose_config
from medft.config.paths import conf_dir
from medft.errors import InputError
from tests.docs.pages import PAGES, ROOT, command_lines


def lines() -> Iterator[tuple[str, str]]:
    """Each command with where it stands."""
    for page in PAGES:
        for line in command_lines(page.read_text()):
            yield str(page.relative_to(ROOT)), line
    for path in sorted(conf_dir().rglob("*.yaml")):
        for line in path.read_text().splitlines():
            if line.startswith(("#   python train.py", "#   medft")):
                yield str(path.relative_to(ROOT)), line.lstrip("# ")


def commands() -> list[tuple[str, list[str]]]:
    """The commands of medft as (command, arguments), each once."""
    found: dict[str, tuple[str, list[str]]] = {}
    for _, line in lines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "train.py"]:
            found[shlex.join(words)] = ("train", words[2:])
        elif words and words[0] == "medft":
            found[shlex.join(words)] = (words[1], words[2:])
    return list(found.values())


def jobs(overrides: list[str]) -> list[list[str]]:
    """The jobs of a sweep, as few as have each value once."""
    parsed = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()] if each.is_sweep_override() else
        [each.input_line or ""]
        for each in OverridesParser.create().parse_overrides(overrides)
    ]  # fmt: skip
    count = max(map(len, parsed), default=1)
    return [[values[number % len(values)] for values in parsed] for number in range(count)]


def check(command: str, arguments: list[str]) -> None:
    """What can be checked without running it.

    Raises:
        InputError: an argument is wrong.
    """
    if command == "train":
        for job in jobs([each for each in arguments if not each.startswith("-") and each != "job"]):
            compose_config(job)
    elif command == "plan":
        check("train", arguments)
    elif command == "search":
        from medft.search.plan import plan_search

        plan_search(arguments)
    elif "--help" not in arguments:
        found = {each.name: each for each in COMMANDS}[command]
        if found.commands:
            _, command, *arguments = name_command(COMMANDS, [command, *arguments])
            found = {each.name: each for each in found.commands}[command]
        parsed = found.parse(arguments, f"medft {command}")
        # the audit alone takes several lengths in one run
        compose_config([each for each in parsed.overrides if not re.match(r"dataset\.max_length=\d+,", each)])


@pytest.mark.parametrize(("command", "arguments"), commands(), ids=lambda value: str(value)[:60])
def test_a_documented_command_is_right(
    command: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # clusters want a server; nothing is asked of it
    (tmp_path / "my.yaml").write_text("ranges:\n  optimizer.lr: {low: 1e-5, high: 1e-3, log: true}\n")
    check(command, arguments)


def test_the_commands_are_found_and_a_wrong_one_is_noticed() -> None:
    assert len(commands()) > 40
    assert {each for each, _ in commands()} == {each.name for each in COMMANDS}, "each command has an example"
    with pytest.raises(InputError, match=r"dataset\.sise"):
        check("train", ["dataset.sise=3"])
    with pytest.raises(InputError, match="questions=some"):
        check("compare", ["RUN", "RUN", "questions=some"])


def test_the_readme_is_short_and_starts_with_make() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 100
    targets = [line for line in (ROOT / "Makefile").read_text().splitlines() if line[:1].isalpha()]
    for _, line in lines():
        if line.startswith("make "):
            assert any(target.startswith(f"{line.split()[1]}:") for target in targets), line
    assert {"make demo", "make test"} <= {line.split("  ")[0] for line in command_lines(text)}
