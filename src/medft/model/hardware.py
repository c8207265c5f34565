"""Which products the machine computes in 16 bits itself, and does not emulate."""

import functools

import torch


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU computes in bfloat16, and has the kernel for variable lengths: Ampere and younger.

    Older ones emulate it, slower than float32, and `torch.cuda.is_bf16_supported` says yes of them.
    """
    return torch.cuda.get_device_capability(device) >= (8, 0)


def has_float16(device: torch.device) -> bool:
    """Whether a GPU computes in float16: Volta and younger."""
    return torch.cuda.get_device_capability(device) >= (7, 0)


def processor_has_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 (AVX512_BF16 or AMX)."""
    ask = getattr(torch.cpu, "get_capabilities", dict)  # older than torch 2.11: not known
    has: dict[str, object] = ask()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
