"""`medft export run=<id> to=hf|gguf|ollama`: the model of a run as others read it, verified."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from medft.cli.parser import Arguments
from medft.console import quieten, quieten_loggers, say
from medft.errors import InputError
from medft.runs.open import open_run
from medft.runs.query import PLACES

if TYPE_CHECKING:
    from medft.export.export import Options

_OLLAMA = "127.0.0.1"
_PORT = 11434  # Ollama's, where an address names none


def export(arguments: Arguments) -> int:
    """Write and verify an export; returns the exit code."""
    asked = arguments.values
    if others := [each for each in arguments.overrides if not each.startswith(("generation.", *PLACES))]:
        raise InputError(f"{others[0]}: a model is exported as it was trained; only keys of generation may be others")
    run = open_run(asked["run"], arguments.overrides)
    quieten()
    from medft.export.export import Options, default_folder, export

    quieten_loggers()
    name = asked["name"] or choose_name(run.stored.state.name, run.stored.run_id)
    if not name.strip("./:"):
        raise InputError(f"name={name}: must have a letter or a digit")
    if not asked["merged"] and asked["to"] != "hf":
        raise InputError(f"merged=false: adapters alone are for to=hf, and to={asked['to']} has them merged")
    folder = default_folder(run.config, name, asked["to"], asked["type"])
    if asked["folder"]:
        folder = Path(asked["folder"]).expanduser()
    options = Options(
        to=asked["to"], kind=asked["type"], folder=folder, name=name,
        host=read_address(asked["host"] or os.environ.get("OLLAMA_HOST") or _OLLAMA),
        questions=asked["questions"] if asked["verify"] else 0, merged=asked["merged"],
    )  # fmt: skip
    export(run, options)
    _say_next(options)
    return 0


def choose_name(run_name: str, run_id: str) -> str:
    """What an export is called: as the run, in letters that all readers take; by its id where it has none of them."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", run_name.lower()).strip("-._")
    return plain or f"run-{run_id[:8]}"


def read_address(host: str) -> str:
    """The URL of an Ollama server, as `ollama` itself reads OLLAMA_HOST: without a scheme it is on Ollama's port, and
    without a name on this machine.
    """
    if "://" in host:
        return host
    host = host.rstrip("/")
    if host.count(":") > 1 and "[" not in host:  # of IPv6
        host = f"[{host}]"
    try:
        address = urlsplit(f"//{host}")
        host = host if address.hostname else f"{_OLLAMA}{host}"
        return f"http://{host}" if address.port is not None else f"http://{host}:{_PORT}"
    except ValueError:
        raise InputError(f"host={host}: must be an address such as 127.0.0.1:{_PORT}") from None


def _say_next(options: "Options") -> None:
    if options.to == "hf":
        say(f"hand it on:    hf upload YOU/{options.name} {options.folder}")
    elif options.to == "gguf":
        say(f"ask it:        llama-server -m {options.folder / options.file_name} --temp 0 --repeat-penalty 1")
    else:
        say(f"ask it:        ollama run {options.name} 'What is gout?'")
    say(f"read:          {options.folder / 'README.md'}")
    say(f"results:       {options.folder}")
