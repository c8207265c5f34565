"""The program of every further process of a distributed run: its config comes through standard input."""

import json
import os
import signal
import sys
import time

from medft.cli.main import report
from medft.config.compose import validate
from medft.console import quieten, quieten_loggers
from medft.interpreter import end_quickly
from medft.jobs.worker import end_with_parent

_PATIENCE = 4.0  # seconds for the first process to end this one, if what failed is not this one


def main() -> int:
    """Train with the first process; returns the exit code."""
    end_quickly()
    for number in (signal.SIGINT, signal.SIGTERM):  # the first process is told too, and ends this one
        signal.signal(number, signal.SIG_IGN)
    config = validate(json.loads(sys.stdin.buffer.readline()))
    end_with_parent(lambda: os._exit(1))
    try:
        quieten()
        from medft.experiment import join

        quieten_loggers()
        join(config)
    except Exception as error:
        time.sleep(_PATIENCE)
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
