"""The map of the house has every room, and what it says to start with is there."""

import re

from tests.docs.pages import ROOT

SOURCE = ROOT / "src" / "medft"


def rooms() -> dict[str, str]:
    """Each room of the map with the file it says to start with."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {name: row[3].strip("`") for row in table for name in re.findall(r"`([\w/.]+)`", row[0])}


def test_every_package_is_a_room_of_the_map() -> None:
    packages = {path.parent.relative_to(ROOT / "src").as_posix() for path in SOURCE.rglob("__init__.py")}
    assert packages - {"medft"} == {name for name in rooms() if "/" in name and not name.endswith(".py")}


def test_every_config_group_belongs_to_a_room() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    groups = [path.name for path in (ROOT / "conf").iterdir() if path.is_dir()]
    assert [group for group in groups if f"`{group}`" not in text and f"/{group}" not in text] == []


def test_the_map_starts_with_files_that_exist() -> None:
    names = {name: start for name, start in rooms().items() if start}
    assert len(names) > 12
    files = [ROOT / "src" / name / start for name, start in names.items() if "/" in name]
    assert [file for file in files if not file.exists()] == []
