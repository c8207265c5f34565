"""`medft chat` in a terminal, as a person has it."""

import codecs
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
    told, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a character

    def wait_for(text: str, more: int = 0, interrupts: bool = False) -> None:
        """Read until a text has come, and so many characters after it, and forget them.

        Args:
            interrupts: once a second, as one does whose Ctrl-C fell between the prompt and the waiting for a key.
        """
        nonlocal told
        deadline = time.monotonic() + 120
        while text not in told or len(told) < told.index(text) + len(text) + more:
            assert time.monotonic() < deadline, told
            if interrupts:
                chat.send_signal(signal.SIGINT)
            if select.select([ours], [], [], 1)[0]:
                told += decoder.decode(os.read(ours, 1000))
        told = told[told.index(text) + len(text) :]

    try:
        wait_for("Nothing here is medical advice")
        wait_for("> ")
        os.write(ours, "痛风是什么?\n".encode())
        wait_for("痛风是什么?\r\n", more=40)
        chat.send_signal(signal.SIGINT)
        wait_for("(stopped)")
        wait_for("> ")
        wait_for("Ctrl-D or /quit ends", interrupts=True)
        assert chat.poll() is None
    finally:
        chat.kill()
        chat.wait()
        os.close(ours)
        os.close(theirs)
