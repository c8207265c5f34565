"""`medft report parent=<id>`: a sweep's results as a folder of `experiments/`."""

import re
from pathlib import Path

from medft.cli.parser import Arguments
from medft.config.paths import root_dir
from medft.console import say
from medft.errors import InputError


def report(arguments: Arguments) -> int:
    """Write the folder; returns the exit code."""
    values = arguments.values
    if bool(values["parent"]) == bool(values["experiment"]):
        raise InputError("name a sweep by parent=<id> or by experiment=<name>: medft report --help")

    from medft.comparison.compare import Options, compare
    from medft.config.compose import compose_config
    from medft.report.compare_page import print_comparison
    from medft.report.experiment_folder import write_folder
    from medft.runs.load import RunQuery, load_runs
    from medft.runs.query import RunStore
    from medft.runs.sweep_record import read_sweep

    store = RunStore(compose_config(arguments.overrides))
    name = values["experiment"]
    sweep = read_sweep(store.find_sweep(name) if name else store.find_parent(values["parent"]))
    if not values["to"] and not re.fullmatch(r"\w[\w.-]*", sweep.name):
        raise InputError(f"sweep.name={sweep.name}: no name for a folder; say to=FOLDER")
    folder = Path(values["to"] or Path(root_dir()) / "experiments" / sweep.name).expanduser()
    runs, left_out = load_runs(store, RunQuery(parent=sweep.run_id))
    options = Options(
        reference=values["reference"] or sweep.reference,
        shared_only=values["questions"] == "shared",
        metric=sweep.primary,
        tested=[sweep.primary],
        answers=0,
        swept=sweep.settings,
    )
    comparison = compare(runs, options)
    print_comparison(comparison)
    write_folder(sweep, comparison, left_out, folder)
    say(f"read:          {folder / 'README.md'}")
    say(f"results:       {folder}")
    return 0
