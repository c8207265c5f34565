"""The metrics of the model before fine-tuning, measured once and cached: the jobs of a sweep share them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from medft.config.paths import PACKAGE
from medft.config.schema import Config
from medft.console import say
from medft.data.encode import Encoded, encode_prompts
from medft.data.example import Example
from medft.data.tokenizer import Tokenizer
from medft.evaluation.evaluate import Measurement
from medft.evaluation.probes import load_probes
from medft.files import exclusive_lock, json_digest, write_atomically
from medft.metrics.registry import list_missing_metrics


def compute_baseline_key(
    config: Config, network: Any, tokenizer: Tokenizer, test: Sequence[Example], encoded: Sequence[Encoded], device: str
) -> str:
    """A hash of all that a baseline depends on: the model, the tokenized test rows, the settings of evaluation and
    generation, and the code and libraries.
    """
    probes = load_probes(config.evaluation.probes)
    shape = {key: value for key, value in network.config.to_dict().items() if "drop" not in key and key[0] != "_"}
    parts: list[Any] = [
        digest_weights(network),
        shape,
        [row.fingerprint() for row in (*test, *probes)],
        [(row.prompt, row.answer) for row in encoded],
        encode_prompts(probes, tokenizer, config.dataset.prompt),
        config.generation.model_dump(),
        config.seed if config.generation.do_sample else None,
        config.evaluation.max_length,
        config.evaluation.batch_size,
        device,
        {name: version(name) for name in ("torch", "transformers", "rouge-score", "sacrebleu")},
        [metric.name for metric in list_missing_metrics()],
        _digest_code(),
    ]
    return json_digest(parts, 32)


def _digest_code() -> str:
    """SHA-256 (hex) over the code that measures."""
    digest = hashlib.sha256()
    rooms = ("evaluation", "metrics", "data", "model")
    for file in sorted(file for room in rooms for file in (PACKAGE / room).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def digest_weights(network: torch.nn.Module) -> str:
    """SHA-256 (hex) over names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def load_or_compute(key: str, cache: Path, compute: Callable[[], Measurement]) -> Measurement:
    """The measurement of this key from the cache, computed first if it is not there."""
    file = cache / "baselines" / f"{key}.json"
    with exclusive_lock(file.with_suffix(".json.lock")):
        if file.exists():
            say(f"baseline: taken from {file}")
            return Measurement.from_dict(json.loads(file.read_text(encoding="utf-8")))
        measured = compute()
        with write_atomically(file) as partial:
            partial.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    return measured
