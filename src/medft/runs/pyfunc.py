"""The trained model as MLflow serves it: for `mlflow.pyfunc.load_model` and `mlflow models serve`.

What MLflow calls the python_function flavor is a file, MLmodel, beside the weights: it names this module, which loads
them, and says how the run's test was asked. Nothing is pickled, and the weights are there once.
"""

import json
import platform
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from medft import __version__
from medft.config.compose import compose_config
from medft.config.schema import Config, GenerationConfig, ModelConfig
from medft.console import quieten, quieten_loggers
from medft.errors import MedftError

_EXAMPLE = "input_example.json"
_COLUMNS = ("instruction", "input")
_REQUIREMENTS = """\
# What is served needs medft {medft}, too, from where you have installed it: no package index is asked for it.
# In an environment that has it: mlflow models serve -m MODEL --env-manager local
mlflow=={mlflow}
"""


def describe_model(folder: Path, config: Config) -> None:
    """Write beside the weights of a run what MLflow needs to serve them.

    The files are as https://mlflow.org/docs/latest/ml/model has them. MLflow is not asked to write them: it would copy
    the weights, and takes seconds to import what it serves models with.
    """
    length = config.generation.max_new_tokens
    described = {
        "flavors": {
            "python_function": {
                "loader_module": __name__,
                "python_version": platform.python_version(),
                "config": {
                    "model": config.logged["model"],
                    "prompt": config.dataset.prompt,
                    "generation": config.logged["generation"],
                    "seed": config.seed,
                },
            }
        },
        "mlflow_version": version("mlflow"),
        "saved_input_example_info": {"artifact_path": _EXAMPLE, "type": "dataframe", "pandas_orient": "split"},
        # a schema of what comes in would take columns or texts, not either: `_read_questions` checks it
        "signature": {
            "inputs": None,
            "outputs": json.dumps([{"type": "string", "required": True}]),
            "params": json.dumps([{"name": "max_new_tokens", "type": "long", "default": length, "shape": None}]),
        },
    }
    example = {"columns": _COLUMNS, "data": [["What are the symptoms of gout?", ""]]}
    needs = _REQUIREMENTS.format(medft=__version__, mlflow=version("mlflow"))
    (folder / _EXAMPLE).write_text(json.dumps(example), encoding="utf-8")
    (folder / "requirements.txt").write_text(needs, encoding="utf-8")
    (folder / "MLmodel").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


class ServedModel:
    """What MLflow asks.

    Args:
        folder: with the weights and the tokenizer.
        settings: of `describe_model`.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        from medft.data.tokenizer import load_tokenizer
        from medft.model.build import build_model
        from medft.runs.trained_model import AnswerSettings

        usual = compose_config([]).resolved  # has the keys that a later version of medft may have added
        model = ModelConfig.model_validate({**usual["model"], **settings["model"]})
        generation = GenerationConfig.model_validate({**usual["generation"], **settings["generation"]})
        self._settings = AnswerSettings(str(settings["prompt"]), generation, int(settings["seed"]))
        self._tokenizer = load_tokenizer(model, folder)
        self._network = build_model(model, folder, self._tokenizer, self._settings.seed)
        self._one_at_a_time = threading.Lock()  # a server asks from several threads, and each takes all processors

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> list[str]:
        """Answer each question as `medft ask` does.

        Args:
            data: a question, a sequence of them, or a table with the column `instruction` and perhaps `input`.
            params: `max_new_tokens`, instead of the run's.

        Raises:
            MlflowException: it is something else; a server answers with the message.
        """
        from mlflow.exceptions import MlflowException

        from medft.runs.trained_model import write_answer

        try:
            questions = _read_questions(data)
            length = int((params or {}).get("max_new_tokens", self._settings.generation.max_new_tokens))
            if length < 1:
                raise ValueError(f"max_new_tokens={length}: must be at least 1")
            with self._one_at_a_time:
                return [
                    write_answer(self._network, self._tokenizer, self._settings, *each, max_new_tokens=length)
                    for each in questions
                ]
        except (MedftError, ValueError) as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def _load_pyfunc(path: str, settings: dict[str, Any]) -> ServedModel:
    """What MLflow calls, by this name, with the folder of the model and what `describe_model` says of it."""
    quieten()
    model = ServedModel(Path(path), settings)
    quieten_loggers()
    return model


def _read_questions(data: Any) -> list[tuple[str, str]]:
    """Questions with what they are about, which may be empty.

    Raises:
        ValueError: they are something else.
    """
    import numpy as np
    import pandas as pd

    if isinstance(data, dict):
        data = pd.DataFrame({key: np.atleast_1d(value) for key, value in data.items()})
    if isinstance(data, pd.DataFrame):
        return _read_table(data)
    if isinstance(data, np.ndarray):
        data = np.atleast_1d(data).tolist()
    items = list(data) if isinstance(data, list | tuple | pd.Series) else [data]
    if items and all(isinstance(each, dict) for each in items):
        return _read_table(pd.DataFrame(items))
    return [(_check_text(each), "") for each in items]


def _read_table(table: Any) -> list[tuple[str, str]]:
    names = [str(name) for name in table.columns]
    if _COLUMNS[0] not in names or set(names) - set(_COLUMNS):
        raise ValueError(f"a table of questions has the columns {' and perhaps '.join(_COLUMNS)}; this has {names}")
    inputs: Sequence[Any] = table["input"].fillna("") if "input" in names else [""] * len(table)
    return [(_check_text(text), _check_text(given)) for text, given in zip(table["instruction"], inputs, strict=True)]


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a question is a text; {value!r} is none")
    return value
