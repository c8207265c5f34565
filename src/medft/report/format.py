"""Figures of a comparison as text, the same in terminal, page and README."""

from medft.comparison.compare import Comparison
from medft.comparison.significance import Result, tested_metrics
from medft.comparison.variants import Variant
from medft.metrics.statistics import Estimate
from medft.report.run_table import interval, number, p_value

INTERVALS = (
    "[low, high]: 95% interval, a bootstrap-t over documents, since questions of one document are not independent "
    "(for a share Wilson's). Entries of several seeds are averaged question by question first. An interval over "
    "questions does not include the luck of the seed: that is what the range over seeds shows."
)


def estimate(found: Estimate | None) -> str:
    """A value with its interval; a dash for nothing."""
    return "-" if found is None else interval(found.named("value"), "value")


def signed(found: Estimate | None) -> str:
    """A difference with its sign."""
    text = estimate(found)
    return f"+{text}" if found is not None and found.value > 0 else text


def corrected_p(result: Result | None) -> str:
    """The corrected p-value; a dash for none."""
    return "-" if result is None or result.p_holm is None else p_value({"_p": result.p_holm}, "")


def spread(result: Result | None) -> str:
    """The range over seeds."""
    return "-" if result is None or result.spread is None else " .. ".join(number(end) for end in result.spread)


def cost(found: Comparison, entry: Variant, key: str) -> str:
    """A cost without its unit."""
    value = found.costs[entry.name].get(key)
    return "-" if value is None else f"{value:,.0f}"


def name_of(found: Comparison, entry: Variant) -> str:
    """An entry's name, how many seeds it has, and whether it is the reference, leaking, on the front."""
    signs = [f"{len(entry.runs)} seeds"] if len(entry.runs) > 1 else []
    signs += [
        sign
        for sign, holds in (
            ("reference", entry is found.reference),
            ("LEAKING", entry.is_leaking),
            ("on the front", entry.name in found.front),
        )
        if holds
    ]
    return f"{entry.name} ({', '.join(signs)})" if signs else entry.name


def metric_title(found: Comparison, metric: str) -> str:
    """A metric's name; an unreliable judge is called so."""
    worth = {False: " (UNRELIABLE)", None: " (of unknown worth)"}
    return metric + worth.get(found.worth[metric], "") if metric in found.worth else metric


def family(found: Comparison) -> str:
    """What the correction is over."""
    if not found.family:
        return "No p-values: there is nothing to compare with, or only one document."
    others = len({entry for row in found.results.values() for entry, each in row.items() if each.p is not None})
    return (
        "p: of no difference to the reference, a sign-flip permutation test by document, corrected by Holm over the "
        f"{counted(found.family, 'p-value', 'p-values')} here ({counted(others, 'entry', 'entries')}, "
        f"{counted(tested_metrics(found.results), 'metric', 'metrics')})."
    )


def tested_on(found: Comparison) -> str:
    """What all figures are of."""
    return (
        f"{counted(found.test_rows, 'test question', 'test questions')} of "
        f"{counted(found.documents, 'document', 'documents')}"
    )


def counted(number_of: int, one: str, several: str) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number_of:,} {one if number_of == 1 else several}"
