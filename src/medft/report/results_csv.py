"""results.csv of an experiment: a line for each run, which outlives the run's place in MLflow."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from medft.comparison.compare import Comparison
from medft.comparison.costs import COSTS
from medft.comparison.labels import as_param, shown
from medft.comparison.variants import Variant
from medft.errors import InputError
from medft.metrics.aggregate import MEASURED
from medft.runs.record import RunRecord

_ID = "run_id"


def extend_results(found: Comparison, settings: Sequence[str], path: Path) -> int:
    """Write a line for each run; lines of other runs stay. Returns how many those are.

    Args:
        settings: keys that the sweep varied.

    Raises:
        InputError: the file is there and is not one of ours.
    """
    new = {run.run_id: _line(entry, run, settings) for entry in found.trained for run in entry.runs}
    others = {run_id: line for run_id, line in _read(path).items() if run_id not in new}
    lines = [*others.values(), *new.values()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _columns(reversed(lines)), restval="")
        writer.writeheader()
        writer.writerows(lines)
    return len(others)


def _read(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if _ID not in (reader.fieldnames or []):
            raise InputError(f"{path}: no column {_ID}, so it is not an experiment's results.csv; name another folder")
        return {line[_ID]: {key: value for key, value in line.items() if key and value} for line in reader}


def _columns(lines: Iterable[dict[str, str]]) -> list[str]:
    """Those of the newest lines first; a column that only older lines have stays."""
    return list(dict.fromkeys(key for line in lines for key in line))


def _line(entry: Variant, run: RunRecord, settings: Sequence[str]) -> dict[str, str]:
    varied = {key: shown(run.params.get(as_param(key))) for key in settings}
    return {
        _ID: run.run_id,
        "entry": entry.name,
        **varied,
        "seed": run.params.get("seed", ""),
        "date": run.started.strftime("%Y-%m-%d %H:%M:%S"),
        **{key: repr(run.metrics[key]) for key in _metric_keys(run) if key in run.metrics},
        "questions": str(len(run.predictions)),
        "leaking": run.tags.get("leaking", ""),
        "device": run.tags.get("device", ""),
        "config_hash": run.tags.get("config_hash", ""),
        "dataset_fingerprint": run.tags.get("dataset.fingerprint", ""),
        "git_commit": run.tags.get("git.commit", ""),
    }


def _metric_keys(run: RunRecord) -> list[str]:
    scores = [key for key in sorted(run.metrics) if key.startswith("judge/") and key.endswith("/score")]
    means = [*(f"test/{name}" for name in MEASURED), *scores]
    return [*(f"{mean}{end}" for mean in means for end in ("", "_ci_low", "_ci_high")), *COSTS]
