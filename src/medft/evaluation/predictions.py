"""The test questions with every answer, measurement and verdict: what people read after a run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from medft.data.example import Example
from medft.data.words import split_words
from medft.evaluation.judges.base import Verdict
from medft.files import read_json_lines, write_json_lines
from medft.metrics.metric import AnswerScores

Side = Literal["baseline", "test"]  # the answers before, and after fine-tuning
SIDES: tuple[Side, ...] = ("test", "baseline")


@dataclass
class Prediction:
    """One test question.

    Attributes:
        group, document: of the example; questions of one of either are not independent, see `list_groups`.
        expected: the answer of the data set.
        baseline: the answer before fine-tuning; None if no baseline was asked for.
        test: the answer after fine-tuning.
        verdicts: by judge's name, then by what was judged: `test` and `baseline`, on some rows `control_expected`,
            `control_other`, `control_claim` and `control_empty`.
    """

    id: str
    group: str
    document: str
    instruction: str
    input: str
    expected: str
    baseline: AnswerScores | None
    test: AnswerScores
    verdicts: dict[str, dict[str, Verdict]] = field(default_factory=dict)

    def scores(self, side: Side) -> AnswerScores:
        """The scores of one side; the baseline must have been measured."""
        scores = self.test if side == "test" else self.baseline
        assert scores is not None
        return scores

    def verdict(self, judge: str, side: str) -> Verdict | None:
        """A judge's verdict on one side."""
        return self.verdicts.get(judge, {}).get(side)

    def judge_score(self, judge: str, side: str) -> float | None:
        """The score that a judge gave to a side; None if it gave none."""
        verdict = self.verdict(judge, side)
        return None if verdict is None or verdict.score is None else float(verdict.score)


def make_predictions(
    test: Sequence[Example], baseline: Sequence[AnswerScores] | None, tuned: Sequence[AnswerScores]
) -> list[Prediction]:
    """Join the test rows with what was measured before and after, by position."""
    before: Sequence[AnswerScores | None] = baseline or [None] * len(test)
    return [
        Prediction(row.id, row.group, row.document or row.group, row.instruction, row.input, row.output, old, new)
        for row, old, new in zip(test, before, tuned, strict=True)
    ]


def list_groups(predictions: Sequence[Prediction]) -> list[str]:
    """What the questions of each row are drawn with, for error bars: the coarser of group and document.

    A split keeps groups together, and a document of several groups makes one of them: rows that share either are one.
    """
    joined: dict[tuple[str, str], tuple[str, str]] = {}

    def find(name: tuple[str, str]) -> tuple[str, str]:
        while (above := joined.setdefault(name, name)) != name:
            joined[name] = name = joined[above]  # halves the way for the next one
        return name

    for row in predictions:
        document, group = find(("document", row.document)), find(("group", row.group))
        joined[document] = group
    return [find(("group", row.group))[1] for row in predictions]


def list_judges(predictions: Iterable[Prediction]) -> list[str]:
    """The names of all judges that have judged any of the rows, in alphabetical order."""
    return sorted({name for row in predictions for name in row.verdicts})


def collect_baseline(predictions: Sequence[Prediction]) -> list[AnswerScores] | None:
    """The answers before fine-tuning; None if not all questions have one."""
    answers = [row.baseline for row in predictions if row.baseline is not None]
    return answers if len(answers) == len(predictions) else None


def write_jsonl(predictions: Iterable[Prediction], path: Path) -> None:
    """One JSON object a line: `predictions.jsonl`."""
    write_json_lines(path, map(asdict, predictions))


def read_jsonl(path: Path) -> list[Prediction]:
    """Read what `write_jsonl` has written.

    Raises:
        DamagedFile: it is something else; names the line.
    """
    return read_json_lines(path, _read_row, "a prediction as runs log it")


def _read_row(row: dict[str, Any]) -> Prediction:
    expected = len(split_words(row["expected"]))
    for side in filter(row.get, SIDES):  # counted anew: earlier versions did so in another way
        counts = {"words": len(split_words(row[side]["answer"])), "expected_words": expected}
        row[side] = AnswerScores(**{**row[side], **counts})
    for verdicts in row["verdicts"].values():
        verdicts.update({side: Verdict.from_dict(verdict) for side, verdict in verdicts.items()})
    return Prediction(**row)


def write_notebook_json(predictions: Iterable[Prediction], path: Path) -> None:
    """The format of the first users' notebook, `predictions.json`: instruction, input, output, model_response."""
    rows = [
        {"instruction": each.instruction, "input": each.input, "output": each.expected,
         "model_response": each.test.answer}
        for each in predictions
    ]  # fmt: skip
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")
