"""Token ids on disk are those in memory, and the same rows are tokenized once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medft.config.schema import Config
from medft.data.encode import encode_examples, tokenize
from medft.data.module import MedicalQA
from medft.data.readers.base import make_example
from medft.data.rows import store_rows
from medft.data.tokenizer import Gpt2Tokenizer
from medft.runs.splits import read_splits


class Counting(Gpt2Tokenizer):
    """Counts the texts of rows that it encodes."""

    def __init__(self) -> None:
        self.texts = 0

    def encode_batch(self, texts: list[str]) -> list[list[int]]:  # type: ignore[override]
        self.texts += sum("\n?\n" not in text for text in texts)  # not the two that tell what prompts look like
        return super().encode_batch(texts)

    def encode(self, text: str) -> list[int]:
        return Gpt2Tokenizer().encode(text)  # the mark of a continued answer is no text of a row


@pytest.mark.parametrize("count", [1, 1000, 1203])
def test_tokens_on_disk_are_those_in_memory(tmp_path: Path, count: int) -> None:
    rows = store_rows([make_example(f"q{n}", f"answer {n} " * (n % 5 + 1)) for n in range(count)], tmp_path)
    tokens = tokenize(rows, Gpt2Tokenizer(), "alpaca", tmp_path)
    expected = encode_examples(list(rows), Gpt2Tokenizer(), "alpaca")
    assert [tokens[number] for number in range(count)] == expected
    assert list(tokens.iterate_answers()) == [row.answer for row in expected]
    assert tokens.prompt_lengths.tolist() == [len(row.prompt) for row in expected]
    assert tokens.answer_lengths.tolist() == [len(row.answer) for row in expected]


def test_a_sweep_tokenizes_once(compose: Callable[..., Config]) -> None:
    tokenizer = Counting()
    seen = []
    for change in ("dataset.max_length=64", "dataset.max_length=512", "dataset.long_answers=split", "seed=3"):
        config = compose(change)
        MedicalQA(config, read_splits(config), tokenizer)
        seen.append(tokenizer.texts)
    assert seen == [2 * 210] * 4
    config = compose("dataset.size=100")  # other training rows, the same held-out ones
    MedicalQA(config, read_splits(config), tokenizer)
    assert tokenizer.texts == 2 * (210 + 65)


def test_other_texts_prompts_and_tokenizers_are_encoded_anew(tmp_path: Path) -> None:
    class Other(Counting):
        fingerprint = "other"

    rows = store_rows([make_example("q", "a")], tmp_path)
    for tokenizer, style in ((Counting(), "alpaca"), (Other(), "alpaca")):
        assert tokenize(rows, tokenizer, style, tmp_path).prompt_lengths[0] > 0
        assert tokenizer.texts == 2
    changed = store_rows([make_example("q", "a!", id=rows[0].id)], tmp_path)
    tokenizer = Counting()
    tokenize(changed, tokenizer, "alpaca", tmp_path)
    assert tokenizer.texts == 2


def test_another_prompt_is_encoded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = store_rows([make_example("what is x?", "y")], tmp_path)
    before = tokenize(rows, Gpt2Tokenizer(), "alpaca", tmp_path)[0]
    monkeypatch.setattr("medft.data.encode._WITHOUT_INPUT", "{instruction}\nAnswer:\n")
    after = tokenize(rows, Gpt2Tokenizer(), "alpaca", tmp_path)[0]
    assert Gpt2Tokenizer().decode(after.prompt) == "what is x?\nAnswer:\n"
    assert after.prompt != before.prompt


def test_tokenizing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Failing(Gpt2Tokenizer):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:  # type: ignore[override]
            if "\n?\n" not in texts[0]:  # not the prompts that tell what they look like
                raise OSError("disk full")
            return super().encode_batch(texts)

    rows = store_rows([make_example("q", "a")], tmp_path / "rows")
    with pytest.raises(OSError, match="disk full"):
        tokenize(rows, Failing(), "alpaca", tmp_path)
    assert [path.suffix for path in (tmp_path / "data").iterdir()] == [".lock"]


def test_tokens_that_the_disk_has_changed_are_made_anew(tmp_path: Path) -> None:
    examples = [make_example(f"What is {n}?", f"It is {n}.") for n in range(20)]
    rows = store_rows(examples, tmp_path)
    first = tokenize(rows, Gpt2Tokenizer(), "alpaca", tmp_path)
    expected = list(first.iterate_answers())
    (file,) = (tmp_path / "data").glob("tokens-*.arrow")
    whole = file.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", whole[:-200] + bytes(200), bytes([whole[0] ^ 1]) + whole[1:]):
        file.unlink()  # who has it open reads on
        file.write_bytes(damage)
        assert list(tokenize(rows, Gpt2Tokenizer(), "alpaca", tmp_path).iterate_answers()) == expected
        assert file.read_bytes() == whole
