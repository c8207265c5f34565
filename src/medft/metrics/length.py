"""How long the generated answers are, and whether they were cut off."""

import math

from medft.metrics.metric import Metric

LENGTH_RATIO = Metric(
    "length_ratio", "words generated over words expected, both summed", (0.0, math.inf), None,
    numerator=lambda row: row.words, denominator=lambda row: row.expected_words, headline=True, of_answers=True,
)  # fmt: skip
LIMIT_SHARE = Metric(
    "limit_share", "share of answers that ran into generation.max_new_tokens", (0.0, 1.0), "lower",
    numerator=lambda row: row.hit_limit, headline=True, of_answers=True,
)  # fmt: skip
