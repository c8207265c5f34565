"""The results of one run: what it prints at its end, its description in MLflow, and report.html.

The page is one self-contained file: no script, nothing loaded, every text of a model escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medft import console
from medft.config.schema import Config
from medft.evaluation.judging.metrics import JudgeResults, collect_scores, compare_judges
from medft.evaluation.predictions import Prediction, list_groups
from medft.metrics.registry import ANSWER_RANK, HEADLINES, METRICS, BeforeAfter
from medft.metrics.statistics import Difference
from medft.report.html import Marked, mark_differences, render_page
from medft.report.plots import NARROW, plot_losses, plot_score_by_length, plot_scores, render_svg
from medft.report.table import (
    BEFORE_AFTER,
    COST_LABELS,
    INTERVALS,
    Table,
    describe_reliability,
    format_before_after,
    format_estimate,
    format_number,
    format_p,
    keep_together,
)
from medft.runs.local_run import LocalRun
from medft.runs.metric_names import TRAIN_LOSS, read_estimate
from medft.runs.query import RunStore
from medft.runs.record import RunRecord, read_record
from medft.runs.state import Curve
from medft.runs.store import medft_command, ui_command

_ANSWERS = 3
_CHARACTERS = 240  # of each answer shown; predictions.jsonl has them whole
_SHOWN = 5  # worst and best answers each
_QUESTION = "What causes gout?"
_JUDGE_FACTS = ("model", "digest", "server_version", "prompt_version", "options", "num_ctx")


@dataclass(frozen=True)
class JudgeView:
    """A judge's part of the page."""

    results: JudgeResults
    facts: dict[str, str]
    histogram: str
    by_length: str


@dataclass(frozen=True)
class AnswerView:
    """An answer beside the expected one, differences marked."""

    row: Prediction
    score: str
    reason: str
    expected: Marked
    generated: Marked


def print_summary(record: RunRecord) -> None:
    """Print the results table and three answers side by side."""
    predictions = record.predictions
    rows = [(name, *format_before_after(result)) for name, result in record.results.items()]
    rows += [_make_judge_row(judge, with_counts=True) for judge in record.judges]
    rows.append(("reference/unigram_loss", "", format_estimate(record.unigram_loss), "", ""))
    rows += [(f"cost/{name}", "", format_number(value), "", "") for name, value in record.costs.items()]
    Table(f"test questions (n={len(predictions)}), with 95% intervals", BEFORE_AFTER, rows).print()
    if not all(row.test.is_written for row in predictions):
        return
    shown = list({row.group: row for row in predictions}.values())[:_ANSWERS]  # of different subjects
    shown += [row for row in predictions if row not in shown][: _ANSWERS - len(shown)]
    answers = [
        (row.instruction, _shorten(row.expected), _shorten((row.baseline and row.baseline.answer) or "-"),
         _shorten(row.test.answer))
        for row in shown
    ]  # fmt: skip
    title = f"{len(answers)} of {len(predictions)} answers, {_CHARACTERS} characters of each"
    console.print_table(title, ("question", "expected", "before", "after"), answers, wrap=True)


def print_next_steps(run: LocalRun, config: Config, was_judged: bool) -> None:
    """Print where a run is, and the commands that go on from it, as they can be pasted."""
    this = run.index.shorten_id(run.run_id)
    other = RunStore(config).find_comparable(run)
    if config.saves_model:
        console.say(f"ask it:        {medft_command(config, 'ask', f'run={this}', _QUESTION)}")
    names = [run.index.shorten_id(other.run_id) if other else "RUN", this]
    console.say(
        f"compare:       {medft_command(config, 'compare', *names)}{'' if other else '   # RUN: of medft runs'}"
    )
    console.say(f"compare runs:  {ui_command(config)}")
    if not was_judged and config.generation.max_new_tokens:
        console.say(f"judge later:   {medft_command(config, 'judge', f'run={this}', 'judge=ollama')}")
    console.say(f"read:          {config.paths.output / 'report.html'}")
    console.say(f"results:       {config.paths.output} (run {run.run_id})")


def print_judge(judge: str, metrics: Mapping[str, float]) -> None:
    """Print what one judge's verdicts come to, under their MLflow names, and how far it agrees with others."""
    own: list[tuple[str, str, str]] = []
    others: list[tuple[str, str, str]] = []
    for key in metrics:
        if not key.endswith(("_ci_low", "_ci_high", "_p")):  # parts of another metric
            estimate = read_estimate(metrics, key)
            p = format_p(estimate.p) if isinstance(estimate, Difference) else ""
            (own if key.startswith(f"judge/{judge}/") else others).append((key, format_estimate(estimate), p))
    columns = ("metric", "value [95% interval]", "p")
    Table(f"judge {judge}", columns, own).print()
    if others:
        Table("agreement between judges", columns, others).print()


def _make_judge_row(judge: JudgeResults, with_counts: bool = False) -> tuple[str, str, str, str, str]:
    counts = [f"{count} {status}" for status, count in judge.counts.items()] if with_counts else []
    if with_counts and judge.questions < judge.counts["scored"] / (2 if judge.score.before else 1):
        counts.append(f"means of {judge.questions} questions")
    words = ", ".join(filter(None, [describe_reliability(judge.reliability.reliable), *counts]))
    return (f"judge/{judge.name}/score{f' ({words})' if words else ''}", *format_before_after(judge.score))


