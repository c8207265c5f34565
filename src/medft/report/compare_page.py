"""compare.html: one self-contained file about several runs. No script, nothing loaded, every text escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from medft.comparison.answers import Question
from medft.comparison.compare import Comparison
from medft.comparison.costs import COSTS, TRAIN_SECONDS
from medft.comparison.labels import differing, shown
from medft.comparison.variants import Variant
from medft.metrics.aggregate import MEASURED
from medft.report.compare_plots import by_entry, curves, score_by_cost
from medft.report.compare_table import shown_metrics
from medft.report.diff import Marked, marked_differences
from medft.report.format import (
    INTERVALS,
    corrected_p,
    cost,
    counted,
    estimate,
    family,
    metric_title,
    name_of,
    signed,
    spread,
    tested_on,
)
from medft.report.html import environment
from medft.report.plots import as_svg
from medft.report.run_table import number

_JUDGE = "mean score of the judge, 0 to 100"


@dataclass(frozen=True)
class TableView:
    """A table, each cell ready to show."""

    title: str
    meaning: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class AnswerView:
    """An entry's answer with what is not in the expected one marked."""

    entry: str
    scores: str
    text: Marked


@dataclass(frozen=True)
class QuestionView:
    """A question with all answers."""

    question: Question
    answers: Sequence[AnswerView]


def write_page(found: Comparison, path: Path) -> None:
    """Write the page."""
    path.write_text(render(found), encoding="utf-8")


def render(found: Comparison) -> str:
    """The page as HTML."""
    scatter = score_by_cost(found)
    return str(
        environment()
        .get_template("compare.html")
        .render(
            found=found,
            counted=counted,
            made=datetime.now(UTC),
            tested_on=tested_on(found),
            glance=_glance(found),
            metrics=[_metric(found, metric) for metric in found.results],
            costs=_costs(found),
            settings=_settings(found.trained),
            runs=_runs(found.trained),
            dots=as_svg(by_entry(found, found.primary)),
            scatter=as_svg(scatter) if scatter else "",
            curves=as_svg(curves(found)),
            questions=[_question(each) for each in found.questions],
            intervals=INTERVALS,
            family=family(found),
        )
    )


def _glance(found: Comparison) -> TableView:
    others = [metric for metric in shown_metrics(found) if metric != found.primary]
    columns = ["entry", metric_title(found, found.primary), "difference", "p (Holm)"]
    columns += [metric_title(found, metric) for metric in others] + ["train s"]
    rows = []
    for entry in found.entries:
        primary = found.result(found.primary, entry)
        cells = [estimate(primary.value if primary else None)]
        cells += [signed(primary.difference if primary else None), corrected_p(primary)]
        cells += [estimate(result.value if result else None) for result in (found.result(m, entry) for m in others)]
        rows.append([name_of(found, entry), *map(_unbroken, cells), cost(found, entry, TRAIN_SECONDS)])
    return TableView("", "", columns, rows)


def _metric(found: Comparison, metric: str) -> TableView:
    rows = []
    for entry in found.entries:
        result = found.result(metric, entry)
        if result:
            cells = [estimate(result.value), signed(result.difference), corrected_p(result), spread(result)]
            rows.append([entry.name, *map(_unbroken, cells)])
    columns = ("entry", "value", "difference", "p (Holm)", "over seeds")
    return TableView(metric_title(found, metric), MEASURED.get(metric, _JUDGE) + _fewer(found, metric), columns, rows)


def _fewer(found: Comparison, metric: str) -> str:
    """Where a metric is not of all questions, of how many."""
    compared = {result.questions for result in found.results[metric].values()}
    return "" if compared == {found.test_rows} else f"; on {max(compared)} of the {found.test_rows} questions"


def _costs(found: Comparison) -> TableView:
    rows = [[entry.name, *(cost(found, entry, key) for key in COSTS)] for entry in found.trained]
    return TableView("Cost", "means over seeds", ["entry", *COSTS.values()], rows)


def _settings(trained: Sequence[Variant]) -> TableView:
    keys = differing([entry.values for entry in trained])
    rows = [[entry.name, *(shown(entry.values[key]) for key in keys)] for entry in trained]
    return TableView("What differs", "", ["entry", *keys], rows)


def _runs(trained: Sequence[Variant]) -> TableView:
    rows = [
        [entry.name, run.params.get("seed", "-"), run.run_id, run.started.strftime("%Y-%m-%d %H:%M"),
         run.tags.get("version.medft", "-"), run.tags.get("git.commit", "-")[:10], run.tags.get("device", "-")]
        for entry in trained for run in entry.runs
    ]  # fmt: skip
    return TableView("Runs", "", ("entry", "seed", "MLflow run", "started (UTC)", "medft", "commit", "device"), rows)


def _question(question: Question) -> QuestionView:
    views = []
    for answer in question.answers:
        _, text = marked_differences(question.row.expected, answer.text)
        scores = ", ".join(f"{name} {number(value)}" for name, value in answer.scores.items())
        views.append(AnswerView(answer.entry, scores, text))
    return QuestionView(question, views)


def _unbroken(cell: str) -> str:
    """A value may be broken into two lines before its interval, not inside it, and a range not at all."""
    return cell.replace(", ", ",\u00a0").replace(" .. ", "\u00a0..\u00a0")
