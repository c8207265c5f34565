"""Which runs are meant: by id or the beginning of one, as the runs of a sweep, or by an MLflow filter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from medft.config.compose import compose_config
from medft.errors import InputError
from medft.runs.store import all_runs, connect, tracking_uri
from medft.runs.sweeps import KIND, PARENT, SUPERSEDED, SWEEP

_FEWEST = 6  # characters of the beginning of a run id


@dataclass(frozen=True)
class RunSelection:
    """Runs as MLflow has them.

    Attributes:
        runs: FINISHED ones, in the order they were named or else oldest first.
        left_out: by run id, why not.
    """

    runs: list[Any]
    left_out: dict[str, str] = field(default_factory=dict)


class Store:
    """The place where runs are tracked."""

    def __init__(self, overrides: Sequence[str]) -> None:
        """Connect to what `tracking.uri=` and `paths.*` in `overrides` say, else to the default."""
        self.config = compose_config(overrides)
        self.client = connect(self.config)
        self.uri = tracking_uri(self.config)

    def by_ids(self, names: Sequence[str]) -> RunSelection:
        """Runs by id or its unique beginning; one that is named twice is there once.

        Raises:
            InputError: there is no such run, there are several, or it is not FINISHED.
        """
        runs = {run.info.run_id: run for run in map(self.one, names)}
        for run_id, run in runs.items():
            if kind := run.data.tags.get(KIND):
                raise InputError(f"run {run_id}: it is a {kind}; its runs are compared by parent={run_id}")
            if run.info.status != "FINISHED":
                raise InputError(f"run {run_id}: it is {run.info.status}, only FINISHED runs can be compared")
        return RunSelection(list(runs.values()))

    def one(self, name: str) -> Any:
        """The run of an id or its unique beginning, whatever its status.

        Raises:
            InputError: there is none, or there are several.
        """
        if not name.isalnum() or len(name) < _FEWEST:
            raise InputError(f"run {name!r}: not a run id, nor the first {_FEWEST} or more characters of one")
        found = self._search(f"attributes.run_id LIKE '{name}%'")
        if not found:
            raise InputError(f"run {name}: no such run in {self.uri}")
        if len(found) > 1:
            ids = ", ".join(run.info.run_id for run in found[:3])
            raise InputError(f"run {name}: {len(found)} runs begin so ({ids}...); give more of the id")
        return found[0]

    def children(self, parent: str) -> RunSelection:
        """The runs of a sweep, without those that were superseded by a later attempt.

        Raises:
            InputError: there is no such parent.
        """
        run_id = self.one(parent).info.run_id
        runs = self._search(f"tags.`{PARENT}` = '{run_id}'")
        return _sorted_out([run for run in runs if SUPERSEDED not in run.data.tags])

    def matching(self, filter_string: str) -> RunSelection:
        """The runs that an MLflow filter finds; parents of sweeps are no runs to compare.

        Raises:
            InputError: MLflow cannot read the filter.
        """
        runs = [run for run in self._search(filter_string) if KIND not in run.data.tags]
        return _sorted_out([run for run in runs if SUPERSEDED not in run.data.tags])

    def sweep(self, name: str) -> Any:
        """The newest sweep of a name.

        Raises:
            InputError: there is none.
        """
        found = self._search(f"tags.`{KIND}` = '{SWEEP}'")
        named = [run for run in found if run.data.tags.get("sweep.name") == name]
        if not named:
            known = ", ".join(sorted({run.data.tags.get("sweep.name", "?") for run in found})) or "none"
            raise InputError(f"experiment={name}: no sweep of that name in {self.uri} (there are: {known})")
        return named[-1]

    def _search(self, filter_string: str) -> list[Any]:
        """All runs that match, oldest first."""
        import mlflow

        experiments = [each.experiment_id for each in self.client.search_experiments()]
        try:
            runs = all_runs(self.client, experiments, filter_string)
        except mlflow.exceptions.MlflowException as error:
            raise InputError(f"filter={filter_string}: {' '.join(str(error).split())}") from None
        return sorted(runs, key=lambda run: run.info.start_time)


def _sorted_out(runs: Sequence[Any]) -> RunSelection:
    """Only FINISHED runs can be compared."""
    left_out = {run.info.run_id: f"it is {run.info.status}" for run in runs if run.info.status != "FINISHED"}
    return RunSelection([run for run in runs if run.info.run_id not in left_out], left_out)
