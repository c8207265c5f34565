"""Runs as MLflow has them, read whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from medft.console import track, warn
from medft.errors import InputError
from medft.runs.query import RunSelection, RunStore
from medft.runs.record import RunRecord, read_record
from medft.runs.tracker import Tracker


@dataclass(frozen=True)
class RunQuery:
    """Which runs are meant: exactly one of the three is given."""

    ids: Sequence[str] = ()
    parent: str = ""
    filter: str = ""


def load_runs(store: RunStore, query: RunQuery) -> tuple[list[RunRecord], dict[str, str]]:
    """All that the runs have logged; and which are left out, with the reason, which is also said.

    Raises:
        InputError: there is no run to compare, or one that was named cannot be.
    """
    selection = _select(store, query)
    runs, left_out = [], dict(selection.left_out)
    for run in track(selection.runs, "reading runs", len(selection.runs)):
        tracker = Tracker(store.client, run.info.run_id, store.config.paths.output)
        try:
            record = read_record(tracker)
            if not record.predictions:
                raise InputError(f"run={record.run_id}: its predictions.jsonl has no rows")
            runs.append(record)
        except InputError as error:
            if query.ids:
                raise
            left_out[run.info.run_id] = str(error).split(": ", 1)[-1]
    for run_id, why in left_out.items():
        warn(f"run {run_id} is left out: {why}")
    if not runs:
        where = f"parent={query.parent}" if query.parent else f"filter={query.filter}"
        raise InputError(f"{where}: no finished run in {store.uri}")
    return runs, left_out


def _select(store: RunStore, query: RunQuery) -> RunSelection:
    if query.parent:
        return store.find_children(query.parent)
    return store.search_runs(query.filter) if query.filter else store.find_runs(query.ids)
