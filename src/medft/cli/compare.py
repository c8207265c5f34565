"""`medft compare RUN RUN...`: finished runs side by side; `medft report parent=<id>`: a sweep as a folder."""

import re
from datetime import datetime
from pathlib import Path

from medft.cli.parser import Arguments
from medft.config.paths import root_dir
from medft.console import say
from medft.errors import InputError


def compare(arguments: Arguments) -> int:
    """Print the comparison, write compare.csv and compare.html; returns the exit code."""
    ids, values = arguments.words, arguments.values
    if sum(map(bool, (ids, values["parent"], values["filter"]))) != 1:
        raise InputError("name runs by id, or by parent=<id>, or by filter=<MLflow filter>: medft compare --help")

    from medft.comparison.compare import Options
    from medft.comparison.compare import compare as compare_runs
    from medft.config.compose import compose_config
    from medft.metrics.registry import PRIMARY
    from medft.report.compare_page import print_comparison, render_comparison
    from medft.report.csv_files import write_compare_csv
    from medft.report.plots import plot_variants, save_figure
    from medft.runs.query import RunStore
    from medft.runs.record import RunQuery, load_runs
    from medft.runs.sweeps import SWEEP, read_sweep

    _check_folder(values["to"])
    store = RunStore(compose_config(arguments.overrides))
    parent = store.find_parent(values["parent"]) if values["parent"] else None
    sweep = read_sweep(parent.state) if parent and parent.state.kind == SWEEP else None
    default = values["metrics"][0] if values["metrics"] else sweep.primary if sweep else PRIMARY
    options = Options(  # what was asked for; where that is left open, what the sweep says of itself
        reference=values["reference"] or (sweep.reference if sweep else ""),
        shared_only=values["questions"] == "shared",
        seeds_apart=values["seeds"] == "apart",
        judge=values["judge"],
        metric=values["metric"] or default,
        metrics=values["metrics"],
        with_baseline=values["baseline"],
        margin=_read_margin(values["margin"]),
        answers=values["answers"],
        swept=sweep.settings if sweep else (),
    )
    runs, _ = load_runs(store, RunQuery(ids, parent.run_id if parent else "", values["filter"]))
    comparison = compare_runs(runs, options)
    outputs = Path(store.config.paths.root_dir) / "outputs" / "compare"
    folder = Path(values["to"] or outputs / f"{datetime.now():%Y-%m-%d/%H-%M-%S}").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    print_comparison(comparison)
    write_compare_csv(comparison, folder / "compare.csv")
    save_figure(plot_variants(comparison, comparison.primary), folder / "figure")
    (folder / "compare.html").write_text(render_comparison(comparison), encoding="utf-8")
    say(f"read:          {folder / 'compare.html'}")
    say(f"results:       {folder}")
    return 0


def report(arguments: Arguments) -> int:
    """Write a sweep's results as a folder of `experiments/`; returns the exit code."""
    values = arguments.values
    if bool(values["parent"]) == bool(values["experiment"]):
        raise InputError("name a sweep by parent=<id> or by experiment=<name>: medft report --help")

    from medft.comparison.compare import Options
    from medft.comparison.compare import compare as compare_runs
    from medft.config.compose import compose_config
    from medft.report.compare_page import print_comparison
    from medft.report.experiment_folder import write_folder
    from medft.runs.provenance import command_line
    from medft.runs.query import RunStore
    from medft.runs.record import RunQuery, load_runs
    from medft.runs.sweeps import read_sweep

    _check_folder(values["to"])
    store = RunStore(compose_config(arguments.overrides))
    name = values["experiment"]
    parent = store.find_sweep(name) if name else store.find_parent(values["parent"])
    sweep = read_sweep(parent.state)
    if not values["to"] and not re.fullmatch(r"\w[\w.-]*", sweep.name):
        raise InputError(f"sweep.name={sweep.name}: no name for a folder; say to=FOLDER")
    folder = Path(values["to"] or Path(root_dir()) / "experiments" / sweep.name).expanduser()
    runs, left_out = load_runs(store, RunQuery(parent=sweep.run_id))
    options = Options(
        reference=values["reference"] or sweep.reference,
        shared_only=values["questions"] == "shared",
        metric=sweep.primary,
        margin=_read_margin(values["margin"]),
        answers=0,
        swept=sweep.settings,
    )
    comparison = compare_runs(runs, options)
    print_comparison(comparison)
    asked = [f"{key}={values[key]}" for key in ("to", "reference", "margin") if values[key]]
    asked += ["questions=shared"] if options.shared_only else []
    which = f"experiment={sweep.name}" if name else f"parent={sweep.run_id}"
    command = command_line("medft report", [which, *asked, *arguments.overrides])
    write_folder(sweep, comparison, left_out, folder, command)
    say(f"read:          {folder / 'README.md'}")
    say(f"results:       {folder}")
    return 0


def _check_folder(to: str) -> None:
    if to and Path(to).expanduser().is_file():
        raise InputError(f"to={to}: is a file; name a folder")


def _read_margin(text: str) -> float | None:
    try:
        margin = float(text) if text else None
    except ValueError:
        margin = 0.0
    if margin is not None and not 0 < margin < float("inf"):
        raise InputError(f"margin={text}: must be a number above 0, such as 0.01")
    return margin
