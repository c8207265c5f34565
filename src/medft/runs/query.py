"""Runs by name: the last one, an id or the beginning of one, a name, a folder, a sweep's runs, or an MLflow filter.

Runs in folders of this machine come first, without asking MLflow; what is not here is looked up there.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from medft.config.compose import compose_config
from medft.config.schema import Config
from medft.console import note, warn
from medft.errors import DamagedFile, InputError
from medft.runs.index import Entry, RunIndex
from medft.runs.local_run import LocalRun, read_local_run
from medft.runs.remote_run import RemoteRun, StoredRun
from medft.runs.state import FAILED, FINISHED, ID, KIND, PARENT, SUPERSEDED, SWEEP_NAME, RunState
from medft.runs.store import connect, list_runs, shown_uri, tracking_uri
from medft.runs.sweeps import SWEEP

LAST = "last"
SPLIT_RUN = "dataset.split.from_run"
_FEWEST = 6  # characters of the beginning of a run id
_PAGE = 20
_NEWEST = 100  # runs among which the last one is looked for
PLACES = ("tracking.uri=", "paths.")  # overrides that say where runs are tracked


class RunStore:
    """Finds runs where `config` says that they are kept."""

    def __init__(self, config: Config) -> None:
        self.config, self.uri = config, shown_uri(config)
        self._index = RunIndex(Path(config.paths.root_dir))

    @cached_property
    def client(self) -> Any:
        """MLflow's, for what is not in a folder here."""
        return connect(self.config)

    def knows(self, run: LocalRun) -> bool:
        """Whether a run was made here, and its folder does not come from somewhere else."""
        entry = self._index.get(run.run_id)
        return entry is not None and Path(entry.folder) == run.folder.resolve()

    def find_run(self, name: str, key: str = "run") -> StoredRun:
        """A run of any status; `last` is the newest FINISHED one that is no sweep.

        Args:
            key: of the option that names it, for errors.

        Raises:
            InputError: there is none, or there are several.
        """
        return self._find(name, key, "run", _is_single_run)

    def find_interrupted(self, name: str, key: str) -> LocalRun:
        """A run or a sweep in a folder here that has not finished; `last` is the newest that can go on.

        Raises:
            InputError: there is none.
        """
        if name != LAST:
            run = self._find_here(name, key)
            if not isinstance(run, LocalRun):
                raise InputError(f"{key}={name}: no such run in a folder here")
            if run.state.status == FINISHED:
                raise InputError(f"{key}={name}: this run has finished")
            if parent := run.state.tags.get(PARENT):
                raise InputError(f"{key}={name}: it is a job of a sweep, which goes on with {key}={parent}")
            return run
        for run in self._open(reversed([each for each in self._index.list_entries() if not each.parent])):
            if SUPERSEDED not in run.state.tags and run.can_go_on():
                return run
        raise InputError(f"{key}={LAST}: no run here was interrupted")

    def find_parent(self, name: str) -> StoredRun:
        """The parent run of a sweep or a search; `last` is the newest that has ended, well or not.

        Raises:
            InputError: there is none, or there are several.
        """
        return self._find(name, "parent", "sweep", lambda state: state.kind is not None, (FINISHED, FAILED))

    def find_runs(self, names: Sequence[str]) -> list[StoredRun]:
        """FINISHED runs, in the order they are named; one that is named twice is there once.

        Raises:
            InputError: there is no such run, there are several, or it is not FINISHED.
        """
        runs = {run.run_id: run for run in map(self.find_run, names)}
        for run_id, run in runs.items():
            if kind := run.state.kind:
                raise InputError(f"run {run_id}: it is a {kind}; its runs are compared by parent={run_id}")
            if run.state.status != FINISHED:
                raise InputError(f"run {run_id}: it is {run.state.status}, only FINISHED runs can be compared")
        return list(runs.values())

    def find_children(self, parent: str) -> list[StoredRun]:
        """The runs of a sweep, oldest first, without those that were superseded by a later attempt.

        Raises:
            InputError: there is no such parent.
        """
        found = self.find_parent(parent)
        if isinstance(found, RemoteRun):
            runs = self._search(f"tags.`mlflow.parentRunId` = '{found.mlflow_id}'")
        else:
            runs = list(self._open(entry for entry in self._index.list_entries() if entry.parent == found.run_id))
        return [run for run in runs if SUPERSEDED not in run.state.tags]

    def search_runs(self, filter_string: str) -> list[StoredRun]:
        """The runs that an MLflow filter finds, oldest first, without parents of sweeps.

        Raises:
            InputError: MLflow cannot read the filter.
        """
        return [run for run in self._search(filter_string) if _is_single_run(run.state)]

    def find_comparable(self, run: LocalRun) -> LocalRun | None:
        """The newest other run here that has FINISHED on the same data and is no job."""
        data = run.card.get("dataset_fingerprint")
        for entry in reversed(self._index.list_entries()[-_NEWEST:]):
            if entry.run_id != run.run_id and not (entry.kind or entry.parent):
                with suppress(DamagedFile, OSError):
                    other = read_local_run(Path(entry.folder))
                    if other and other.card.get("dataset_fingerprint") == data and other.state.status == FINISHED:
                        return other
        return None

    def find_sweep(self, name: str) -> StoredRun:
        """The newest sweep of a name.

        Raises:
            InputError: there is none.
        """
        entries = [entry for entry in self._index.list_entries() if entry.kind == SWEEP]
        if named := [entry for entry in entries if entry.name == name]:
            return LocalRun(Path(named[-1].folder))
        sweeps = self._search(f"tags.`{KIND}` = '{SWEEP}'")
        if there := [run for run in sweeps if run.state.tags.get(SWEEP_NAME) == name]:
            return there[-1]
        known = {entry.name for entry in entries} | {run.state.tags.get(SWEEP_NAME, "?") for run in sweeps}
        raise InputError(
            f"experiment={name}: no sweep of that name in {self.uri} (there are: {', '.join(sorted(known)) or 'none'})"
        )

    def _find(
        self,
        name: str,
        key: str,
        kind: str,
        is_meant: Callable[[RunState], bool],
        statuses: Sequence[str] = (FINISHED,),
    ) -> StoredRun:
        """A run by name; of `last`, the newest of a kind that has ended so, it prints which one that is."""
        if name != LAST:
            return self._find_here(name, key) or self._find_in_mlflow(name, key)
        for run in chain(self._list_newest(), self._list_newest_in_mlflow(statuses)):
            if run.state.status in statuses and is_meant(run.state):
                note(f"{key}={LAST}: {kind} {run.run_id} ({run.state.name})")
                return run
        raise InputError(f"{key}={LAST}: no finished {kind} in {self.uri}")

    def _list_newest(self) -> list[LocalRun]:
        """The runs in folders here that were started last, the one that ended last first."""
        newest = list(self._open(self._index.list_entries()[-_NEWEST:]))
        return sorted(newest, key=lambda run: run.state.ended, reverse=True)

    def _list_newest_in_mlflow(self, statuses: Sequence[str]) -> Iterator[StoredRun]:
        experiments, token = self._experiments(), None
        while experiments:
            page = self.client.search_runs(
                experiments, f"attributes.status = '{statuses[0]}'" if len(statuses) == 1 else "", max_results=_PAGE,
                order_by=["attributes.end_time DESC"], page_token=token,
            )  # fmt: skip
            yield from map(self._wrap, page)
            token = page.token
            if not token:
                return

    def _find_here(self, name: str, key: str) -> StoredRun | None:
        if Path(name).is_dir() and (run := read_local_run(Path(name))):
            return run
        entries, what = self._index.list_entries(), "begin so"
        found = [each for each in entries if _is_beginning(name) and each.run_id.startswith(name)]
        if not found:
            found, what = [each for each in entries if each.name == name], "have this name"
        if not found:
            return None
        return _only(list(self._open(found)), name, key, what)

    def _find_in_mlflow(self, name: str, key: str) -> StoredRun:
        runs, what = [], "begin so"
        if _is_beginning(name):
            runs = self._search(f"attributes.run_id LIKE '{name}%'") or self._search(f"tags.`{ID}` LIKE '{name}%'")
        quote = '"' if "'" in name else "'"
        if not runs and quote not in name:
            runs, what = self._search(f"attributes.run_name = {quote}{name}{quote}"), "have this name"
        if not runs:
            raise InputError(
                f"{key}={name}: no such run in {self.uri}; a run is named by {LAST}, by its id, by the first "
                f"{_FEWEST} or more characters of it, by its name, or by its folder"
            )
        return _only(runs, name, key, what)

    def _search(self, filter_string: str) -> list[StoredRun]:
        """All runs that MLflow finds, oldest first."""
        if not (experiments := self._experiments()):
            return []
        import mlflow

        try:
            runs = list_runs(self.client, experiments, filter_string)
        except mlflow.exceptions.MlflowException as error:
            raise InputError(f"filter={filter_string}: {' '.join(str(error).split())}") from None
        return [self._wrap(run) for run in sorted(runs, key=lambda run: run.info.start_time)]

    def _wrap(self, run: Any) -> StoredRun:
        """A run that MLflow has, read from its folder where that is here."""
        entry = self._index.get(run.data.tags.get(ID, ""))
        return next(self._open([entry] if entry else []), None) or RemoteRun(self.client, run)

    def _open(self, entries: Iterable[Entry]) -> Iterator[LocalRun]:
        """The runs of these entries; one that is damaged is told, and left out."""
        for entry in entries:
            try:
                if run := read_local_run(Path(entry.folder)):
                    yield run
            except DamagedFile as error:
                warn(str(error))

    def _experiments(self) -> list[str]:
        database = tracking_uri(self.config).removeprefix("sqlite:///")
        if "://" not in database and not Path(database).exists():
            return []  # MLflow would make one, which takes seconds
        return [each.experiment_id for each in self.client.search_experiments()]


