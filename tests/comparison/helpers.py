"""Runs made by hand: what `read_record` reads of a finished one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from medft.evaluation.judges.base import Verdict
from medft.evaluation.predictions import Prediction
from medft.metrics.metric import AnswerScores
from medft.metrics.registry import METRICS
from medft.runs.record import RunRecord

_NUMBERS = count(1)
MEASURED = [name for name, metric in METRICS.items() if metric.measure and metric.is_installed]


def answer(text: str, nats: float = 10.0, rouge: float = 0.5, **changes: Any) -> AnswerScores:
    """An answer of 3 words to an expected one of 5 tokens, 7 bytes and 2 words."""
    values = {**dict.fromkeys(MEASURED, rouge), **{name: changes.pop(name) for name in MEASURED if name in changes}}
    fields = {"tokens": 5, "cut": 0, "bytes": 7, "words": 3, "expected_words": 2, "hit_limit": False, **changes}
    return AnswerScores(answer=text, nats=nats, values=values, **fields)


def row(place: int, document: str, nats: float = 10.0, rouge: float = 0.5, **changes: Any) -> Prediction:
    """A question with the expected answer `right n`; `measured` changes what was measured of both answers."""
    measured = changes.pop("measured", {})
    before = answer(changes.pop("baseline_answer", "before"), 20.0, rouge, **{"rougeL": 0.1, **measured})
    text = changes.pop("generated_answer", f"answer {place}")
    fields: dict[str, Any] = {
        "id": f"id{place}", "group": document, "document": document, "instruction": f"question {place}", "input": "",
        "expected": f"right {place}", "baseline": before if changes.pop("baseline", True) else None,
        "test": answer(text, nats, rouge, **measured),
    }  # fmt: skip
    return Prediction(**{**fields, **changes})


def run(rows: Sequence[Prediction], seed: int = 1, **changes: Any) -> RunRecord:
    """A run with parameters `dataset.max_length=128` and so on; keywords with dots in `params` change them."""
    number = next(_NUMBERS)
    params = {"seed": str(seed), "dataset.max_length": "128", "dataset.name": "sample", "model.name": "gpt2",
              "model.source": "None"} | changes.pop("params", {})  # fmt: skip
    length = params["dataset.max_length"]
    tags = {"dataset.fingerprint": "f", "leaking": "false", "device": "cpu"} | changes.pop("tags", {})
    fields: dict[str, Any] = {
        "run_id": f"{number:08x}" + "0" * 24, "name": f"run-{number}",
        "started": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        "metrics": {"cost/train_seconds": 10.0 * seed, "cost/train_tokens": float(length if length.isdigit() else 100)},
        "tags": tags, "params": params,
        "curves": {"train/loss": [(1, 3.0), (2, 2.0)], "val/loss": [(2, 2.1)]}, "predictions": rows,
        "questions": len(rows), "config": "", "audit": None,
    }  # fmt: skip
    return RunRecord(**{**fields, **changes})


def runs_of(length: int, nats: Sequence[Sequence[float]], documents: Sequence[str], **changes: Any) -> list[RunRecord]:
    """One run for each seed of `dataset.max_length=length`, with the nats of each question."""
    return [
        run(
            [row(place, document, value) for place, (document, value) in enumerate(zip(documents, own, strict=True))],
            seed, params={"dataset.max_length": str(length)}, **changes,
        )
        for seed, own in enumerate(nats, 1)
    ]  # fmt: skip


def verdicts(rows: Sequence[Prediction], scores: Sequence[float | None], judge: str = "j", good: bool = True) -> None:
    """Put a judge's scores into rows, with controls that call it reliable or not."""
    for each, score in zip(rows, scores, strict=True):
        status = "failed" if score is None else "scored"
        controls = {"control_expected": 95.0 if good else 50.0, "control_other": 5.0, "control_empty": 45.0 - 45 * good}
        sides = {"test": score, **controls}
        each.verdicts[judge] = {side: Verdict(status, value) for side, value in sides.items()}
