"""A comparison in the terminal: one line an entry; page and CSV have the rest."""

from medft.comparison.compare import PRIMARY, Comparison
from medft.comparison.costs import TRAIN_SECONDS
from medft.comparison.variants import Variant
from medft.console import say, table, warn
from medft.report.format import corrected_p, cost, estimate, family, metric_title, name_of, signed, spread, tested_on

_OTHERS = (PRIMARY, "rougeL")  # beside the primary metric, where there are such


def print_comparison(found: Comparison) -> None:
    """Print warnings, the table and what its columns mean."""
    for text in found.warnings:
        warn(text)
    others = [metric for metric in shown_metrics(found) if metric != found.primary]
    titles = [metric_title(found, metric) for metric in others]
    columns = (
        "entry",
        metric_title(found, found.primary),
        "difference",
        "p\n(Holm)",
        "over\nseeds",
        *titles,
        "train\ns",
    )
    rows = [_row(found, entry, others) for entry in found.entries]
    table(f"{tested_on(found)}, with 95% intervals; difference to: {found.reference.name}", columns, rows)
    say(family(found))
    if any(len(entry.runs) > 1 for entry in found.entries):
        say("Over seeds: least and greatest of the runs; the intervals, over questions, do not include that luck.")
    for text in found.notes:
        say(f"note: {text}")


def shown_metrics(found: Comparison) -> list[str]:
    """The metrics for which there is room in one line: the primary one, one or two others, the judges'."""
    wanted = dict.fromkeys((found.primary, *_OTHERS, *found.worth))
    return [metric for metric in wanted if metric in found.results]


def _row(found: Comparison, entry: Variant, others: list[str]) -> list[str]:
    primary = found.result(found.primary, entry)
    return [
        name_of(found, entry).replace(", ", ",\n").replace(" (", "\n("),
        _stacked(estimate(primary.value if primary else None)),
        _stacked(signed(primary.difference if primary else None)),
        corrected_p(primary),
        _stacked(spread(primary)),
        *(_stacked(estimate(result.value if result else None)) for result in (found.result(m, entry) for m in others)),
        cost(found, entry, TRAIN_SECONDS),
    ]


def _stacked(cell: str) -> str:
    """The interval under the value, which leaves room for more columns."""
    return cell.replace(" [", "\n[").replace(" .. ", "\n.. ")
