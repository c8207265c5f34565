"""Starts Python again, for what has to be in a process of its own, and ends it."""

import atexit
import gc
import sys
from pathlib import Path


def make_command(*words: str) -> list[str]:
    """The command that runs this Python with these words (`-m`, a module, ...).

    Python would look for modules in the current folder first. That may be a model's, which somebody else has made: what
    lies there is imported only if this process does it, too, as with `python train.py` in a checkout.
    """
    here = Path.cwd()
    sees_it = any(Path(each or ".").resolve() == here for each in sys.path)
    return [sys.executable, *([] if sees_it else ["-P"]), *words]


def end_quickly() -> None:
    """Leave out, when this process ends, the search for garbage: with all that torch and MLflow are made of it takes
    two seconds, and the system gets the memory back anyway.
    """
    atexit.unregister(gc.freeze)  # once, whoever has asked
    atexit.register(gc.freeze)
