"""Examples to token ids: a few in memory for evaluation, whole splits on disk for training.

The Alpaca prompt is that of Taori et al., "Stanford Alpaca" (2023), in the form with an input and the form without.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medft.console import track
from medft.data.example import Example
from medft.data.rows import CHUNK_ROWS, Rows, iterate_column, open_mapped, store_on_disk, write_arrow
from medft.data.tokenizer import Tokenizer
from medft.files import exclusive_lock, is_as_written, remember_checksum

Lengths = NDArray[np.int32]

_SCHEMA = pa.schema([("prompt", pa.list_(pa.int32())), ("answer", pa.list_(pa.int32()))])
_VERSION = "1"  # increase when the same text would be encoded differently

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


_PROBES = [Example("?", "?", "?", given, "?") for given in ("", "?")]  # both forms of a prompt


def format_alpaca_prompt(example: Example) -> str:
    """Format the Alpaca prompt up to and including the response header."""
    template = _WITH_INPUT if example.input else _WITHOUT_INPUT
    return template.format(instruction=example.instruction, input=example.input)


def encode_prompts(examples: Sequence[Example], tokenizer: Tokenizer, style: str) -> list[list[int]]:
    """Encode everything before the answers, in style `alpaca` or `chat`."""
    if style == "chat":
        return tokenizer.encode_chats([format_turn(each) for each in examples])
    prompts = tokenizer.encode_batch([format_alpaca_prompt(example) for example in examples])
    return [[*tokenizer.beginning, *prompt] for prompt in prompts]


def format_turn(example: Example) -> str:
    """What the user says in a chat."""
    return f"{example.instruction}\n\n{example.input}" if example.input else example.instruction


def decode_answer(token_ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """Decode a generated answer up to the first end-of-text token, without surrounding white space."""
    ids = list(token_ids)
    if tokenizer.end_token_id in ids:
        ids = ids[: ids.index(tokenizer.end_token_id)]
    return tokenizer.decode(ids).strip()


@dataclass(frozen=True)
class Encoded:
    """A whole example in token ids; the answer ends with the end-of-text token."""

    prompt: list[int]
    answer: list[int]


def encode_examples(examples: Sequence[Example], tokenizer: Tokenizer, prompt_style: str) -> list[Encoded]:
    """Encode prompts and answers apart, so that the border between them never falls inside a token."""
    prompts = encode_prompts(examples, tokenizer, prompt_style)
    answers = tokenizer.encode_batch([example.output for example in examples])
    pairs = zip(prompts, answers, strict=True)
    return [Encoded(prompt, [*answer, tokenizer.end_token_id]) for prompt, answer in pairs]


class Tokens(Sequence[Encoded]):
    """The token ids of a split, in a memory-mapped file.

    Attributes:
        prompt_lengths, answer_lengths: tokens of each row; end-of-text counts to the answer.
        folder: where large arrays made of them may lie; None = where temporary files do.
    """

    def __init__(self, table: Any, folder: Path | None) -> None:
        self._table, self.folder = table, folder
        self.prompt_lengths, self.answer_lengths = (
            store_on_disk((pc.list_value_length(chunk).to_numpy() for chunk in column.chunks), np.int32, folder)
            for column in map(table.data.column, _SCHEMA.names)
        )

    @classmethod
    def from_encoded(cls, rows: Sequence[Encoded]) -> Self:
        """The same in memory, for a few rows."""
        from datasets import Dataset

        return cls(Dataset(pa.Table.from_pylist([vars(row) for row in rows], schema=_SCHEMA)), None)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, key: Any) -> Any:
        return Encoded(**self._table[int(key)])

    def iterate_answers(self) -> Iterator[list[int]]:
        """Yield the answers, with some rows in memory at a time."""
        return iterate_column(self._table, "answer")


def tokenize(rows: Rows, tokenizer: Tokenizer, prompt_style: str, cache: Path) -> Tokens:
    """Encode all rows in full, or take them from the cache if the same rows were encoded before.

    Args:
        cache: gets `data/tokens-<rows, tokenizer and prompt>.arrow`.
    """
    # the prompts themselves: their text may be another one tomorrow, as of a chat template that tells the date
    prompts = encode_prompts(_PROBES, tokenizer, prompt_style)
    parts = (rows.fingerprint, tokenizer.fingerprint, prompt_style, str(prompts), _VERSION)
    name = f"tokens-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:32]}.arrow"
    folder = cache / "data"
    with exclusive_lock(folder / f"{name}.lock"):
        if not is_as_written(folder / name):  # not there, or changed by the disk
            chunks = track(rows.iterate_chunks(), "Tokenizing", -(-len(rows) // CHUNK_ROWS))
            encoded = (vars(row) for chunk in chunks for row in encode_examples(chunk, tokenizer, prompt_style))
            file = write_arrow(folder, _SCHEMA, encoded, lambda: name)
            remember_checksum(file, file)
        table = open_mapped(folder / name)  # a cleaning of the cache waits for the lock; what is open stays readable
    return Tokens(table, folder)
