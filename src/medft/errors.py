"""The errors that users see: one line each, and what the process then exits with."""

import errno
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

OUTPUT_CLOSED = 141  # the exit code that shells give a program whose output nobody reads any more


class MedftError(Exception):
    """A run failed for a reason we can name. The process exits with 1."""

    exit_code = 1


class InputError(MedftError):
    """What the user gave is wrong (a key, a file, a combination). The process exits with 2."""

    exit_code = 2


class DataError(InputError):
    """A file of data cannot be used; the message names the file and, where there is one, the line."""


class ModelError(InputError):
    """A model cannot be had or does not fit its settings."""


class JudgeUnavailable(MedftError):
    """The judge cannot be reached or has not the model; nothing was judged."""


class DamagedFile(MedftError):
    """A file of medft's own is not what was written."""


NOT_AS_WRITTEN = "is not what was written (the disk, or an editor)"  # said of such a file


class TrackerUnavailable(MedftError):
    """MLflow cannot be had, or does not take what is sent; nothing is lost."""


class OutOfSpace(MedftError):
    """A disk is full; what was written before is whole."""


class OutOfMemory(MedftError):
    """The machine or its GPU has too little memory for these settings."""


LESS_MEMORY = (
    "less is needed with a smaller trainer.tokens_per_forward or dataset.max_length, "
    "trainer.gradient_checkpointing=true, finetune=lora, a smaller model; "
    "where answers are written, a smaller evaluation.batch_size"
)


@contextmanager
def broken_model(what: str) -> Iterator[None]:
    """Inside this context whatever a library raises of a model's files becomes a `ModelError`: none of them checks what
    it reads before it uses it, so that a broken file fails in any way.
    """
    try:
        yield
    except BaseException as error:
        # PanicException: of libraries in Rust, which is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if isinstance(explain(error), MedftError):  # one of medft's own, or the machine's fault
            raise
        why = next(iter(str(error).strip().splitlines()), "")
        raise ModelError(f"{what} ({type(error).__name__}: {why[:300]})") from None


def describe_signal(number: int) -> str:
    """The name of the signal that ended a process, and what to do where that was the kernel for want of memory."""
    name = signal.Signals(number).name
    return f"{name}{f' (probably out of memory; {LESS_MEMORY})' if name == 'SIGKILL' else ''}"


# as torch, safetensors, sqlite, Rust and the C library say it: few of them raise an OSError with its number
_NO_SPACE = re.compile(r"no space left on device|database or disk is full|disk quota exceeded", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|(can't|cannot) allocate memory|failed to map segment", re.IGNORECASE)


def explain(error: BaseException) -> BaseException:
    """The error that a user is to see: of a full disk or of memory that ran out what helps, else the error itself."""
    for each in _list_causes(error):
        if isinstance(each, MedftError):
            return error
        number = each.errno if isinstance(each, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT) or _NO_SPACE.search(str(each)):
            where = f" ({each.filename})" if isinstance(each, OSError) and each.filename else ""
            return OutOfSpace(f"no space left on the disk{where}: make room, then start it again")
        if isinstance(each, MemoryError) or number == errno.ENOMEM or _NO_MEMORY.search(str(each)):
            return OutOfMemory(f"out of memory: {LESS_MEMORY}")
    return error


def describe(error: BaseException) -> str:
    """What a user is to read of any error while the process goes on."""
    return str(explain(error)) or type(error).__name__


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, then those that it came from."""
    while error:
        yield error
        error = error.__cause__ or error.__context__
