"""compare.csv: a line for each entry and metric."""

import csv
from collections.abc import Iterator
from pathlib import Path

from medft.comparison.compare import Comparison
from medft.comparison.costs import COSTS
from medft.comparison.significance import Result
from medft.comparison.variants import Variant

COLUMNS = ("entry", "metric", "value", "low", "high", "difference", "difference_low", "difference_high", "p", "p_holm",
           "seed_min", "seed_max", "questions", "documents", "runs", "reference", "leaking", "pareto_front",
           "run_ids", "warnings")  # fmt: skip


def write_csv(found: Comparison, path: Path) -> None:
    """Write all figures with all their digits; a cell is empty where there is nothing."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(_lines(found))


def _lines(found: Comparison) -> Iterator[dict[str, object]]:
    for entry in found.entries:
        about = {
            "entry": entry.name,
            "runs": len(entry.runs),
            "reference": str(entry is found.reference).lower(),
            "leaking": str(entry.is_leaking).lower(),
            "pareto_front": str(entry.name in found.front).lower(),
            "run_ids": " ".join(run.run_id for run in entry.runs),
            "warnings": " | ".join(found.warnings),
        }
        for metric in found.results:
            result = found.result(metric, entry)
            if result:
                yield {**about, "metric": metric, **_figures(result)}
        yield from ({**about, "metric": key, "value": value} for key, value in _costs(found, entry).items())


def _figures(result: Result) -> dict[str, object]:
    difference, (least, most) = result.difference, result.spread or (None, None)
    figures = {
        "value": result.value.value,
        "low": result.value.low,
        "high": result.value.high,
        "difference": difference.value if difference else None,
        "difference_low": difference.low if difference else None,
        "difference_high": difference.high if difference else None,
        "p": result.p,
        "p_holm": result.p_holm,
        "seed_min": least,
        "seed_max": most,
        "questions": result.questions,
        "documents": result.documents,
    }
    return {key: value for key, value in figures.items() if value is not None}


def _costs(found: Comparison, entry: Variant) -> dict[str, float]:
    return {key: found.costs[entry.name][key] for key in COSTS if key in found.costs[entry.name]}
