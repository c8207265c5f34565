"""`medft`: picks the command, and turns what went wrong into one line and an exit code."""

import importlib
import sys
from collections.abc import Sequence

from medft import __version__
from medft.cli.errors import report

_HELP = """\
medft: fine-tune small language models on medical questions; tracked, repeatable, comparable.

  medft train [KEY=VALUE ...]                   run an experiment (the same as python train.py)
  medft train -m KEY=A,B ...                    run one for every combination
  medft search [search=FILE] [KEY=VALUE ...]    search hyper-parameters with Optuna (medft search --help)
  medft data preview|audit|export [KEY=VALUE ...]   look at the data, train nothing
  medft judge run=ID [judge=ollama ...]         judge the answers of a finished run
  medft compare RUN RUN ... | parent=ID         finished runs side by side, with intervals and costs
  medft report parent=ID | experiment=NAME      a sweep's results as a folder of experiments/
  medft ask run=ID "QUESTION" [KEY=VALUE ...]   ask the model of a finished run
  medft fetch [KEY=VALUE ...]                   download a run's model and data to the cache, train nothing

  medft train --help     lists models, data sets and experiments
  medft train --cfg job  prints the composed config; the files under conf/ explain each key

Exit codes: 0 done, 1 the run failed, 2 wrong input, 130 interrupted. HYDRA_FULL_ERROR=1 shows tracebacks."""

_COMMANDS = {
    "train": "train:train",
    "search": "search:search",
    "data": "data:data",
    "judge": "judge:judge",
    "compare": "compare:compare",
    "report": "experiments:experiments",
    "ask": "ask:ask",
    "fetch": "fetch:fetch",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments.pop(0) if arguments else "--help"
    if command in ("--help", "-h", "help"):
        print(_HELP)
        return 0
    if command == "--version":
        print(f"medft {__version__}")
        return 0
    try:
        return _dispatch(command, arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return report(error)


def _dispatch(command: str, arguments: list[str]) -> int:
    if command not in _COMMANDS:
        print(f"error: no command {command!r}; there are {', '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    # imported only when it is run, so that help and errors come at once
    module, _, function = _COMMANDS[command].partition(":")
    return int(getattr(importlib.import_module(f"medft.cli.{module}"), function)(arguments))


if __name__ == "__main__":
    sys.exit(main())
