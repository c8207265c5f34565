"""How likely the model finds the expected answer: loss, perplexity, bits per byte."""

import math

from medft.metrics.metric import Metric

_POSITIVE = (0.0, math.inf)

LOSS = Metric(
    "loss", "nats per token of the expected answer", _POSITIVE, "lower",
    numerator=lambda row: row.nats, denominator=lambda row: row.tokens,
)  # fmt: skip
PERPLEXITY = Metric(
    "perplexity", "exp(loss)", _POSITIVE, "lower", function_of="loss",
    transform=lambda nats: math.exp(min(nats, 700.0)),  # beyond that a float overflows
)  # fmt: skip
BITS_PER_BYTE = Metric(
    "bits_per_byte", "loss per byte of text, comparable between tokenizers", _POSITIVE, "lower",
    numerator=lambda row: row.nats / math.log(2), denominator=lambda row: row.bytes, headline=True,
)  # fmt: skip
