"""Runs as MLflow has them, read whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from medft.console import track, warn
from medft.errors import InputError
from medft.evaluation.predictions import Prediction, read_jsonl
from medft.metrics.overlap import OVERLAP
from medft.runs.open import artifact
from medft.runs.query import RunSelection, Store
from medft.runs.record import RunRecord, collect
from medft.runs.tracker import Tracker

# of each row; what later versions log more can be had otherwise
_NEEDED = {"nats", "tokens", "cut", "words", "hit_limit", *OVERLAP}


@dataclass(frozen=True)
class RunQuery:
    """Which runs are meant: exactly one of the three is given."""

    ids: Sequence[str] = ()
    parent: str = ""
    filter: str = ""


def load_runs(store: Store, asked: RunQuery) -> tuple[list[RunRecord], dict[str, str]]:
    """All that the runs have logged; and which are left out, with the reason, which is also said.

    Raises:
        InputError: there is no run to compare, or one that was named cannot be.
    """
    found = _find(store, asked)
    runs, left_out = [], dict(found.left_out)
    for run in track(found.runs, "reading runs", len(found.runs)):
        tracker = Tracker(store.client, run.info.run_id)
        try:
            runs.append(collect(tracker, _predictions(tracker)))
        except InputError as error:
            if asked.ids:
                raise
            left_out[run.info.run_id] = str(error).split(": ", 1)[-1]
    for run_id, why in left_out.items():
        warn(f"run {run_id} is left out: {why}")
    if not runs:
        where = f"parent={asked.parent}" if asked.parent else f"filter={asked.filter}"
        raise InputError(f"{where}: no finished run in {store.uri}")
    return runs, left_out


def _predictions(tracker: Tracker) -> list[Prediction]:
    rows = read_jsonl(artifact(tracker, "predictions.jsonl"))
    missing = sorted({key for row in rows for key in _NEEDED - row.metrics["test"].keys()})
    if missing or not rows:
        what = f"no {', '.join(missing)}" if missing else "no rows"
        raise InputError(f"run={tracker.run_id}: its predictions.jsonl has {what}; train it again with this version")
    return rows


def _find(store: Store, asked: RunQuery) -> RunSelection:
    if asked.parent:
        return store.children(asked.parent)
    return store.matching(asked.filter) if asked.filter else store.by_ids(asked.ids)
