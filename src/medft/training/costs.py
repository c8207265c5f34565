"""What training has cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingCosts:
    """Costs of fitting; of a resumed run all parts together, without what an interruption lost.

    Attributes:
        train_seconds: wall time, validation included.
        train_tokens: tokens trained on, padding left out.
        tokens_per_second: the same over the time spent in training steps.
        peak_memory: MiB, of the GPU where that trains, else of the process.
    """

    train_seconds: float
    train_tokens: float
    tokens_per_second: float
    peak_memory: float
