"""The test questions with every answer, measurement and verdict: what people read after a run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medft.data.example import Example
from medft.evaluation.evaluate import AnswerScores, Measurement


@dataclass
class Prediction:
    """One test question.

    Attributes:
        group, document: of the example; questions of one document are not independent.
        expected: the answer of the data set.
        baseline_answer: before fine-tuning; None if no baseline was asked for.
        generated_answer: after fine-tuning.
        metrics: `baseline` and `test`, each with the measurements of one row.
        judge: by judge's name, then by what was judged: `test` and `baseline`, on some rows `control_expected`,
            `control_other` and `control_empty`. Each has what `Verdict` has; with `judge.repeats` above 1 the score is
            a mean, and `repeats` has them all.
    """

    id: str
    group: str
    document: str
    instruction: str
    input: str
    expected: str
    baseline_answer: str | None
    generated_answer: str
    metrics: dict[str, dict[str, float]]
    judge: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)


def make_predictions(test: Sequence[Example], baseline: Measurement | None, tuned: Measurement) -> list[Prediction]:
    """Join the test rows with what was measured before and after, by position; ids must agree."""
    before: Sequence[AnswerScores | None] = baseline.rows if baseline else [None] * len(test)
    found = []
    for example, old, new in zip(test, before, tuned.rows, strict=True):
        if new.id != example.id or (old and old.id != example.id):
            raise ValueError(f"measurements of another row: {new.id} for {example.id}")
        metrics = {"test": _numbers(new)} | ({"baseline": _numbers(old)} if old else {})
        found.append(
            Prediction(
                example.id,
                example.group,
                example.document or example.group,
                example.instruction,
                example.input,
                example.output,
                old.answer if old else None,
                new.answer,
                metrics,
            )
        )
    return found


def write_jsonl(predictions: Iterable[Prediction], path: Path) -> None:
    """One JSON object a line: `predictions.jsonl`."""
    lines = [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in predictions]
    path.write_text("".join(lines), encoding="utf-8")


def read_jsonl(path: Path) -> list[Prediction]:
    """The reverse of `write_jsonl`."""
    with path.open(encoding="utf-8") as file:
        return [_prediction(json.loads(line)) for line in file]


def _prediction(fields: dict[str, Any]) -> Prediction:
    """A row of any version: older ones had no document, and their verdicts no status."""
    for verdicts in fields["judge"].values():
        for verdict in verdicts.values():
            verdict.setdefault("status", "failed" if verdict["score"] is None else "scored")
    return Prediction(**{"document": fields["group"], **fields})


def write_notebook_json(predictions: Iterable[Prediction], path: Path) -> None:
    """The first users' format, `predictions.json`: instruction, input, output, model_response."""
    rows = [
        {"instruction": each.instruction, "input": each.input, "output": each.expected,
         "model_response": each.generated_answer}
        for each in predictions
    ]  # fmt: skip
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")


def _numbers(row: AnswerScores) -> dict[str, float]:
    counts = {
        "nats": row.nats,
        "tokens": row.tokens,
        "cut": row.cut,
        "bytes": row.bytes,
        "words": row.words,
        "expected_words": row.expected_words,
        "hit_limit": row.hit_limit,
    }
    return {**row.metrics, **counts}
