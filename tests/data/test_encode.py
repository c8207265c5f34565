"""Cutting counts what it loses and invents nothing."""

from hypothesis import given
from hypothesis import strategies as st

from medft.data.encode import Encoded, cut

END = 99
rows = st.lists(
    st.builds(
        lambda prompt, answer: Encoded("x", prompt, [*answer, END]),
        st.lists(st.integers(0, 9), min_size=1, max_size=20),
        st.lists(st.integers(10, 20), max_size=20),
    ),
    min_size=1,
    max_size=6,
)


@given(rows, st.integers(8, 45), st.sampled_from(["response", "all"]))
def test_tokens_are_kept_or_counted_as_lost(encoded: list[Encoded], max_length: int, loss_on: str) -> None:
    samples, cuts = cut(encoded, max_length, loss_on)
    kept = [row for row in encoded if len(row.prompt) < max_length]
    for row, sample in zip(kept, samples, strict=True):
        whole = row.prompt + row.answer
        assert sample.input_ids == whole[:max_length]
        assert (END in sample.input_ids) == (len(whole) <= max_length)
        assert sample.supervised == len(sample.input_ids) - (len(row.prompt) if loss_on == "response" else 1)
        assert sample.supervised > 0
    answers_kept = sum(len(sample.input_ids) - len(row.prompt) for row, sample in zip(kept, samples, strict=True))
    assert answers_kept + cuts.answer_tokens_lost == cuts.answer_tokens == sum(len(row.answer) for row in encoded)
    assert cuts.unsupervised == len(encoded) - len(kept)
    assert cuts.answers_cut == sum(len(row.prompt + row.answer) > max_length for row in encoded)


def test_max_length_counts_prompt_answer_and_end_of_text() -> None:
    row = Encoded("x", [1, 2, 3], [4, 5, END])
    assert cut([row], 6, "response")[1].answers_cut == 0
    samples, cuts = cut([row], 5, "response")
    assert samples[0].input_ids == [1, 2, 3, 4, 5]
    assert (cuts.answers_cut, cuts.answer_tokens_lost) == (1, 1)
