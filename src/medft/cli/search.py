"""`medft search`: hyper-parameter search with Optuna."""

import importlib.util

from medft.cli.signals import interrupt_on_sigterm
from medft.errors import InputError

_HELP = """\
medft search [search=NAME-or-FILE] [KEY=VALUE ...]

Searches hyper-parameters with Optuna within the ranges of conf/search/NAME.yaml (default.yaml unless named; that file
explains each knob) or of a file of your own. search.KEY=VALUE sets a key of that file, every other KEY=VALUE one of the
trials' config. The same command again goes on where the search was stopped; sweep.fresh=true begins anew.

  medft search model=smollm2-135m dataset=medquad dataset.path=medquad.zip search.trials=50
  medft search search=lora model=smollm2-135m"""


def search(argv: list[str]) -> int:
    """Run the trials that are left; returns the exit code."""
    if {"--help", "-h"} & set(argv):
        print(_HELP)
        return 0
    if importlib.util.find_spec("optuna") is None:
        raise InputError("medft search needs Optuna: pip install 'medft[search]'")
    for each in argv:
        if each.startswith("-") or "=" not in each.lstrip("~"):
            raise InputError(f"what is {each!r}? usage: medft search [search=NAME-or-FILE] [KEY=VALUE ...]")
    from medft.search.plan import plan_search

    planned = plan_search(argv)
    interrupt_on_sigterm()
    from medft.search.run_search import run_search

    return run_search(planned, argv)
