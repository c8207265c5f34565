"""Passwords in addresses and values of environment variables: the process knows them, and shows them to nobody."""

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

_MASK = "***"
_PASSWORD = re.compile(r"(://[^/@:\s]*):(?!\d+/)[^\s'\"]*@")  # a port with a path behind it is none
_SHORTEST = 6  # characters of what is looked for in any text; shorter ones would be found in innocent words
_known: dict[str, str] = {}  # what is secret, and what is shown for it


def keep_secret(secret: str, shown: str) -> None:
    """Have `hide` replace a text wherever it stands. One that is a path here is no secret: messages name files."""
    if len(secret) >= _SHORTEST and not os.path.exists(secret):  # noqa: PTH110 - Path refuses long names
        _known[secret] = shown


def hide(text: str) -> str:
    """A text without secrets: passwords in addresses, and values that the config takes from the environment."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, _known[secret])
    return hide_passwords(text)


def hide_passwords(text: str) -> str:
    """A text without the passwords of the addresses in it."""
    return _PASSWORD.sub(rf"\1:{_MASK}@", text)


def lacks_password(address: str) -> bool:
    """Whether an address is one that was shown without its password."""
    return f":{_MASK}@" in address


def fill_passwords(text: str, addresses: Iterable[str]) -> str:
    """A text with the passwords that `hide_passwords` has left out, as far as they are among these addresses."""
    for address in addresses:
        if lacks_password(shown := hide_passwords(address)):
            text = text.replace(shown, address)
    return text


def map_texts(change: Callable[[str], Any], tree: Any) -> Any:
    """Plain data with each text in it changed, but the keys."""
    if isinstance(tree, dict):
        return {key: map_texts(change, value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [map_texts(change, value) for value in tree]
    return change(tree) if isinstance(tree, str) else tree


def hide_in_tracebacks() -> None:
    """Have what ends this process printed without secrets."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(hide("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