def _only(runs: Sequence[StoredRun], name: str, key: str, what: str) -> StoredRun:
    if len(runs) > 1:
        ids = ", ".join(run.run_id for run in runs[-3:])
        raise InputError(f"{key}={name}: {len(runs)} runs {what}, the newest {ids}; give more of the id")
    return runs[0]


def _is_beginning(name: str) -> bool:
    """Whether a name may be the beginning of an id."""
    return name.isalnum() and len(name) >= _FEWEST


def _is_single_run(state: RunState) -> bool:
    return not {KIND, SUPERSEDED} & state.tags.keys()


def resolve_split_run(overrides: Sequence[str]) -> list[str]:
    """Overrides with the run of `dataset.split.from_run` by its id; `last` or a name may be another run tomorrow.

    Raises:
        InputError: there is no such run, or there are several.
    """
    resolved = []
    for override in overrides:
        key, _, name = override.partition("=")
        if key.lstrip("+") == SPLIT_RUN and name and name != "null" and not re.fullmatch(r"[0-9a-f]{32}", name):
            store = RunStore(compose_config([each for each in overrides if each.startswith(PLACES)]))
            run = store.find_run(name.strip("'\""), SPLIT_RUN)
            override = f"{key}={run.run_id}"
        resolved.append(override)
    return resolved
