"""`report.html`: one self-contained file about one run. No script, nothing loaded, every text of a model escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medft.evaluation.judging.agreement import between_judges
from medft.evaluation.judging.controls import CONTROLS, Reliability, reliability
from medft.evaluation.judging.metrics import judge_metrics
from medft.evaluation.judging.verdicts import score, scores_of
from medft.evaluation.predictions import Prediction
from medft.metrics.aggregate import MEASURED
from medft.report.diff import Marked, marked_differences
from medft.report.html import environment
from medft.report.plots import NARROW, REFERENCE_LOSSES, as_svg, loss_curves, score_by_length, score_histogram
from medft.report.run_table import cells, interval, judge_keys, measured_keys
from medft.runs.record import RunRecord

_SHOWN = 5  # worst and best answers each
_JUDGE_FACTS = ("model", "digest", "server_version", "prompt_version", "options", "num_ctx")
_UNITS = {
    "cost/train_seconds": "s",
    "cost/train_tokens": "tokens",
    "cost/tokens_per_second": "tokens/s",
    "cost/peak_memory": "MiB at most",
}


@dataclass(frozen=True)
class Line:
    """A row of the results table, each cell ready to show."""

    name: str
    meaning: str
    before: str
    after: str
    difference: str
    p: str


@dataclass(frozen=True)
class JudgeView:
    """A judge's part of the page."""

    name: str
    facts: Mapping[str, str]
    line: Line
    counts: Mapping[str, int]
    reliability: Reliability
    controls: Mapping[str, str]
    self_agreement: str
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


def render(facts: RunRecord) -> str:
    """The page as HTML."""
    rows = facts.predictions
    judges = [_judge(facts, name) for name in sorted({name for row in rows for name in row.judge})]
    ranked_by, ranked = _ranked(rows, judges)
    return str(
        environment()
        .get_template("run.html")
        .render(
            facts=facts,
            lines=[_line(facts.metrics, name, meaning, measured_keys(name)) for name, meaning in MEASURED.items()],
            unigram=interval(facts.metrics, "reference/unigram_loss"),
            documents=len({row.document for row in rows}),
            curves=_curves(facts),
            judges=judges,
            agreements=between_judges(rows),
            ranked_by=ranked_by,
            worst=[_answer(row, ranked_by) for row in ranked[:_SHOWN]],
            best=[_answer(row, ranked_by) for row in ranked[::-1][:_SHOWN] if row not in ranked[:_SHOWN]],
            costs={unit: facts.metrics[key] for key, unit in _UNITS.items() if key in facts.metrics},
        )
    )


def _line(metrics: Mapping[str, float], name: str, meaning: str, keys: tuple[str, str, str]) -> Line:
    return Line(name, meaning, *map(_unbroken, cells(metrics, *keys)))


def _unbroken(cell: str) -> str:
    """A value may be broken into two lines before its interval, not inside it."""
    return cell.replace(", ", ",\u00a0")


def _curves(facts: RunRecord) -> str:
    references = {key: facts.metrics[key] for key in REFERENCE_LOSSES if key in facts.metrics}
    return as_svg(loss_curves(facts.curves, references, NARROW))


def _judge(facts: RunRecord, name: str) -> JudgeView:
    base, rows = f"judge/{name}/", facts.predictions
    metrics = judge_metrics(name, rows)  # of these very rows; MLflow may still have numbers of an earlier pass
    sides = {"before": scores_of(name, rows, "baseline"), "after": scores_of(name, rows, "test")}
    scores = {label: found.sums.tolist() for label, found in sides.items() if found}
    scored = [row for row in rows if score(row, name, "test") is not None]
    words = [float(len(row.generated_answer.split())) for row in scored]
    prefix = f"judge.{name}."
    return JudgeView(
        name=name,
        facts={key: facts.tags[prefix + key] for key in _JUDGE_FACTS if prefix + key in facts.tags},
        line=_line(metrics, name, "mean score, 0 to 100", judge_keys(base)),
        counts={key: int(metrics[base + key]) for key in ("scored", "failed", "too_long")},
        reliability=reliability(name, rows),
        controls={each: _unbroken(interval(metrics, f"{base}control_{each}")) for each in CONTROLS},
        self_agreement=interval(metrics, f"{base}self_agreement"),
        histogram=as_svg(score_histogram(scores, NARROW)) if scores else "",
        by_length=as_svg(score_by_length(words, scores["after"], NARROW)) if "after" in scores else "",
    )


def _ranked(rows: Sequence[Prediction], judges: Sequence[JudgeView]) -> tuple[str, list[Prediction]]:
    """By what answers are ranked, and the answers, worst first: a reliable judge, else what can be computed."""
    trusted = next((judge.name for judge in judges if judge.reliability.reliable), None)
    if trusted:
        scored = [row for row in rows if score(row, trusted, "test") is not None]
        return trusted, sorted(
            scored, key=lambda row: (score(row, trusted, "test") or 0, row.metrics["test"]["rougeL"])
        )
    return "rougeL", sorted(rows, key=lambda row: row.metrics["test"]["rougeL"])


def _answer(row: Prediction, ranked_by: str) -> AnswerView:
    expected, generated = marked_differences(row.expected, row.generated_answer)
    given = score(row, ranked_by, "test")
    shown = f"{row.metrics['test']['rougeL']:.3f}" if given is None else f"{given:g}"
    reason = row.judge.get(ranked_by, {}).get("test", {}).get("reason", "")
    return AnswerView(row, shown, reason, expected, generated)
