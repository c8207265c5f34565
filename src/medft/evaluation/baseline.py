"""What the model could do before fine-tuning, measured once and cached: a sweep shares it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from filelock import FileLock

from medft import __version__
from medft.config.schema import Config
from medft.console import say
from medft.data.splits import Splits, fingerprint
from medft.evaluation.measure import Measurement
from medft.evaluation.probes import load_probes


def baseline_key(config: Config, splits: Splits, weights: str, device: str) -> str:
    """What a baseline depends on, hashed: the model, the test rows, how answers are measured and written.

    Args:
        weights: SHA-256 over the model's weights, see `weights_digest`.
    """
    generation = config.generation.model_dump()
    seed = config.seed if config.generation.do_sample else None
    parts: list[Any] = [
        weights, fingerprint(splits.test), config.dataset.prompt, generation, seed,
        config.evaluation.max_length, config.evaluation.batch_size,
        [(probe.id, probe.instruction, probe.input) for probe in load_probes(config.evaluation.probes)],
        config.model.end_token_id, config.model.tokenizer,
        device, __version__, torch.__version__, transformers.__version__,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def weights_digest(network: torch.nn.Module) -> str:
    """SHA-256 (hex) over names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def cached(key: str, cache: Path, compute: Callable[[], Measurement]) -> Measurement:
    """The measurement of this key from the cache, computed first if it is not there."""
    file = cache / "baselines" / f"{key}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        if file.exists():
            say(f"baseline: taken from {file}")
            return Measurement.from_dict(json.loads(file.read_text(encoding="utf-8")))
        measured = compute()
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(measured.to_dict()), encoding="utf-8")
        partial.replace(file)
    return measured
