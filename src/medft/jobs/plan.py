"""What a command line stands for: its jobs, all checked before the first is run."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode

from medft.config.compose import compose_config, compose_raw, one_line
from medft.config.schema import Config
from medft.errors import InputError
from medft.jobs.config import LauncherConfig
from medft.jobs.launchers import OURS, check_store, launcher_name

# a sweep is one experiment in one place; its own settings hold for all its jobs
_NOT_SWEPT = ("hydra.", "hydra/", "tracking.", "paths.", "sweep.", "sweep/", "tracking/", "paths/")
_NOT_IDENTITY = ("hydra.", "hydra/", "sweep.fresh")


@dataclass(frozen=True)
class Plan:
    """The jobs of a command line.

    Attributes:
        is_sweep: whether there may be several (-m, or `hydra.mode: MULTIRUN` in an experiment).
        jobs: the overrides of each.
        keys: what is swept, in the order it was given.
        fixed: the overrides that all jobs share.
        config: of the first job.
        launcher: the choice of `hydra/launcher`.
    """

    is_sweep: bool
    jobs: list[list[str]]
    keys: list[str]
    fixed: list[str]
    config: Config
    launcher: str = OURS

    @property
    def identity(self) -> str:
        """SHA-256 (16 hex digits) of what the sweep holds fixed and which keys it varies, not of their values: a
        command line with more values goes on with the same sweep.
        """
        fixed = sorted(each for each in self.fixed if not each.lstrip("+~").startswith(_NOT_IDENTITY))
        facts = {"fixed": fixed, "keys": sorted(self.keys), "experiment": self.config.tracking.experiment_name}
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def plan(overrides: Sequence[str], multirun: bool) -> Plan:
    """Compose and check every job the command line stands for.

    Raises:
        InputError: the first job that is wrong, with its overrides when there are several.
    """
    parsed = _parse(overrides)
    fixed = [each for each in parsed if not each.is_sweep_override()]
    composed = compose_raw(_lines(fixed), with_hydra=True)
    if not multirun and composed.hydra.mode != RunMode.MULTIRUN:
        return Plan(False, [list(overrides)], [], list(overrides), compose_config(overrides))
    launcher = launcher_name(composed)
    if launcher == OURS:
        LauncherConfig.checked({key: value for key, value in composed.hydra.launcher.items() if key != "_target_"})
    committed = composed.hydra.sweeper.get("params") or {}
    choices: dict[str, list[str]] = {}
    swept: dict[str, Override] = {}
    for override in [*_parse([f"{key}={value}" for key, value in committed.items()]), *parsed]:
        key = override.get_key_element()
        choices[key] = _choices(override)
        swept.pop(key, None)
        if override.is_sweep_override():
            swept[key] = override
    keys = [override.key_or_group for override in swept.values()]
    for name in keys:
        if name.startswith(_NOT_SWEPT):
            raise InputError(f"{name}: cannot be swept; give it one value")
    jobs = [list(combination) for combination in itertools.product(*choices.values())]
    constant = [line for key, lines in choices.items() if key not in swept for line in lines]
    config = _check(jobs)[0]
    check_store(composed, config)
    return Plan(True, jobs, keys, constant, config, launcher)


def _check(jobs: Sequence[list[str]]) -> list[Config]:
    configs = []
    for number, job in enumerate(jobs):
        try:
            configs.append(compose_config(job))
        except InputError as error:
            raise InputError(str(error) if len(jobs) == 1 else f"job {number} ({' '.join(job)}): {error}") from None
        if configs[-1].trainer.strategy == "ddp":
            raise InputError("trainer=ddp cannot be swept with -m (its processes would start the sweep again)")
        if configs[-1].trainer.resume_from:
            raise InputError(
                "trainer.resume_from cannot be used in a sweep, which goes on with interrupted jobs itself"
            )
    return configs


def _choices(override: Override) -> list[str]:
    """The values of a key, each as an override, as Hydra's basic sweeper makes them."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if not override.is_discrete_sweep():
        raise InputError(
            f"{override.key_or_group}: intervals are for `medft search`; a sweep wants values, such as 1,2,3"
        )
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise InputError(one_line(error)) from None


def _lines(overrides: Sequence[Override]) -> list[str]:
    return [override.input_line or "" for override in overrides]
