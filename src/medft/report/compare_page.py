"""compare.html: one self-contained file about several runs. No script, nothing loaded, every text escaped."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from medft.comparison.compare import Comparison
from medft.report.compare_plots import plot_curves, plot_score_by_cost, plot_variants
from medft.report.compare_tables import (
    COMPARED_INTERVALS,
    describe_family,
    describe_questions,
    make_cost_table,
    make_glance_table,
    make_metric_table,
    make_runs_table,
    make_settings_table,
)
from medft.report.diff import mark_differences
from medft.report.format import capitalize, format_count, format_number, keep_together
from medft.report.html import render_page
from medft.report.plots import render_svg
from medft.report.table import Table


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page."""
    path.write_text(render_comparison(comparison), encoding="utf-8")


def render_comparison(comparison: Comparison) -> str:
    """The page as HTML."""
    scatter = plot_score_by_cost(comparison)
    return render_page(
        "compare.html",
        comparison=comparison,
        title=f"{format_count(len(comparison.variants), 'variant', 'variants')} compared",
        made=datetime.now(UTC),
        tested_on=describe_questions(comparison),
        sentence=capitalize,
        glance=_keep_cells_together(make_glance_table(comparison)),
        metrics=[_keep_cells_together(make_metric_table(comparison, metric)) for metric in comparison.results],
        tables=[make_cost_table(comparison), make_settings_table(comparison), make_runs_table(comparison)],
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
