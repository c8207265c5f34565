"""The work of training in floating-point operations, and how fast the machine can do such work: their ratio is MFU."""

import functools
import time
from typing import Any

import torch

from medft.data.samples import Samples

# Dense products in 16 bits, in operations per second, as NVIDIA's data sheets say; the first name that fits is taken.
_GPUS = {
    "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "A100": 312e12,
    "A10G": 70e12, "A10": 125e12, "L40S": 362e12, "L40": 181e12, "L4": 121e12, "V100": 125e12, "T4": 65e12,
    "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip
_SIZE = 1024  # rows and columns of the products that a processor is measured with
_SECONDS = 0.1


def count_training_flops(tuned: Any, samples: Samples) -> float:
    """Count the operations that learning a token takes, a mean over the samples.

    As Chowdhery et al. (2022, arXiv:2204.02311, appendix B) count: two for each weight that a token is multiplied with,
    and attention in full, although half of it is masked; once forward, and once backward for what comes in and once for
    the weights. Two things are not counted, since nothing is gained by doing them: the head where no token is learned,
    and the gradients of weights that are not trained.

    Args:
        tuned: the model as it is trained, with its adapters if it has any.
    """
    config, head = tuned.config, tuned.get_output_embeddings().weight
    # looked up, not multiplied
    tables = {each.weight for each in tuned.modules() if isinstance(each, torch.nn.Embedding)}
    body = [each for each in tuned.parameters() if each.dim() >= 2 and each is not head and each not in tables]
    size = sum(each.numel() for each in body)
    trained = sum(each.numel() for each in body if each.requires_grad)
    heads = int(config.num_attention_heads)
    width = heads * (getattr(config, "head_dim", None) or int(config.hidden_size) // heads)
    lengths = samples.lengths.astype(float)
    every_token = lengths.sum() * 2 * (2 * size + trained)
    learned = samples.count_learned() * 2 * head.numel() * (2 + head.requires_grad)
    attention = 12 * int(config.num_hidden_layers) * width * (lengths**2).sum()
    return float(every_token + learned + attention) / float(lengths.sum())


@functools.cache
def measure_peak_flops(device: str, precision: str) -> float | None:
    """Measure the operations per second of a processor's matrix products, or look those of an NVIDIA GPU up.

    Args:
        precision: as Lightning names it; of a GPU only 16 bits are known.

    Returns:
        None = not known.
    """
    is_short = precision.startswith(("16", "bf16"))
    if device == "cuda":
        name = torch.cuda.get_device_name()
        return next((peak for part, peak in _GPUS.items() if part in name), None) if is_short else None
    if device != "cpu":
        return None
    one = torch.ones((_SIZE, _SIZE), dtype=torch.bfloat16 if is_short else torch.float32)
    best, ends = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < ends:
        began = time.perf_counter()
        one @ one
        best = min(best, time.perf_counter() - began)
    return 2 * _SIZE**3 / best
