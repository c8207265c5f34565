"""`medft ask run=<id> "question"`: ask the model that a run has trained."""

from medft.cli.parser import Arguments
from medft.console import say
from medft.runs.open import open_run
from medft.runs.trained_model import load_model


def ask(arguments: Arguments) -> int:
    """Print the answer; returns the exit code."""
    run = open_run(arguments.values["run"], arguments.overrides)
    say(load_model(run).answer(arguments.words[0]))
    return 0
