"""A comparison as tables, in the terminal and in an experiment's README, and in compare.html.

The page is one self-contained file: no script, nothing loaded, every text escaped.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from medft.comparison.compare import JUDGE, Comparison
from medft.comparison.labels import differing_keys, format_value
from medft.comparison.metrics import COSTS, TRAIN_SECONDS
from medft.comparison.significance import Result, count_tested_metrics
from medft.comparison.variants import BASELINE, Variant
from medft.console import say, warn
from medft.metrics.registry import HEADLINES, METRICS
from medft.report.html import mark_differences, render_page
from medft.report.plots import plot_curves, plot_score_by_cost, plot_variants, render_svg
from medft.report.table import (
    COST_LABELS,
    INTERVALS,
    Table,
    capitalize,
    describe_reliability,
    format_cost,
    format_count,
    format_estimate,
    format_number,
    format_p,
    format_signed,
    keep_together,
)
from medft.runs.state import DEVICE, GIT_COMMIT

COMPARED_INTERVALS = (
    f"{INTERVALS} Variants of several seeds are averaged question by question first; their intervals are of the "
    "variances of seeds and groups, and so include the luck of the seed. Intervals are not corrected for how many "
    "there are, as p-values are: one may leave 0 out where its p-value is no finding. Below 20 groups they may be a "
    "little short."
)
_TESTS = {
    "settings": "between settings (of: settings) as seeds and questions are both drawn, by their variances and t",
    "models": "between these trained models (of: models) a sign-flip permutation test by group, which says nothing of "
    "their settings",
}
_ROOM = 2  # headline metrics that a line of the terminal has room for


def print_comparison(comparison: Comparison) -> None:
    """Print warnings, the table and what its columns mean."""
    for text in comparison.warnings:
        warn(text)
    table = make_glance_table(comparison, HEADLINES[:_ROOM])
    columns = [column.replace(" ", "\n") for column in table.columns]
    # the interval under the value, which leaves room for more columns
    rows = [
        [name.replace(", ", ",\n").replace(" (", "\n("),
         *(cell.replace(" [", "\n[").replace(" .. ", "\n.. ") for cell in cells)]
        for name, *cells in table.rows
    ]  # fmt: skip
    title = f"{describe_questions(comparison)}, with 95% intervals; difference to: {comparison.reference.name}"
    Table(title, columns, rows).print()
    say(describe_family(comparison))
    for text in comparison.notes:
        say(f"note: {text}")


def make_glance_table(comparison: Comparison, metrics: Sequence[str] = HEADLINES) -> Table:
    """A line for each variant: the primary metric with its difference, then other metrics where the comparison has
    them, judges and the time.
    """
    primary = comparison.primary
    shown = dict.fromkeys((*metrics, *comparison.reliable))
    others = [name for name in shown if name in comparison.results and name != primary]
    columns = ["variant", _title_metric(comparison, primary), "difference", "of", "p (Holm)", "over seeds"]
    columns += [*(_title_metric(comparison, name) for name in others), COST_LABELS[TRAIN_SECONDS][0]]
    rows = []
    for variant in comparison.variants:
        results = [comparison.result(name, variant) for name in others]
        cells = [format_estimate(result.value if result else None) for result in results]
        cells.append(format_cost(comparison.costs[variant.name], TRAIN_SECONDS))
        rows.append(
            [_describe_variant(comparison, variant), *_format_result(comparison.result(primary, variant)), *cells]
        )
    return Table("", columns, rows)


def _make_metric_table(comparison: Comparison, metric: str) -> Table:
    rows = [
        [variant.name, *_format_result(result)]
        for variant in comparison.variants
        if (result := comparison.result(metric, variant))
    ]
    meaning = METRICS[metric].meaning if metric in METRICS else "mean score of the judge, 0 to 100"
    compared = {result.questions for result in comparison.results[metric].values()}
    if compared != {comparison.test_rows}:
        meaning += f"; on {max(compared)} of the {comparison.test_rows} questions"
    columns = ("variant", "value", "difference", "of", "p (Holm)", "over seeds")
    return Table(_title_metric(comparison, metric), columns, rows, meaning)


def _make_cost_table(comparison: Comparison) -> Table:
    rows = [
        [variant.name, *(format_cost(comparison.costs[variant.name], name) for name in COSTS)]
        for variant in comparison.trained
    ]
    return Table("Cost", ["variant", *(COST_LABELS[name][0] for name in COSTS)], rows, "means over seeds")


def _make_settings_table(comparison: Comparison) -> Table:
    keys = differing_keys([variant.values for variant in comparison.trained])
    rows = [[variant.name, *(format_value(variant.values[key]) for key in keys)] for variant in comparison.trained]
    return Table("What differs", ["variant", *keys], rows)


def _make_runs_table(comparison: Comparison) -> Table:
    rows = [
        [variant.name, run.seed, run.run_id, run.started.strftime("%Y-%m-%d %H:%M"),
         run.tags.get("version.medft", "-"), run.tags.get(GIT_COMMIT, "-")[:10], run.tags.get(DEVICE, "-")]
        for variant in comparison.trained for run in variant.runs
    ]  # fmt: skip
    return Table("Runs", ("variant", "seed", "MLflow run", "started (UTC)", "medft", "commit", "device"), rows)


def _format_result(result: Result | None) -> list[str]:
    if result is None:
        return ["-"] * 5
    spread = " .. ".join(map(format_number, result.spread)) if result.spread else "-"
    kind = result.kind if result.difference else "-"
    return [format_estimate(result.value), format_signed(result.difference), kind, format_p(result.p_holm), spread]


def _describe_variant(comparison: Comparison, variant: Variant) -> str:
    """A variant's name, how many seeds it has, and whether it is the reference, leaking, on the front."""
    signs = {
        f"{len(variant.runs)} seeds": len(variant.runs) > 1,
        "reference": variant is comparison.reference,
        "LEAKING": variant.is_leaking,
        "on the front": variant.name in comparison.front,
    }
    shown = ", ".join(sign for sign, holds in signs.items() if holds)
    return f"{variant.name} ({shown})" if shown else variant.name


