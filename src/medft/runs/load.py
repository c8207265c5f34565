"""Runs as MLflow has them, read whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from medft.console import track, warn
from medft.errors import InputError
from medft.runs.query import RunStore
from medft.runs.record import RunRecord, read_record
from medft.runs.tracker import Tracker


@dataclass(frozen=True)
class RunQuery:
    """Which runs are meant: exactly one of the three is given."""

    ids: Sequence[str] = ()
    parent: str = ""
    filter: str = ""


def load_runs(store: RunStore, query: RunQuery) -> tuple[list[RunRecord], dict[str, str]]:
    """Read all that the runs have logged; warns of runs that are left out.

    Returns:
        The runs; and the ids of those that are left out, each with the reason.

    Raises:
        InputError: there is no run to compare, or one that was named cannot be.
    """
    if query.parent:
        runs = store.find_children(query.parent)
    else:
        runs = store.search_runs(query.filter) if query.filter else store.find_runs(query.ids)
    left_out = {run.info.run_id: f"it is {run.info.status}" for run in runs if run.info.status != "FINISHED"}
    runs = [run for run in runs if run.info.run_id not in left_out]
    records = []
    for run in track(runs, "reading runs", len(runs)):
        try:
            record = read_record(Tracker(store.client, run.info.run_id, store.config.paths.output))
            if not record.predictions:
                raise InputError(f"run={record.run_id}: its predictions.jsonl has no rows")
            records.append(record)
        except InputError as error:
            if query.ids:
                raise
            left_out[run.info.run_id] = str(error).split(": ", 1)[-1]
    for run_id, why in left_out.items():
        warn(f"run {run_id} is left out: {why}")
    if not records:
        where = f"parent={query.parent}" if query.parent else f"filter={query.filter}"
        raise InputError(f"{where}: no finished run in {store.uri}")
    return records, left_out
