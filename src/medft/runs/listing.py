"""The runs under a root, each as a list of them shows it: read from their folders, without MLflow."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medft.errors import MedftError
from medft.metrics.registry import METRICS, PRIMARY
from medft.runs.index import Entry, RunIndex
from medft.runs.local_run import read_local_run
from medft.runs.state import DIVERGED, FINISHED, RUNNING, SUPERSEDED

INTERRUPTED, DAMAGED = "INTERRUPTED", "DAMAGED"  # its process is gone without a word; it cannot be read


@dataclass(frozen=True)
class ListedRun:
    """A run, or a sweep or search with its jobs.

    Attributes:
        status: as it is logged, or INTERRUPTED, DAMAGED or DIVERGED.
        data: names of its data sets.
        score: the primary metric after fine-tuning; of a sweep the best of its jobs.
        why: it did not finish.
        can_go_on: whether `medft train resume=...` takes it.
        jobs: the newest attempt at each.
    """

    run_id: str
    name: str
    kind: str
    started: float
    status: str
    data: str = ""
    score: float | None = None
    why: str = ""
    can_go_on: bool = False
    jobs: Sequence["ListedRun"] = ()

    @property
    def is_bad(self) -> bool:
        """Whether it, or one of its jobs, has ended and not finished."""
        return self.status not in (FINISHED, DIVERGED, RUNNING) or any(job.is_bad for job in self.jobs)


class RunList:
    """The runs under a root, the newest first; jobs belong to their sweep."""

    def __init__(self, root: Path) -> None:
        entries = RunIndex(root).list_entries()
        known = {entry.run_id for entry in entries}
        self._jobs: dict[str, list[Entry]] = defaultdict(list)
        self._own: list[Entry] = []
        for entry in entries:
            (self._jobs[entry.parent] if entry.parent in known else self._own).append(entry)

    def __len__(self) -> int:
        return len(self._own)

    def __iter__(self) -> Iterator[ListedRun]:
        """They are read one by one, as they are asked for."""
        for entry in reversed(self._own):
            listed = [_read(job) for job in self._jobs[entry.run_id]]
            if run := _read(entry, [job for job in listed if job]):
                yield run


def _read(entry: Entry, jobs: Sequence[ListedRun] = ()) -> ListedRun | None:
    """A run as it stands; None if a later attempt has replaced it."""
    listed = ListedRun(entry.run_id, entry.name, entry.kind, entry.started, DAMAGED, jobs=jobs)
    try:
        run = read_local_run(Path(entry.folder))
        if run is None:
            return replace(listed, why="its folder has no run.json or no journal")
        state, is_dead = run.state, run.state.status == RUNNING and not run.is_alive()
        goes_on = not entry.parent and run.can_go_on()
    except (MedftError, OSError) as error:
        return replace(listed, why=str(error))
    if SUPERSEDED in state.tags:
        return None
    status = INTERRUPTED if is_dead else state.outcome
    scores = [job.score for job in jobs if job.score is not None and math.isfinite(job.score)]
    best = min if METRICS[PRIMARY].better == "lower" else max
    data = sorted({each.data for each in jobs if each.data}) or [state.params.get("dataset.name", "")]
    return replace(
        listed,
        status=status,
        data=", ".join(data),
        score=best(scores, default=state.metrics.get(f"test/{PRIMARY}")),
        why="" if status in (FINISHED, DIVERGED, RUNNING) else "its process is gone" if is_dead else state.error,
        can_go_on=goes_on,
    )
