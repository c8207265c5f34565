"""`medft report parent=<id>`: a sweep's results as a folder of `experiments/`."""

import re
from pathlib import Path

from medft.cli.compare import read_arguments
from medft.config.paths import root_dir
from medft.console import say
from medft.errors import InputError

_USAGE = """\
medft report parent=ID [KEY=VALUE ...]          write experiments/<name> of this sweep
medft report experiment=NAME [KEY=VALUE ...]    of the newest sweep of that name

  to=FOLDER              default: experiments/<name> of the checkout
  reference=NAME         entry that the others are compared with (default: the one that the sweep names)
  questions=shared       compare runs of different test questions on those they share
  tracking.uri=... paths.root_dir=...   where the runs are tracked, as for medft train

README.md has question, verdict, table, figure and the command that repeats it; results.csv a line for each run, and
keeps those of other runs; figure.png."""

_OWN = ("parent", "experiment", "to", "reference", "questions")


def experiments(argv: list[str]) -> int:
    """Write the folder; returns the exit code."""
    if {"--help", "-h"} & set(argv) or argv == ["help"]:
        print(_USAGE)
        return 0
    given = read_arguments(argv, _OWN, "report")
    own = given.own
    if given.ids or bool(own.get("parent")) == bool(own.get("experiment")):
        raise InputError("name a sweep by parent=<id> or by experiment=<name>: medft report --help")
    if own.get("questions", "shared") != "shared":
        raise InputError(f"questions={own['questions']}: must be shared, or left out")

    from medft.comparison.compare import Options, compare
    from medft.report.compare_tables import print_comparison
    from medft.report.experiment_folder import write_folder
    from medft.runs.load import RunQuery, load_runs
    from medft.runs.query import Store
    from medft.runs.sweep_record import read_sweep

    store = Store(given.places)
    sweep = read_sweep(store.sweep(own["experiment"]) if own.get("experiment") else store.one(own["parent"]))
    folder = _folder(own.get("to", ""), sweep.name)
    runs, left_out = load_runs(store, RunQuery(parent=sweep.run_id))
    options = Options(
        reference=own.get("reference") or sweep.reference,
        shared_only=own.get("questions") == "shared",
        metric=sweep.primary,
        tested=[sweep.primary],
        answers=0,
        swept=sweep.settings,
    )
    found = compare(runs, options)
    print_comparison(found)
    write_folder(sweep, found, left_out, folder)
    say(f"read:          {folder / 'README.md'}")
    say(f"results:       {folder}")
    return 0


def _folder(to: str, name: str) -> Path:
    if to:
        return Path(to).expanduser()
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"sweep.name={name}: no name for a folder; say to=FOLDER")
    return Path(root_dir()) / "experiments" / name
