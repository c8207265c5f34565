"""The folder that an export goes to. The last line of its card says what medft has written there: such a folder is
replaced by the next export, anything else is not.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from medft.errors import InputError
from medft.files import file_digest

CARD = "README.md"
_MARK = "<!-- exported by medft: {} -->"  # with the digest of each file


def check_folder(folder: Path) -> None:
    """Check that an export may go there.

    Raises:
        InputError: it has what medft has not exported, or what was changed since.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    known = _read_mark(folder / CARD)
    if not known:
        raise InputError(f"folder={folder}: there is something else; name another folder")
    if others := {each.name for each in folder.iterdir()} - {*known}:
        raise InputError(f"folder={folder}: there is something else, too ({min(others)}); name another folder")
    if changed := [each.name for each in folder.iterdir() if _digest(each) != known[each.name]]:
        raise InputError(f"folder={folder}: {min(changed)} was changed since it was exported; name another folder")


def mark_folder(folder: Path, card: str) -> None:
    """Write the card, with a last line of what else is there."""
    (folder / CARD).write_text(card, encoding="utf-8")
    digests = {each.name: _digest(each) for each in sorted(folder.iterdir())}
    (folder / CARD).write_text(f"{card}\n{_MARK.format(json.dumps(digests))}\n", encoding="utf-8")


def _read_mark(card: Path) -> dict[str, str]:
    """The files of an export by name, each with its digest; empty where it is none."""
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines() if card.is_file() else []
    before, after = _MARK.split("{}")
    with suppress(ValueError):
        known = json.loads((lines or [""])[-1].removeprefix(before).removesuffix(after))
        return known if isinstance(known, dict) else {}
    return {}


def _digest(file: Path) -> str:
    """SHA-256 (hex) of a file, of a card without its last line; empty for a folder."""
    if file.name == CARD and file.is_file():
        text = file.read_bytes().partition(b"\n" + _MARK.split("{}")[0].encode())[0]
        return hashlib.sha256(text).hexdigest()
    return file_digest(file) if file.is_file() else ""
