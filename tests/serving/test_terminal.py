"""`medft chat` in a terminal, as a person has it."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.finished import Finished


@pytest.mark.slow
def test_ctrl_c_stops_an_answer_and_not_the_program(finished: Callable[..., Finished]) -> None:
    folder = finished().config.paths.output
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "medft.cli.main", "chat", f"run={folder}", "generation.max_new_tokens=1000"]
    chat = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    told = ""

    def wait_for(text: str, more: int = 0) -> None:
        """Read until a text has come, and so many characters after it, and forget them."""
        nonlocal told
        deadline = time.monotonic() + 120
        while text not in told or len(told) < told.index(text) + len(text) + more:
            assert time.monotonic() < deadline, told
            if select.select([ours], [], [], 1)[0]:
                told += os.read(ours, 1000).decode(errors="replace")
        told = told[told.index(text) + len(text) :]

    try:
        wait_for("Nothing here is medical advice")
        wait_for("> ")
        os.write(ours, "痛风是什么?\n".encode())
        wait_for("痛风是什么?\r\n", more=40)
        chat.send_signal(signal.SIGINT)
        wait_for("(stopped)")
        wait_for("> ")
        chat.send_signal(signal.SIGINT)
        wait_for("Ctrl-D or /quit ends")
        assert chat.poll() is None
    finally:
        chat.kill()
        chat.wait()
        os.close(ours)
        os.close(theirs)
