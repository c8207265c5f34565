"""A tokenizer of 1,000 tokens: the head of a model with GPT-2's 50,257 is most of what a small one has to compute."""

from collections.abc import Sequence

from typing_extensions import override

from medft.data.tokenizer import Gpt2Tokenizer


class FewTokens(Gpt2Tokenizer):
    """GPT-2's ids, several of which are one here; the last ends a text."""

    end_token_id = pad_token_id = 999
    vocab_size = 1000
    fingerprint = "few"

    @override
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [[each % self.end_token_id for each in row] for row in super().encode_batch(texts)]
