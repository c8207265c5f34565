"""`medft chat run=<id>`: the model of a finished run in the terminal; `medft serve run=<id>`: in a web page."""

import importlib.util

from medft.cli.parser import Arguments
from medft.console import quieten, quieten_loggers
from medft.errors import InputError
from medft.runs.open import open_run


def chat(arguments: Arguments) -> int:
    """Answer questions until they end; returns the exit code."""
    run = open_run(arguments.values["run"], arguments.overrides)
    quieten()
    from medft.runs.trained_model import load_model  # imports torch: not before the run is found
    from medft.serving.chat import hold_chat

    quieten_loggers()
    return hold_chat(load_model(run), run.describe())


def serve(arguments: Arguments) -> int:
    """Serve the page until Ctrl-C; returns the exit code."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"medft serve needs {' and '.join(missing)}: pip install 'medft[serve]'")
    run = open_run(arguments.values["run"], arguments.overrides)
    quieten()
    from medft.serving.server import serve_run

    quieten_loggers()
    serve_run(run, arguments.values["host"], arguments.values["port"])
    return 0
