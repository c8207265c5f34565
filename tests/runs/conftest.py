"""A config with a root of its own, and that root."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medft.config.schema import Config


@pytest.fixture
def config(compose: Callable[..., Config]) -> Config:
    return compose()


@pytest.fixture
def root(config: Config) -> Path:
    return Path(config.paths.root_dir)
