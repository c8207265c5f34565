"""`medft`: picks the command, and turns what went wrong into one line and an exit code."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medft import __version__
from medft.cli.commands import COMMANDS, DESCRIPTION, NOTES
from medft.cli.parser import describe_wrong_option, make_parser, name_command
from medft.errors import OUTPUT_CLOSED, InputError, MedftError, explain
from medft.interpreter import end_quickly
from medft.loopback import bypass_proxies
from medft.secrets import hide_in_tracebacks


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    end_quickly()
    hide_in_tracebacks()
    bypass_proxies()
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has stopped, as `| head -1` does
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what Python writes when it ends
        return OUTPUT_CLOSED
    except Exception as error:
        return report(error)


def _run(argv: list[str]) -> int:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError("the directory that you are in was deleted: cd to another one") from None
    if argv[-1:] == ["help"] and len(argv) <= 3:  # `medft help`, `medft data help`
        argv[-1] = "--help"
    argv = name_command(COMMANDS, argv)
    if any("dataset.split.from_run=" in argument for argument in argv):
        from medft.runs.query import resolve_split_run

        argv = resolve_split_run(argv)
    parser = make_parser(COMMANDS, __version__, DESCRIPTION, NOTES)
    try:
        chosen, unknown = parser.parse_known_args(argv)
    except SystemExit:  # help or the version has been printed
        return 0
    command = getattr(chosen, "command", None)
    if unknown and command is None:
        raise InputError(describe_wrong_option(unknown[0], []))
    if command is None:
        getattr(chosen, "group", parser).print_help()
        return 0
    raw = command.keys == "raw"
    arguments: Any = unknown if raw else command.parse([*chosen.arguments, *unknown], chosen.program)
    # imported only when it is run, so that help and errors come at once
    module, _, function = command.function.partition(":")
    return int(getattr(importlib.import_module(f"medft.cli.{module}"), function)(arguments))


def report(error: BaseException) -> int:
    """Print an error, a line for each thing that is wrong; returns the exit code."""
    from medft.console import clean

    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    error = explain(error)
    if isinstance(error, MedftError):
        lines = str(error).splitlines()
    else:  # a bug or a broken environment
        lines = [f"{type(error).__name__}: {' '.join(str(error).split())} (HYDRA_FULL_ERROR=1 shows where)"]
    for line in lines:
        print(f"error: {clean(line)}", file=sys.stderr)
    return error.exit_code if isinstance(error, MedftError) else 1


if __name__ == "__main__":
    sys.exit(main())
