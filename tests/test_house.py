"""Imports go down only, and what draws or tracks is imported in one room: the contracts of pyproject.toml."""

import pytest
from importlinter import api as linter  # sets up what its functions need
from importlinter.application.use_cases import lint_imports

from medft.config.paths import conf_dir

PYPROJECT = str(conf_dir().parent / "pyproject.toml")


def test_imports_go_down_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert linter.read_configuration(PYPROJECT)["contracts_options"]
    passed = lint_imports(PYPROJECT, cache_dir=None, no_logo=True)
    assert passed, capsys.readouterr().out
