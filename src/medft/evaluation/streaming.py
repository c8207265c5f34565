"""One answer while it is written, in whole characters: a token may end in the middle of one."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from medft.config.schema import GenerationConfig
from medft.data.encode import decode_answer
from medft.data.tokenizer import Tokenizer
from medft.evaluation.generation import iterate_tokens

_BROKEN = "\ufffd"  # what stands for bytes that are no character, or none yet


@dataclass(frozen=True)
class Written:
    """An answer as far as it is written.

    Attributes:
        text: begins with what was there before, white space at both ends left out.
        tokens: how many are written.
        has_ended: nothing follows.
        hit_limit: it has ended because there was no more room.
    """

    text: str
    tokens: int
    has_ended: bool
    hit_limit: bool


def stream_answer(
    network: Any, tokenizer: Tokenizer, prompt: Sequence[int], config: GenerationConfig, seed: int, number: int = 0
) -> Generator[Written, None, None]:
    """Yield an answer after each token, and then the whole: what `generate` and `decode_answer` give for the prompt.

    Whoever closes the iterator, or asks it for no more, stops the writing.

    Args:
        number: of the question among those that are asked with one seed: sampled answers differ by it.
    """
    ids: list[int] = []
    shown = ""
    for token in iterate_tokens(network, prompt, config, seed, number):
        ids.append(token)
        # decoded as a whole, which takes far less time than a token: the text of a token may depend on those around it
        text = decode_answer(ids, tokenizer).rstrip(_BROKEN).rstrip()
        shown = text if text.startswith(shown) else shown
        yield Written(shown, len(ids), False, False)
    is_over = bool(ids) and ids[-1] == network.generation_config.eos_token_id
    yield Written(decode_answer(ids, tokenizer), len(ids), True, not is_over)
