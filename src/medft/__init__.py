"""medft: config-driven, tracked, comparable fine-tuning of small language models on medical questions.

config = medft.compose("model=gpt2-nano", "dataset.size=100")
run = medft.run(config)
run.metrics["test/bits_per_byte"], run.load_model().answer("What is gout?")
medft.compare([run, "last", "0123ab"])
"""

import typing

__version__ = "0.1.0"
__all__ = ["Comparison", "Config", "MedftError", "Prediction", "Run", "TrainedModel", "__version__", "compare",
           "compose", "open_run", "run"]  # fmt: skip

if typing.TYPE_CHECKING:
    from medft.api import Run, compare, compose, open_run, run
    from medft.comparison.compare import Comparison
    from medft.config.schema import Config
    from medft.errors import MedftError
    from medft.evaluation.predictions import Prediction
    from medft.runs.trained_model import TrainedModel

# `import medft` imports none of it, so that commands and their help come at once
_MODULES = {
    "Comparison": "medft.comparison.compare",
    "Config": "medft.config.schema",
    "MedftError": "medft.errors",
    "Prediction": "medft.evaluation.predictions",
    "TrainedModel": "medft.runs.trained_model",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'medft' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES.get(name, "medft.api")), name)


def __dir__() -> list[str]:
    return __all__
