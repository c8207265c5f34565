"""The use of processor, memory, disk, network and GPU while a run runs, as MLflow's monitors measure it."""

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from medft.runs.local_run import LocalRun

_PREFIX = "system/"


@contextmanager
def system_metrics(run: LocalRun) -> Iterator[None]:
    """Log them every ten seconds meanwhile."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(run, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _watch(run: LocalRun, ended: threading.Event) -> None:
    # MLflow takes seconds to import, which the training does not wait for
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with contextlib.suppress(ImportError, RuntimeError):  # no NVIDIA GPU
        monitors.append(GPUMonitor())
    curves = list(run.state.curves.items())  # others log meanwhile
    logged = [step for name, curve in curves if name.startswith(_PREFIX) for step in curve]
    interval = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "10"))  # seconds, as for MLflow
    for step in itertools.count(max(logged, default=-1) + 1):
        if ended.wait(interval):
            return
        values: dict[str, float] = {}
        for monitor in monitors:
            monitor.collect_metrics()
            values |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        with contextlib.suppress(OSError):  # a full disk ends the run where it matters
            run.log_metrics({f"{_PREFIX}{name}": value for name, value in values.items()}, step)
