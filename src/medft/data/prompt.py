"""The text around a question.

The Alpaca prompt is that of Taori et al., "Stanford Alpaca" (2023), in the form with an input and the form without.
"""

from collections.abc import Sequence

from medft.data.example import Example
from medft.data.tokenizer import Tokenizer

_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)


def format_alpaca_prompt(example: Example) -> str:
    """Format the Alpaca prompt up to and including the response header."""
    template = _WITH_INPUT if example.input else _WITHOUT_INPUT
    return template.format(instruction=example.instruction, input=example.input)


def encode_prompts(examples: Sequence[Example], tokenizer: Tokenizer, style: str) -> list[list[int]]:
    """Encode everything before the answers, in style `alpaca` or `chat`."""
    if style == "chat":
        turns = [f"{each.instruction}\n\n{each.input}" if each.input else each.instruction for each in examples]
        return tokenizer.encode_chats(turns)
    return tokenizer.encode_batch([format_alpaca_prompt(example) for example in examples])


def decode_answer(token_ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """Decode a generated answer up to the first end-of-text token, without surrounding white space."""
    ids = list(token_ids)
    if tokenizer.end_token_id in ids:
        ids = ids[: ids.index(tokenizer.end_token_id)]
    return tokenizer.decode(ids).strip()
