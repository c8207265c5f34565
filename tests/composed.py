"""Configs for tests. Reading conf/ takes a tenth of a second, so that each set of overrides is composed once."""

import copy
import functools

from omegaconf import DictConfig, OmegaConf

from medft.config.compose import check, compose_raw
from medft.config.schema import Config

# A model of one layer: seconds for a whole run.
TINY = (
    "model.shape.n_layer=1",
    "model.shape.n_embd=16",
    "model.shape.n_head=2",
    "dataset.max_length=64",
    "evaluation.max_length=96",
    "generation.max_new_tokens=4",
    "dataset.size=60",
    "dataset.split.test=7",
    "dataset.split.validation=7",
    "trainer.max_epochs=1",
    "trainer=cpu",
    "trainer.precision=32-true",  # on any machine the same
    "trainer.checkpoint_minutes=0",
    "judge=none",
    "tracking.system_metrics=false",
)
_FOLDER = "paths.output_dir="


@functools.cache
def _raw(overrides: tuple[str, ...]) -> DictConfig:
    """Composed and not resolved, so that environment variables are read later."""
    return compose_raw(overrides)


def composed(*overrides: str) -> Config:
    """The checked config of overrides; `paths.output_dir` is each test's own and not composed."""
    raw = copy.deepcopy(_raw(tuple(each for each in overrides if not each.startswith(_FOLDER))))
    for each in overrides:
        if each.startswith(_FOLDER):
            OmegaConf.update(raw, "paths.output_dir", each.removeprefix(_FOLDER))
    return check(raw)
