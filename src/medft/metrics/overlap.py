"""How a generated answer compares with the expected one.

All are of one answer; means over answers are made in `medft.evaluation.evaluate`. ROUGE and chrF come from their
libraries; token F1 and exact match follow the normalisation of SQuAD (Rajpurkar et al. 2016).
"""

import functools
import re
import string
from collections import Counter
from typing import Any

# each with the most it can be; the least is 0
OVERLAP = {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0, "chrf": 100.0, "token_f1": 1.0, "exact_match": 1.0,
           "repeat_share": 1.0}  # fmt: skip


def row_metrics(expected: str, generated: str) -> dict[str, float]:
    """The overlap metrics of one answer: 0 to 1, but chrF 0 to 100 as its authors have it."""
    rouge = _rouge().score(expected, generated)
    return {
        **{name: float(rouge[name].fmeasure) for name in ("rouge1", "rouge2", "rougeL")},
        "chrf": float(_chrf().sentence_score(generated, [expected]).score),
        "token_f1": token_f1(expected, generated),
        "exact_match": float(normalised(expected) == normalised(generated)),
        "repeat_share": repeat_share(generated),
    }


def token_f1(expected: str, generated: str) -> float:
    """F1 over the words both have, after normalisation; 1.0 when both have none."""
    want, have = Counter(normalised(expected)), Counter(normalised(generated))
    if not want or not have:
        return float(want == have)
    common = (want & have).total()
    if not common:
        return 0.0
    precision, recall = common / have.total(), common / want.total()
    return 2 * precision * recall / (precision + recall)


def normalised(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in bare.split() if word not in ("a", "an", "the")]


def repeat_share(text: str, length: int = 4) -> float:
    """The share of an answer's runs of four words that it has written before; 0.0 for shorter answers."""
    words = re.findall(r"\w+", text.lower())
    runs = [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


@functools.cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)


@functools.cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
