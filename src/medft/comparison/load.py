"""Runs as MLflow has them, read whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from medft.console import track, warn
from medft.errors import InputError
from medft.evaluation.predictions import read_jsonl
from medft.report.facts import RunFacts, collect
from medft.tracking.finished import artifact
from medft.tracking.search import Found, Store
from medft.tracking.tracker import Tracker


@dataclass(frozen=True)
class Asked:
    """Which runs are meant: exactly one of the three is given."""

    ids: Sequence[str] = ()
    parent: str = ""
    filter: str = ""


def load_runs(store: Store, asked: Asked) -> tuple[list[RunFacts], dict[str, str]]:
    """All that the runs have logged; and which are left out, with the reason, which is also said.

    Raises:
        InputError: there is no run to compare, or one that was named cannot be.
    """
    found = _find(store, asked)
    runs, left_out = [], dict(found.left_out)
    for run in track(found.runs, "reading runs", len(found.runs)):
        tracker = Tracker(store.client, run.info.run_id)
        try:
            runs.append(collect(tracker, read_jsonl(artifact(tracker, "predictions.jsonl"))))
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


def _find(store: Store, asked: Asked) -> Found:
    if asked.parent:
        return store.children(asked.parent)
    return store.matching(asked.filter) if asked.filter else store.by_ids(asked.ids)
