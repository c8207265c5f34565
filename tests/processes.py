"""Other processes of the tests: free ports, waiting with a limit, servers, and the commands as people type them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medft.config.paths import checkout_root

QUICK = os.pathsep.join(filter(None, [str(Path(__file__).parent / "quick"), os.environ.get("PYTHONPATH")]))


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    ready: Callable[[], object],
    process: "subprocess.Popen[Any]",
    log: Path | None = None,
    seconds: float = 180,
    pause: float = 0.1,
) -> None:
    """Wait for a condition; a process that ends meanwhile or takes too long fails the test with its log."""
    deadline = time.monotonic() + seconds
    while not ready():
        told = log.read_text(errors="replace") if log else "(no log)"
        assert process.poll() is None, f"the process ended with {process.returncode}: {told}"
        assert time.monotonic() < deadline, f"not ready after {seconds} s: {told}"
        time.sleep(pause)


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    ready: Callable[[], object],
    stop: signal.Signals = signal.SIGINT,  # to PostgreSQL: end without waiting for clients
    **environment: str,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server in a process group of its own, from when it is ready to the end of the context."""
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, stdout=file, stderr=file, start_new_session=True, env={**os.environ, **environment}
        )
    try:
        wait_until(ready, server, log)
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, stop)
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def start(*arguments: str, program: str = "train.py", **environment: str) -> "subprocess.Popen[str]":
    """`python train.py ...`, or `medft ...` with program="medft"; the encoder of `similarity` is a stand-in there,
    unless PYTHONPATH="" is given.
    """
    command = [str(checkout_root() / program)] if program == "train.py" else ["-m", "medft.cli.main"]  # type: ignore[operator]
    return subprocess.Popen(
        [sys.executable, *command, *arguments],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": QUICK, **environment},
    )  # fmt: skip


def call(*arguments: str, program: str = "train.py", **environment: str) -> tuple[int, str, str]:
    """The same until it ends: exit code, output, errors."""
    process = start(*arguments, program=program, **environment)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def medft(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """`medft ...` until it ends."""
    return call(*arguments, program="medft", **environment)