def _title_metric(comparison: Comparison, metric: str) -> str:
    """A metric's name; an unreliable judge is called so."""
    words = describe_reliability(comparison.reliable[metric]) if metric.startswith(JUDGE) else ""
    return f"{metric} ({words})" if words else metric


def describe_questions(comparison: Comparison) -> str:
    """How many questions and groups the figures are based on."""
    questions = format_count(comparison.test_rows, "test question", "test questions")
    return f"{questions} of {format_count(comparison.groups, 'group', 'groups')}"


def describe_family(comparison: Comparison) -> str:
    """Which p-values are corrected together."""
    tested = {name: each for row in comparison.results.values() for name, each in row.items() if each.p is not None}
    if not tested:
        return "No p-values: there is nothing to compare with, or only one group."
    kinds = {each.kind for each in tested.values()}
    told = [f"p: of no difference to the reference, {', and '.join(t for k, t in _TESTS.items() if k in kinds)}"]
    if comparison.family:
        trained = len(tested.keys() - {BASELINE})
        told.append(
            f"corrected by Holm over the {format_count(comparison.family, 'p-value', 'p-values')} here "
            f"({format_count(trained, 'variant', 'variants')}, "
            f"{format_count(count_tested_metrics(comparison.results), 'metric', 'metrics')})"
        )
    if BASELINE in tested:
        told.append("whether fine-tuning has done anything is another question, whose p-value stands alone")
    return f"{'; '.join(told)}."


def render_comparison(comparison: Comparison) -> str:
    """compare.html."""
    scatter = plot_score_by_cost(comparison)
    return render_page(
        "compare.html",
        comparison=comparison,
        title=f"{format_count(len(comparison.variants), 'variant', 'variants')} compared",
        made=datetime.now(UTC),
        tested_on=describe_questions(comparison),
        sentence=capitalize,
        glance=_keep_cells_together(make_glance_table(comparison)),
        metrics=[_keep_cells_together(_make_metric_table(comparison, metric)) for metric in comparison.results],
        tables=[_make_cost_table(comparison), _make_settings_table(comparison), _make_runs_table(comparison)],
        dots=render_svg(plot_variants(comparison, comparison.primary)),
        scatter=render_svg(scatter) if scatter else "",
        curves=render_svg(plot_curves(comparison)),
        questions=comparison.questions,
        mark=lambda question, answer: mark_differences(question.row.expected, answer.text)[1],
        number=format_number,
        intervals=COMPARED_INTERVALS,
        family=describe_family(comparison),
    )


def _keep_cells_together(table: Table) -> Table:
    return replace(table, rows=[[name, *map(keep_together, cells)] for name, *cells in table.rows])
