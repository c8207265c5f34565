"""`python -m tests.filling DISK N COMMAND ...`: `medft COMMAND`, whose N-th file opened for writing on a disk fills it.

With N = 0 it is only said how many there are.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from medft.cli.main import main

FILLER = "filler"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def fill(disk: Path) -> None:
    """Leave not a byte on a disk."""
    file = os.open(disk / FILLER, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 1 << 12, 1):
        with contextlib.suppress(OSError):
            while os.write(file, b"x" * size):
                pass
    os.close(file)


def run(disk: Path, number: int, command: list[str]) -> int:
    count, filling = 0, False

    def watch(event: str, arguments: Any) -> None:
        nonlocal count, filling
        if event != "open" or filling or not str(arguments[0]).startswith(str(disk)) or not arguments[2] & _WRITES:
            return
        count += 1
        if count == number:
            filling = True
            print(f"full at: {arguments[0]}", flush=True)
            fill(disk)

    sys.addaudithook(watch)
    code = main(command)
    print(f"opened: {count}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
