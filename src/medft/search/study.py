"""The Optuna side of a search: a study in a database, which proposes trials and is told their results."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from medft.errors import InputError
from medft.search.config import SearchConfig
from medft.search.space import suggest

COMPLETE, PRUNED, FAIL, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING


def open_storage(url: str | None, folder: Path) -> Any:
    """The database of trials, made if it is not there.

    Args:
        url: None = sqlite in `folder`.

    Raises:
        InputError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "optuna.lock"):
            return optuna.storages.RDBStorage(url or f"sqlite:///{folder / 'optuna.db'}")
    except Exception as error:  # of any database driver, or that there is none
        raise InputError(f"search.storage: {' '.join(str(error).split())[:300]}") from None


class SearchStudy:
    """The trials of one search.

    Args:
        storage: of `open_storage`.
        name: of the study, which is made if it is not there.
        resource: validations of a whole trial.
    """

    def __init__(
        self, storage: Any, name: str, settings: SearchConfig, ranges: Mapping[str, BaseDistribution], resource: int
    ) -> None:
        self.storage, self.settings, self.ranges = storage, settings, ranges
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=settings.direction,
            pruner=_make_pruner(settings, resource),
            load_if_exists=True,
        )

    def list_trials(self, *states: Any) -> list[Any]:
        """Optuna's frozen trials by number, of all states unless some are named."""
        return list(self.study.get_trials(states=states or None))

    def count_missing(self) -> int:
        """The number of new trials that a launch makes; those that failed earlier do not count."""
        return max(0, self.settings.trials - len(self.list_trials(COMPLETE, PRUNED, RUNNING)))

    def ask(self) -> Any:
        """A new trial, with its values."""
        # a sampler of its own for each trial: a search that was interrupted proposes what it would have anyway
        self.study.sampler = _make_sampler(self.settings, len(self.list_trials()))
        trial = self.study.ask()
        return self._suggest_values(trial)

    def resume_trial(self, number: int) -> Any:
        """A trial that an earlier launch has left running."""
        self.study.sampler = _make_sampler(self.settings, number)
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        trial = optuna.Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(study_id, number))
        return self._suggest_values(trial)

    def tell(self, trial: Any, state: Any, value: float | None = None) -> None:
        """End a trial; one that has ended already stays as it is."""
        self.study.tell(trial, value if state == COMPLETE else None, state=state, skip_if_finished=True)

    def get_best_trial(self) -> Any | None:
        """The best of the completed trials."""
        return self.study.best_trial if self.list_trials(COMPLETE) else None

    def compute_importances(self) -> dict[str, float]:
        """The share of each key in what makes trials differ (PED-ANOVA, Watanabe et al. 2023); empty for few trials."""
        if len(self.list_trials(COMPLETE)) < 8:
            return {}
        try:
            return dict(optuna.importance.get_param_importances(self.study))
        except (ValueError, RuntimeError):  # all trials alike
            return {}

    def _suggest_values(self, trial: Any) -> Any:
        """Propose the values that a trial has not yet."""
        for key, space in self.ranges.items():
            suggest(trial, key, space)
        return trial


def _make_sampler(settings: SearchConfig, number: int) -> Any:
    facts = f"{settings.sampler.seed}-{number}".encode()
    seed = int(hashlib.sha256(facts).hexdigest()[:8], 16)
    if settings.sampler.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=settings.sampler.startup_trials)


def _make_pruner(settings: SearchConfig, resource: int) -> Any:
    pruner = settings.pruner
    if pruner.name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=pruner.startup_trials)
    if pruner.name == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=resource, reduction_factor=pruner.reduction_factor)
    return optuna.pruners.NopPruner()
