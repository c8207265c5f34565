"""A data set whose reading goes wrong in a chosen way, as long as the file MEDFT_TEST_ARMED names is there."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from medft.data.example import BadRow, Example
from medft.data.readers.sample import Sample


class Faulty(Sample):
    """The sample data; `fault` says what happens to the process that reads it."""

    fault: str = "none"

    def read(self) -> Iterator[Example | BadRow]:
        print(f"on node {os.environ.get('MEDFT_TEST_NODE')}")
        if Path(os.environ["MEDFT_TEST_ARMED"]).exists():
            self._go_wrong()
        yield from super().read()

    def _go_wrong(self) -> None:
        if self.fault == "raise":
            raise RuntimeError("out of luck")
        if self.fault == "exit":
            sys.exit(0)
        if self.fault == "vanish":
            os._exit(0)
        if self.fault in ("kill", "hang"):
            number = signal.SIGKILL if self.fault == "kill" else signal.SIGSTOP
            threading.Thread(target=_signal_after_checkpoint, args=(self.fault, number), daemon=True).start()


def _signal_after_checkpoint(fault: str, number: signal.Signals) -> None:
    outputs = Path(os.environ["MEDFT_ROOT"]) / "outputs"
    while not list(outputs.glob(f"*/*-sweep/fault={fault}/checkpoints/last.ckpt")):
        time.sleep(0.02)
    os.kill(os.getpid(), number)
