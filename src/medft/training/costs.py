"""The costs of training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingCosts:
    """The costs of fitting; of a resumed run those of all its parts, without what an interruption lost.

    Attributes:
        train_seconds: wall time, validation included.
        train_tokens: tokens trained on, without padding.
        tokens_per_second: these tokens over the time spent in training steps.
        peak_memory: in MiB, of the GPU if that trains, else of the process.
    """

    train_seconds: float
    train_tokens: float
    tokens_per_second: float
    peak_memory: float
