"""The commands of README.md, of the manual and of conf/ exist, and their overrides make a valid config."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from medft.cli.main import main
from medft.config.compose import compose_config
from medft.config.paths import conf_dir
from medft.errors import InputError
from tests.docs.pages import PAGES, ROOT, command_lines

# the KEY=VALUE that a command takes beside those of the config; None = it takes no others
OWN = {"judge": ["run"], "ask": ["run"], "data": ["split", "rows", "to"], "fetch": [], "compare": None, "report": None}


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
        InputError: an override is wrong.
    """
    overrides = [each for each in arguments if "=" in each and " " not in each.split("=")[0]]
    if command == "train":
        for job in jobs(overrides):
            compose_config(job)
    elif command == "search":
        from medft.search.plan import plan_search

        plan_search(overrides)
    elif (own := OWN[command]) is not None:
        compose_config([each for each in overrides if each.split("=")[0] not in own and "=128,256" not in each])


@pytest.mark.parametrize(("command", "arguments"), commands(), ids=lambda value: str(value)[:60])
def test_a_documented_command_is_right(
    command: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # clusters want a server; nothing is asked of it
    (tmp_path / "my.yaml").write_text("ranges:\n  optimizer.lr: {low: 1e-5, high: 1e-3, log: true}\n")
    check(command, arguments)


@pytest.mark.parametrize("command", sorted({command for command, _ in commands()} - {"train"}))
def test_a_documented_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"] if command in ("search", "data", "compare", "report") else ["--help"]) == 0
    assert f"medft {command}" in capsys.readouterr().out


def test_the_commands_are_found_and_a_wrong_one_is_noticed() -> None:
    assert len(commands()) > 40
    assert {"train", "search", "data", "judge", "compare", "report", "ask", "fetch"} <= {each for each, _ in commands()}
    with pytest.raises(InputError, match=r"dataset\.sise"):
        check("train", ["dataset.sise=3"])


def test_the_readme_is_short_and_starts_with_make() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 100
    targets = [line for line in (ROOT / "Makefile").read_text().splitlines() if line[:1].isalpha()]
    for _, line in lines():
        if line.startswith("make "):
            assert any(target.startswith(f"{line.split()[1]}:") for target in targets), line
    assert {"make demo", "make test"} <= {line.split("  ")[0] for line in command_lines(text)}
