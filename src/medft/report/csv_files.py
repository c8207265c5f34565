"""Comparisons as CSV: compare.csv has a line a variant and metric, results.csv of an experiment a line a run."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medft.comparison.compare import JUDGE, Comparison
from medft.comparison.labels import as_param, format_value
from medft.comparison.metrics import COSTS
from medft.comparison.significance import Result
from medft.comparison.variants import Variant
from medft.errors import InputError
from medft.files import write_atomically
from medft.runs.metric_names import flatten_estimate, read_estimate
from medft.runs.record import RunRecord
from medft.runs.state import DEVICE, FINGERPRINT, GIT_COMMIT, LEAKING

COMPARE_COLUMNS = ("variant", "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
                   "difference_of", "p", "p_holm", "seed_min", "seed_max", "questions", "groups", "runs", "reference",
                   "leaking", "pareto_front", "run_ids", "warnings")  # fmt: skip
_ID = "run_id"


def write_compare_csv(comparison: Comparison, path: Path) -> None:
    """Write all figures with all their digits; a cell is empty where there is nothing."""
    lines: list[dict[str, object]] = []
    for variant in comparison.variants:
        about = {
            "variant": variant.name,
            "runs": len(variant.runs),
            "reference": str(variant is comparison.reference).lower(),
            "leaking": str(variant.is_leaking).lower(),
            "pareto_front": str(variant.name in comparison.front).lower(),
            "run_ids": " ".join(run.run_id for run in variant.runs),
            "warnings": " | ".join(comparison.warnings),
        }
        for metric in comparison.results:
            if result := comparison.result(metric, variant):
                lines.append({**about, "metric": metric, **_make_result_cells(result)})
        for name, value in comparison.costs[variant.name].items():
            lines.append({**about, "metric": f"cost/{name}", "value": value})
    _write_csv(path, COMPARE_COLUMNS, lines)


def _write_csv(path: Path, columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> None:
    # whole or not at all: lines of runs that MLflow no longer has stand nowhere else
    with write_atomically(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(lines)


def _make_result_cells(result: Result) -> dict[str, object]:
    value, difference = result.value, result.difference
    least, most = result.spread or (None, None)
    return {
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "difference": difference and difference.value,
        "difference_low": difference and difference.low,
        "difference_high": difference and difference.high,
        "difference_of": result.kind if difference else None,
        "p": result.p,
        "p_holm": result.p_holm,
        "seed_min": least,
        "seed_max": most,
        "questions": result.questions,
        "groups": result.groups,
    }


def extend_results_csv(comparison: Comparison, settings: Sequence[str], path: Path) -> int:
    """Write a line for each run, with the settings that its sweep varied, which outlives the run's place in MLflow.

    Returns:
        How many lines of other runs there are; they stay.

    Raises:
        InputError: the file is there and is not one of ours.
    """
    new = {run.run_id: _make_run_line(variant, run, settings) for variant in comparison.trained for run in variant.runs}
    others = {run_id: line for run_id, line in _read_results(path).items() if run_id not in new}
    lines = [*others.values(), *new.values()]
    # the columns of the newest lines first; one that only older lines have stays
    columns = list(dict.fromkeys(key for line in reversed(lines) for key in line))
    _write_csv(path, columns, lines)
    return len(others)


def _read_results(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if _ID not in (reader.fieldnames or []):
            raise InputError(f"{path}: no column {_ID}, so it is not an experiment's results.csv; name another folder")
        return {line[_ID]: {key: value for key, value in line.items() if key and value} for line in reader}


def _make_run_line(variant: Variant, run: RunRecord, settings: Sequence[str]) -> dict[str, str]:
    numbers: dict[str, float] = {}
    for name, result in run.results.items():
        numbers |= flatten_estimate(f"test/{name}", result.after)
    for judge in run.judges:
        score = f"{JUDGE}{judge.name}/score"
        numbers |= flatten_estimate(score, read_estimate(run.metrics, score))
    numbers |= {f"cost/{name}": run.costs[name] for name in COSTS if name in run.costs}
    return {
        _ID: run.run_id,
        "variant": variant.name,
        **{key: format_value(run.params.get(as_param(key))) for key in settings},
        "seed": run.params.get("seed", ""),
        "date": run.started.strftime("%Y-%m-%d %H:%M:%S"),
        **{key: repr(value) for key, value in numbers.items()},
        "questions": str(run.questions),
        **{key: run.tags.get(key, "") for key in (LEAKING, DEVICE, "config_hash")},
        "dataset_fingerprint": run.tags.get(FINGERPRINT, ""),
        "git_commit": run.tags.get(GIT_COMMIT, ""),
    }