def _shorten(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"


def describe_run(record: RunRecord) -> str:
    """The run's description in MLflow, in Markdown: its model and data in a line, warnings, the headline table."""
    params = record.params
    lines = [
        f"**{params.get('model.name')}** on **{params.get('dataset.name')}**, {params.get('dataset.size_used')} rows, "
        f"max_length {params.get('dataset.max_length')}, seed {record.seed}"
    ]
    if record.is_leaking:
        lines.append("**Test questions were trained on**: these figures say nothing about new questions.")
    rows = [(name, *format_before_after(record.results[name])) for name in HEADLINES if name in record.results]
    rows += [_make_judge_row(judge) for judge in record.judges]
    lines.append(Table("", BEFORE_AFTER, rows).to_markdown())
    lines.append("`report.html` under Artifacts has the rest: curves, judges, answers, the audit of the data.")
    return "\n\n".join(lines)


def publish_report(run: LocalRun, predictions: Sequence[Prediction]) -> RunRecord:
    """The report stage: report.html, loss_curves.png and the description of a run, made of all that it has logged;
    returns the record of that.
    """
    record = read_record(run, predictions)
    run.log_text("report.html", render_run(record))
    run.log_figure(plot_losses(_select_curves(record), _collect_reference_losses(record)), "loss_curves.png")
    run.set_description(describe_run(record))
    return record


def render_run(record: RunRecord) -> str:
    """The page as HTML."""
    rows = record.predictions
    written = [row for row in rows if row.test.is_written]
    ranked_by, ranked = _rank_answers(written, record.judges)
    return render_page(
        "run.html",
        record=record,
        lines=[(name, METRICS[name].meaning, *_format_cells(result)) for name, result in record.results.items()],
        unigram=format_estimate(record.unigram_loss),
        intervals=INTERVALS,
        groups=len(set(list_groups(rows))),
        curves=render_svg(plot_losses(_select_curves(record), _collect_reference_losses(record), NARROW)),
        judges=[_view_judge(record, judge) for judge in record.judges],
        judge_names=[judge.name for judge in record.judges],
        cells=_format_cells,
        estimate=lambda each: keep_together(format_estimate(each)),
        agreements=compare_judges(rows),
        human=record.human,
        ranked_by=ranked_by,
        worst=[_view_answer(row, ranked_by) for row in ranked[:_SHOWN]],
        best=[_view_answer(row, ranked_by) for row in ranked[::-1][:_SHOWN] if row not in ranked[:_SHOWN]],
        costs={unit: record.costs[name] for name, (_, unit) in COST_LABELS.items() if name in record.costs},
    )


def _format_cells(result: BeforeAfter) -> list[str]:
    return [keep_together(cell) for cell in format_before_after(result)]


def _select_curves(record: RunRecord) -> dict[str, Curve]:
    """The loss curves that are of one quantity, nats per token of an answer: not that of training on prompts, too."""
    others = {TRAIN_LOSS} if record.params.get("dataset.loss_on") == "all" else set()
    return {name: points for name, points in record.curves.items() if name not in others}


def _collect_reference_losses(record: RunRecord) -> dict[str, float]:
    """The dashed lines of the loss curves."""
    loss = record.results["loss"]
    lines = {"reference/unigram_loss": record.unigram_loss, "baseline/loss": loss.before, "test/loss": loss.after}
    return {name: estimate.value for name, estimate in lines.items() if estimate}


def _view_judge(record: RunRecord, results: JudgeResults) -> JudgeView:
    name, rows = results.name, record.predictions
    ratios = {"before": collect_scores(name, rows, "baseline"), "after": collect_scores(name, rows, "test")}
    scores = {label: ratio.sums.tolist() for label, ratio in ratios.items() if ratio}
    words = [float(row.test.words) for row in rows if row.judge_score(name, "test") is not None]
    prefix = f"judge.{name}."
    return JudgeView(
        results=results,
        facts={key: record.tags[prefix + key] for key in _JUDGE_FACTS if prefix + key in record.tags},
        histogram=render_svg(plot_scores(scores)) if scores else "",
        by_length=render_svg(plot_score_by_length(words, scores["after"])) if "after" in scores else "",
    )


def _rank_answers(rows: Sequence[Prediction], judges: Sequence[JudgeResults]) -> tuple[str, list[Prediction]]:
    """By what answers are ranked, and the answers, worst first: a reliable judge, else what can be computed."""
    trusted = next((judge.name for judge in judges if judge.reliability.reliable), None)
    if trusted is None:
        return ANSWER_RANK, sorted(rows, key=lambda row: row.test.values[ANSWER_RANK])
    scored = [(score, row) for row in rows if (score := row.judge_score(trusted, "test")) is not None]
    return trusted, [row for _, row in sorted(scored, key=lambda pair: (pair[0], pair[1].test.values[ANSWER_RANK]))]


def _view_answer(row: Prediction, ranked_by: str) -> AnswerView:
    verdict = row.verdict(ranked_by, "test")
    score, reason = f"{row.test.values[ANSWER_RANK]:.3f}", ""
    if verdict and verdict.score is not None:
        score, reason = f"{verdict.score:g}", verdict.reason
    return AnswerView(row, score, reason, *mark_differences(row.expected, row.test.answer))
