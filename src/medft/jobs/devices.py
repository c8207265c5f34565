"""The share of the machine that each of several parallel jobs gets: a GPU of its own, and some of the cores."""

import os
import subprocess
from collections.abc import Mapping


def make_environments(n_jobs: int, environment: Mapping[str, str] = os.environ) -> list[dict[str, str]]:
    """The environment variables of each of `n_jobs` jobs that run at once."""
    devices = list_gpus(environment)
    shared: dict[str, str] = {**environment, "PYTHONUNBUFFERED": "1"}
    if n_jobs > 1 and "OMP_NUM_THREADS" not in environment:
        shared["OMP_NUM_THREADS"] = str(max(1, _cores() // n_jobs))
    if len(devices) < 2:
        return [shared] * n_jobs
    return [{**shared, "CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]} for slot in range(n_jobs)]


def list_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The NVIDIA GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [each.strip() for each in visible.split(",") if each.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True, env=dict(environment),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
