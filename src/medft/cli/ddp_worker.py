"""The program of every further process of a distributed run: its config comes through standard input."""

import json
import os
import signal
import sys
import threading

from medft.cli.main import report
from medft.config.compose import validate
from medft.console import quieten, quieten_loggers


def main() -> int:
    """Train with the first process; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the first process is told too, and ends this one
        signal.signal(number, signal.SIG_IGN)
    config = validate(json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_first, daemon=True).start()
    try:
        quieten()
        from medft.experiment import join

        quieten_loggers()
        join(config)
    except Exception as error:
        return report(error)
    return 0


def _end_with_first() -> None:
    """Standard input is a pipe from the first process, and is closed when that ends, however it does."""
    while os.read(sys.stdin.fileno(), 1024):  # not through a buffer, whose lock would outlive this thread
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
