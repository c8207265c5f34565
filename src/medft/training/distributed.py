"""Several processes of one machine that train one model: who starts them, how they meet, how they end.

Lightning would start them as well. But then they meet at a TCP store that listens on every interface and asks nobody
who they are, and a process that dies takes the first one with it before that can log anything. Here they meet in a
file that only their user can read, and talk over the loopback interface.
"""

import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from typing_extensions import override

from medft.config.schema import Config
from medft.console import warn
from medft.errors import MedftError, describe_signal
from medft.interpreter import make_command

_FOLDER = "MEDFT_PROCESSES"  # where the processes of a run meet; only the further ones have it
_PATIENCE = 30.0  # seconds to hear of a dead process from the library that waits for it, and for others to end


class _OneMachine(LightningEnvironment):
    """Processes that were started here; Lightning starts none."""

    @property
    @override
    def creates_processes_externally(self) -> bool:
        return True


@contextmanager
def join_processes(config: Config, device: str) -> Iterator[list[Any]]:
    """Start the further processes that a config asks for, and connect all of them while the context lasts.

    Gives the plugins by which Lightning knows them: none where one process trains, or where torchrun has started them.

    Raises:
        MedftError: one of them died.
    """
    if config.trainer.strategy == "auto" or ("LOCAL_RANK" in os.environ and _FOLDER not in os.environ):
        yield []
    elif _FOLDER in os.environ:
        folder, rank = Path(os.environ[_FOLDER]), int(os.environ["LOCAL_RANK"])
        (folder / f"ready-{rank}").touch()
        with _connect(folder, rank, config.trainer.devices, device):
            yield [_OneMachine()]
    else:
        with (
            tempfile.TemporaryDirectory(prefix="medft-") as home,
            _share_cores(config.trainer.devices),
            _Others(config, Path(home)) as others,
        ):
            others.wait_until_ready()
            with _connect(Path(home), 0, config.trainer.devices, device):
                try:
                    yield [_OneMachine()]
                except BaseException as error:
                    others.end(error)  # while they are connected: they would complain that this one has gone
                    raise


class _Others:
    """The processes but the first. Their standard input is a pipe from here: with the first one all of them end."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._folder, self._ended = folder, threading.Event()
        loopback = _find_loopback()
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, loopback)
        settings = config.resolved
        place = {"output_dir": str(config.paths.output)}
        settings = {
            **settings,
            "paths": settings["paths"] | place,
            "trainer": settings["trainer"] | config.trainer.model_dump(include={"resume_from", "precision"}),
        }
        self._processes = [self._start(rank, settings) for rank in range(1, config.trainer.devices)]

    def _start(self, rank: int, settings: dict[str, Any]) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            make_command("-m", "medft.cli.ddp_worker"),
            stdin=subprocess.PIPE,
            env={**os.environ, "LOCAL_RANK": str(rank), _FOLDER: str(self._folder)},
        )
        assert process.stdin
        with suppress(BrokenPipeError):  # it has died already, which is noticed below
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
        return process

    def __enter__(self) -> "_Others":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.end(error)

    def end(self, error: BaseException | None) -> None:
        """End all of them: at once after an error.

        Raises:
            MedftError: that one of them died is what the error comes from.
        """
        if self._ended.is_set():
            return
        self._ended.set()
        died = None
        if isinstance(error, Exception):  # a lost connection is heard of before the process is known to be dead
            died = self._wait_for_death(2.0)
        for process in self._processes:
            if error is None:  # it ends by itself
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.communicate()  # closes the pipe
        if died and not isinstance(error, MedftError):
            raise MedftError(died) from error

    def wait_until_ready(self) -> None:
        """Wait until all are about to connect: who waits in a store does not notice that another died."""
        while len(list(self._folder.glob("ready-*"))) < len(self._processes):
            if died := self._wait_for_death(0.1):
                raise MedftError(died)

    def _wait_for_death(self, seconds: float) -> str | None:
        """How one of them died, within some seconds."""
        deadline = time.monotonic() + seconds
        while True:
            for number, process in enumerate(self._processes, 2):
                if code := process.poll():
                    return f"process {number} of {len(self._processes) + 1} {_describe_end(code)}: the training stops"
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)

    def _watch(self) -> None:
        """End this process if another one died and that goes unnoticed: GPUs may wait for it for ever."""
        died = None
        while not died:
            if self._ended.wait(0.5):
                return
            died = self._wait_for_death(0.0)
        if not self._ended.wait(_PATIENCE):
            warn(f"{died}; nothing more is logged of this run")
            os._exit(1)


def _describe_end(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code} (what it printed says why)"
    return f"was ended by {describe_signal(-code)}"


@contextmanager
def _connect(folder: Path, rank: int, processes: int, device: str) -> Iterator[None]:
    """Connect this process with the others; Lightning takes the group that it finds."""
    on_gpu = device == "cuda"
    torch.distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=(folder / "store").as_uri(),
        rank=rank,
        world_size=processes,
        device_id=torch.device("cuda", rank) if on_gpu else None,
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def _share_cores(processes: int) -> Iterator[None]:
    """Let each of the processes use its share of the cores, unless OMP_NUM_THREADS says how many."""
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    share = max(1, before // processes)
    os.environ["OMP_NUM_THREADS"] = str(share)
    torch.set_num_threads(share)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        torch.set_num_threads(before)


def _find_loopback() -> str:
    """The name of the loopback interface: lo, on a Mac lo0."""
    interfaces = psutil.net_if_addrs().items()
    return next(
        (
            name
            for name, all in interfaces
            if any(each.family == socket.AF_INET and each.address == "127.0.0.1" for each in all)
        ),
        "lo",
    )
