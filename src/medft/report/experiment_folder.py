"""The folder of an experiment: README.md, results.csv, figure.png."""

from collections.abc import Mapping
from pathlib import Path

from medft.comparison.compare import Comparison
from medft.comparison.labels import as_param
from medft.report.compare_plots import by_entry
from medft.report.experiment_readme import readme
from medft.report.plots import WIDE
from medft.report.results_csv import extend_results
from medft.report.setting_plot import over_setting
from medft.runs.sweep_record import Sweep


def write_folder(sweep: Sweep, found: Comparison, left_out: Mapping[str, str], folder: Path) -> None:
    """Write the three files; results.csv keeps what it has of other runs.

    Raises:
        InputError: a file of that name is there and is not an experiment's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    others = extend_results(found, sweep.settings, folder / "results.csv")
    figure = over_setting(found, [as_param(key) for key in sweep.settings]) or by_entry(found, found.primary, WIDE[0])
    figure.savefig(folder / "figure.png")
    (folder / "README.md").write_text(readme(sweep, found, left_out, others), encoding="utf-8")
