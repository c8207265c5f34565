"""A full disk and memory that ran out are told as that, whoever says so and however."""

import errno
import sqlite3

import pytest

from medft.errors import InputError, JudgeUnavailable, OutOfMemory, OutOfSpace, explain


def caused(error: Exception, cause: Exception) -> Exception:
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/last.ckpt"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        caused(RuntimeError("inline_container.cc: unexpected pos"), OSError(errno.ENOSPC, "full")),
    ],
)
def test_a_full_disk(error: Exception) -> None:
    shown = explain(error)
    assert isinstance(shown, OutOfSpace)
    assert shown.exit_code == 1
    if isinstance(error, OSError) and error.filename:
        assert error.filename in str(shown)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libx.so: failed to map segment from shared object"),
    ],
)
def test_no_memory(error: Exception) -> None:
    shown = explain(error)
    assert isinstance(shown, OutOfMemory)
    assert "trainer.tokens_per_forward" in str(shown)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        InputError("dataset.path=x: no such file"),
        caused(InputError("x.csv: no space left on device"), OSError(errno.ENOSPC, "full")),
        JudgeUnavailable("ollama: 500 out of memory"),
        OSError(errno.EACCES, "Permission denied"),
    ],
)
def test_others_are_left_as_they_are(error: Exception) -> None:
    assert explain(error) is error
