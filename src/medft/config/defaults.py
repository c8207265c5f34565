"""What `auto` stands for in a config before anything is loaded: a model's name, and the learning rate.

The rate follows from what is trained: weights that were trained before take a lower one than random ones, whatever the
file of the model was made for, and adapters a higher one than the weights they adapt.
"""

from pathlib import Path
from typing import Any

from medft.config.schema import Config

AUTO = "auto"
_ADAMW = "adamw"
# Its peak rates. From scratch: GPT-2's shape at 10 M parameters; pretrained: as the notebook has it.
_FROM_SCRATCH, _PRETRAINED = 2e-3, 5e-5


def fill_in(resolved: dict[str, Any]) -> dict[str, Any]:
    """The same config with a value for each `auto` that needs nothing but the config. What is wrong in it stays."""
    sections = {key: resolved.get(key) for key in ("model", "optimizer", "finetune")}
    if not all(isinstance(section, dict) for section in sections.values()):
        return resolved
    model, optimizer, finetune = (dict(section) for section in sections.values() if section is not None)
    source = model.get("source")
    if model.get("name") == AUTO and isinstance(source, str):
        model["name"] = Path(source.partition("==")[0]).name.removesuffix(".gguf") or source
    if model.get("lr") == AUTO:
        model["lr"] = _FROM_SCRATCH if source is None else _PRETRAINED
    if optimizer.get("lr") == AUTO and optimizer.get("name") == _ADAMW:
        optimizer["lr"] = _multiply(model.get("lr"), finetune.get("lr_factor", 1))
    return {**resolved, "model": model, "optimizer": optimizer}


def describe_rate(config: Config) -> str:
    """Which learning rate a run has, and why, in a line."""
    model, factor, rate = config.model, getattr(config.finetune, "lr_factor", 1.0), config.optimizer.lr
    if config.optimizer.name != _ADAMW:
        return f"learning rate: {rate:g}, as optimizer.lr says"
    usual = _multiply(model.lr, factor)
    kind = "a model from scratch" if model.source is None else "pretrained weights"
    why = f"that of {kind}" if factor == 1 else f"{factor:g} times the {model.lr:g} of {kind}, as for adapters"
    said = "" if rate == usual else f"as optimizer.lr says; the default is {usual:g}, "
    return f"learning rate: {rate:g}, {said}{why}"


def _multiply(rate: Any, factor: Any) -> Any:
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (rate, factor)):
        return rate
    return float(f"{rate * factor:.6g}")  # 3e-4, not 3.0000000000000003e-4
