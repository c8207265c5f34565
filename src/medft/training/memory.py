"""The peak memory of a block of code."""

import threading

import psutil
import torch


class PeakMemory:
    """Measures memory inside its `with` block: the GPU's own peak, or the process's resident set 50 times a second."""

    def __init__(self, device: str) -> None:
        self._most = 0.0
        self._on_gpu, self._begun = device == "cuda", False
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def mib(self) -> float:
        """The peak so far."""
        return torch.cuda.max_memory_allocated() / 2**20 if self._on_gpu and self._begun else self._most

    def __enter__(self) -> None:
        self._begun = True
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            self._watcher.start()

    def __exit__(self, *_: object) -> None:
        if self._on_gpu:
            self._most, self._on_gpu = self.mib, False
        else:
            self._done.set()
            self._watcher.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self._most = max(self._most, process.memory_info().rss / 2**20)
            if self._done.wait(0.02):
                return
