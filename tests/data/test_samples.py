"""Every policy for long answers counts what it loses; `split` loses nothing."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medft.config.compose import compose_config
from medft.config.schema import DatasetConfig
from medft.data.encode import Encoded, Tokens, encode_examples
from medft.data.example import Example
from medft.data.samples import Sample, make_samples
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import InputError

END = 99_999
BASE = compose_config().dataset

# every answer token is a number of its own, so that a token learned twice or in the wrong place is seen
encoded = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 120)), min_size=1, max_size=5
).map(
    lambda sizes: [
        Encoded([7] * prompt, [*range(1000 * (row + 1), 1000 * (row + 1) + answer), END])
        for row, (prompt, answer) in enumerate(sizes)
    ]
)  # fmt: skip
lengths, overlaps, marks = st.integers(8, 60), st.integers(0, 40), st.lists(st.just(5), max_size=6)
losses = st.sampled_from(["response", "all"])


def config(max_length: int, policy: str, overlap: int = 8, loss_on: str = "response") -> DatasetConfig:
    changes = {"max_length": max_length, "long_answers": policy, "loss_on": loss_on}
    return BASE.model_copy(update=changes | {"continuation": BASE.continuation.model_copy(update={"overlap": overlap})})


def learned(sample: Sample) -> list[int]:
    return sample.input_ids[max(sample.supervised_from, 1) :]


@given(encoded, lengths, overlaps, marks, losses)
@settings(deadline=None, max_examples=300)
def test_split_learns_every_answer_token_once(
    rows: list[Encoded], max_length: int, overlap: int, mark: list[int], loss_on: str
) -> None:
    samples, cuts = make_samples(Tokens.from_encoded(rows), config(max_length, "split", overlap, loss_on), mark)
    kept = [row for row in rows if len(row.prompt) < max_length]
    tokens = [token for sample in samples for token in learned(sample) if token >= 1000]
    assert tokens == [token for row in kept for token in row.answer]
    assert all(len(sample.input_ids) <= max_length for sample in samples)
    assert [len(sample.input_ids) for sample in samples] == samples.lengths.tolist()
    assert cuts.unsupervised == len(rows) - len(kept)
    assert cuts.answers_cut == 0
    assert cuts.answer_tokens_lost == sum(len(row.answer) for row in rows if row not in kept)
    assert cuts.tokens == sum(len(sample.input_ids) for sample in samples)
    assert cuts.supervised_tokens == len(tokens)
    assert samples.count_learned() == sum(sample.supervised for sample in samples)
    prompt_tokens = Counter(token for sample in samples for token in learned(sample))[7]
    assert prompt_tokens == (sum(len(row.prompt) - 1 for row in kept) if loss_on == "all" else 0)


def test_windows_made_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Tokens.from_encoded([Encoded([7] * (row + 1), [*range(50), END]) for row in range(11)])
    whole = make_samples(rows, config(20, "split"), [5])[0].windows
    monkeypatch.setattr("medft.data.samples._ROWS", 3)
    assert make_samples(rows, config(20, "split"), [5])[0].windows.tolist() == whole.tolist()


@given(encoded, lengths, overlaps, marks)
@settings(deadline=None)
def test_each_continued_window_has_prompt_mark_and_what_came_before(
    rows: list[Encoded], max_length: int, overlap: int, mark: list[int]
) -> None:
    samples, _ = make_samples(Tokens.from_encoded(rows), config(max_length, "split", overlap), mark)
    for number, sample in enumerate(samples):
        row = rows[samples.windows["row"][number]]
        start = int(samples.windows["start"][number])
        before = sample.input_ids[: sample.supervised_from]
        assert before[: len(row.prompt)] == row.prompt
        if start == 0:
            assert before == row.prompt
            continue
        half = (max_length - len(row.prompt)) // 2
        marked = mark if len(mark) <= half else []
        kept = min(overlap, half - len(marked))
        assert before == row.prompt + marked + row.answer[start - kept : start]
        assert len(learned(sample)) >= min(half, len(row.answer) - start)
        assert (END in sample.input_ids) == (samples.windows["stop"][number] == len(row.answer))


@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=300)), min_size=1, max_size=4),
       st.integers(40, 90))  # fmt: skip
@settings(deadline=None, max_examples=50)
def test_what_split_learns_decodes_to_the_answers(texts: list[tuple[str, str]], max_length: int) -> None:
    tokenizer = Gpt2Tokenizer()
    examples = [Example("x", "g", question, "", answer) for question, answer in texts]
    rows = encode_examples(examples, tokenizer, "alpaca")
    samples, _ = make_samples(Tokens.from_encoded(rows), config(max_length, "split"), tokenizer.encode("[...]"))
    for number, (row, (_, answer)) in enumerate(zip(rows, texts, strict=True)):
        own = samples.get_row_samples(number)
        ids = [token for sample in own for token in learned(sample)]
        if len(row.prompt) < max_length:
            assert tokenizer.decode(ids) == answer.encode("utf-8", "replace").decode() + "<|endoftext|>"
        else:
            assert not own


@given(encoded, lengths, losses)
@settings(deadline=None)
def test_truncate_keeps_or_counts_as_lost(rows: list[Encoded], max_length: int, loss_on: str) -> None:
    samples, cuts = make_samples(Tokens.from_encoded(rows), config(max_length, "truncate", loss_on=loss_on), [])
    kept = [row for row in rows if len(row.prompt) < max_length]
    for row, sample in zip(kept, samples, strict=True):
        whole = row.prompt + row.answer
        assert sample.input_ids == whole[:max_length]
        assert (END in sample.input_ids) == (len(whole) <= max_length)
        assert sample.supervised == len(sample.input_ids) - (len(row.prompt) if loss_on == "response" else 1)
    answers_kept = sum(len(sample.input_ids) - len(row.prompt) for row, sample in zip(kept, samples, strict=True))
    assert answers_kept + cuts.answer_tokens_lost == cuts.answer_tokens == sum(len(row.answer) for row in rows)
    assert cuts.unsupervised == len(rows) - len(kept)
    assert cuts.answers_cut == sum(len(row.prompt + row.answer) > max_length for row in rows)


@given(encoded, lengths)
@settings(deadline=None)
def test_drop_keeps_whole_rows_only(rows: list[Encoded], max_length: int) -> None:
    samples, cuts = make_samples(Tokens.from_encoded(rows), config(max_length, "drop"), [])
    whole = [row.prompt + row.answer for row in rows if len(row.prompt + row.answer) <= max_length]
    assert [sample.input_ids for sample in samples] == whole
    assert cuts.samples + cuts.dropped + cuts.unsupervised == cuts.rows
    assert cuts.answers_cut == 0
    assert cuts.answer_tokens - cuts.answer_tokens_lost == cuts.supervised_tokens


def test_max_length_counts_prompt_answer_and_end_of_text() -> None:
    tokens = Tokens.from_encoded([Encoded([1, 2, 3], [4, 5, 6, 7, 8, END])])
    assert make_samples(tokens, config(9, "error"), [])[1].answers_cut == 0
    [sample], cuts = make_samples(tokens, config(8, "truncate"), [])
    assert sample.input_ids == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (cuts.answers_cut, cuts.answer_tokens_lost) == (1, 1)
    with pytest.raises(InputError, match=r"long_answers=error: 1 of 1 training rows .*max_length=8 .*has 9 tokens"):
        make_samples(tokens, config(8, "error"), [])
