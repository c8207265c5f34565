"""How far a generated answer overlaps with the expected one.

ROUGE and chrF come from their libraries, ROUGE with words of all scripts, where its own knows a to z and digits; token
F1 and exact match follow the normalisation of SQuAD (Rajpurkar et al. 2016), characters being the words of Chinese and
the like, as in MLQA (Lewis et al. 2020).
"""

import functools
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from medft.data.words import lacks_spaces, split_words
from medft.metrics.metric import Better, Metric
from medft.metrics.statistics import Bounds

_SHARE = (0.0, 1.0)


def measure_rouge(expected: Sequence[str], generated: Sequence[str]) -> dict[str, list[float]]:
    """F-measures of ROUGE with stemming (Lin 2004), 0 to 1."""
    scores = [_make_rouge().score(want, have) for want, have in zip(expected, generated, strict=True)]
    return {name: [float(each[name].fmeasure) for each in scores] for name in ("rouge1", "rouge2", "rougeL")}


def compute_token_f1(expected: str, generated: str) -> float:
    """F1 over the words both have, after normalisation; 1.0 when both have none."""
    want, have = Counter(normalize(expected)), Counter(normalize(generated))
    if not want or not have:
        return float(want == have)
    common = (want & have).total()
    if not common:
        return 0.0
    precision, recall = common / have.total(), common / want.total()
    return 2 * precision * recall / (precision + recall)


def compute_repeat_share(text: str, length: int = 4) -> float:
    """The share of an answer's runs of four words that it has written before; 0.0 for shorter answers."""
    words = split_words(text)
    runs = [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def normalize(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles."""
    if lacks_spaces(text):
        return split_words(text)
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in bare.split() if word not in ("a", "an", "the")]


# Each scorer takes a moment to make, so both are made once.
@functools.cache
def _make_rouge() -> Any:
    from nltk.stem.porter import PorterStemmer
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    stem = PorterStemmer().stem

    class Words(Tokenizer):  # type: ignore[misc]
        """Of English text those of rouge_score's own tokenizer: stemmed from four letters on."""

        def tokenize(self, text: str) -> list[str]:
            return [stem(word) if len(word) > 3 and word.isascii() else word for word in split_words(text)]

    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())


@functools.cache
def _make_chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _make_metric(
    name: str, meaning: str, compute: Callable[[str, str], float], bounds: Bounds = _SHARE, better: Better = "higher"
) -> Metric:
    """A metric that is computed one answer at a time, from the expected and the generated one."""

    def measure(expected: Sequence[str], generated: Sequence[str]) -> dict[str, list[float]]:
        return {name: [compute(want, have) for want, have in zip(expected, generated, strict=True)]}

    return Metric(name, meaning, bounds, better, measure=measure)


ROUGE_L = Metric(
    "rougeL", "longest common word sequence, 0 to 1", _SHARE, "higher", measure=measure_rouge, headline=True
)
ROUGE_1 = Metric("rouge1", "words in common, 0 to 1", _SHARE, "higher", measure=measure_rouge)
ROUGE_2 = Metric("rouge2", "word pairs in common, 0 to 1", _SHARE, "higher", measure=measure_rouge)
CHRF = _make_metric(  # Popović 2015
    "chrf",
    "character sequences in common, 0 to 100",
    lambda expected, generated: float(_make_chrf().sentence_score(generated, [expected]).score),
    (0.0, 100.0),
)
TOKEN_F1 = _make_metric("token_f1", "words in common after normalisation, 0 to 1", compute_token_f1)
EXACT_MATCH = _make_metric(
    "exact_match",
    "share of answers equal to the expected one",
    lambda expected, generated: float(normalize(expected) == normalize(generated)),
)
REPEAT_SHARE = _make_metric(
    "repeat_share",
    "share of four-word runs that an answer has already written",
    lambda _, generated: compute_repeat_share(generated),
    better="lower",
)
