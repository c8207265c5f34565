"""Runs by name: the last one, an id or the beginning of one, a name, a sweep's runs, or an MLflow filter."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from medft.config.compose import compose_config
from medft.config.schema import Config
from medft.console import note
from medft.errors import InputError
from medft.runs.store import connect, list_runs, tracking_uri
from medft.runs.sweeps import KIND, PARENT, SUPERSEDED, SWEEP

LAST = "last"
SPLIT_RUN = "dataset.split.from_run"
_FEWEST = 6  # characters of the beginning of a run id
_PAGE = 20
PLACES = ("tracking.uri=", "paths.")  # overrides that say where runs are tracked


class RunStore:
    """Finds runs where `config` says that they are tracked."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.client = connect(config)
        self.uri = tracking_uri(config)

    def find_run(self, name: str, key: str = "run") -> Any:
        """A run of any status; `last` is the newest FINISHED one that is no sweep.

        Args:
            key: of the option that names it, for errors.

        Raises:
            InputError: there is none, or there are several.
        """
        return self._find(name, key, "run", _is_single_run)

    def find_parent(self, name: str) -> Any:
        """The parent run of a sweep or a search; `last` is the newest that is FINISHED.

        Raises:
            InputError: there is none, or there are several.
        """
        return self._find(name, "parent", "sweep", lambda run: KIND in run.data.tags)

    def find_runs(self, names: Sequence[str]) -> list[Any]:
        """FINISHED runs, in the order they are named; one that is named twice is there once.

        Raises:
            InputError: there is no such run, there are several, or it is not FINISHED.
        """
        runs = {run.info.run_id: run for run in map(self.find_run, names)}
        for run_id, run in runs.items():
            if kind := run.data.tags.get(KIND):
                raise InputError(f"run {run_id}: it is a {kind}; its runs are compared by parent={run_id}")
            if run.info.status != "FINISHED":
                raise InputError(f"run {run_id}: it is {run.info.status}, only FINISHED runs can be compared")
        return list(runs.values())

    def find_children(self, parent: str) -> list[Any]:
        """The runs of a sweep, oldest first, without those that were superseded by a later attempt.

        Raises:
            InputError: there is no such parent.
        """
        runs = self._search(f"tags.`{PARENT}` = '{self.find_parent(parent).info.run_id}'")
        return [run for run in runs if SUPERSEDED not in run.data.tags]

    def search_runs(self, filter_string: str) -> list[Any]:
        """The runs that an MLflow filter finds, oldest first, without parents of sweeps.

        Raises:
            InputError: MLflow cannot read the filter.
        """
        return list(filter(_is_single_run, self._search(filter_string)))

    def find_sweep(self, name: str) -> Any:
        """The newest sweep of a name.

        Raises:
            InputError: there is none.
        """
        sweeps = self._search(f"tags.`{KIND}` = '{SWEEP}'")
        named = [run for run in sweeps if run.data.tags.get("sweep.name") == name]
        if not named:
            known = ", ".join(sorted({run.data.tags.get("sweep.name", "?") for run in sweeps})) or "none"
            raise InputError(f"experiment={name}: no sweep of that name in {self.uri} (there are: {known})")
        return named[-1]

    def _find(self, name: str, key: str, kind: str, is_meant: Callable[[Any], bool]) -> Any:
        """A run by name; of `last`, the newest FINISHED one of a kind, this prints which one it is."""
        if name != LAST:
            return self._find_named(name, key)
        experiments, token = self._experiments(), None
        while True:
            page = self.client.search_runs(
                experiments, "attributes.status = 'FINISHED'", max_results=_PAGE,
                order_by=["attributes.end_time DESC"], page_token=token,
            )  # fmt: skip
            for run in filter(is_meant, page):
                note(f"{key}={LAST}: {kind} {run.info.run_id} ({run.info.run_name})")
                return run
            token = page.token
            if not token:
                raise InputError(f"{key}={LAST}: no finished {kind} in {self.uri}")

    def _find_named(self, name: str, key: str) -> Any:
        runs, what = [], "begin so"
        if name.isalnum() and len(name) >= _FEWEST:
            runs = self._search(f"attributes.run_id LIKE '{name}%'")
        quote = '"' if "'" in name else "'"
        if not runs and quote not in name:
            runs, what = self._search(f"attributes.run_name = {quote}{name}{quote}"), "have this name"
        if not runs:
            raise InputError(
                f"{key}={name}: no such run in {self.uri}; a run is named by {LAST}, by its id, by the first "
                f"{_FEWEST} or more characters of it, or by its name"
            )
        if len(runs) > 1:
            ids = ", ".join(run.info.run_id for run in runs[-3:])
            raise InputError(f"{key}={name}: {len(runs)} runs {what}, the newest {ids}; give more of the id")
        return runs[0]

    def _search(self, filter_string: str) -> list[Any]:
        """All runs that match, oldest first."""
        import mlflow

        try:
            runs = list_runs(self.client, self._experiments(), filter_string)
        except mlflow.exceptions.MlflowException as error:
            raise InputError(f"filter={filter_string}: {' '.join(str(error).split())}") from None
        return sorted(runs, key=lambda run: run.info.start_time)

    def _experiments(self) -> list[str]:
        return [each.experiment_id for each in self.client.search_experiments()]


def _is_single_run(run: Any) -> bool:
    return not {KIND, SUPERSEDED} & run.data.tags.keys()


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
            override = f"{key}={run.info.run_id}"
        resolved.append(override)
    return resolved
