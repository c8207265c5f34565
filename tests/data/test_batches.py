"""What the two collates lay out."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from medft.data.batches import Batch, MicroBatches, flatten, pad
from medft.data.samples import Sample

SAMPLES = [Sample([11, 12, 13, 14], 2), Sample([21, 22, 23], 1)]


def test_pad_shifts_once_and_masks_padding_and_prompt() -> None:
    batch = pad(SAMPLES, pad_token_id=0)
    assert batch.inputs["input_ids"].tolist() == [[11, 12, 13], [21, 22, 0]]
    assert predictions(batch) == [(12, 13), (13, 14), (21, 22), (22, 23)]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_flatten_has_no_padding_and_no_target_across_the_seam() -> None:
    batch = flatten(SAMPLES)
    assert batch.inputs["input_ids"].tolist() == [[11, 12, 13, 21, 22]]
    assert predictions(batch) == [(12, 13), (13, 14), (21, 22), (22, 23)]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch.inputs["sequence_lengths"].tokens == [3, 2]
    assert batch.inputs["cu_seqlens"].tolist() == [0, 3, 5]
    assert batch.inputs["cu_seqlens"].dtype == torch.int32
    assert (batch.tokens, batch.learned) == (5, 4)


def predictions(batch: Batch) -> list[tuple[int, int]]:
    """Each token that something is learned at, with what has to follow it."""
    read = batch.inputs["input_ids"].flatten()[batch.places]
    return list(zip(read.tolist(), batch.targets.tolist(), strict=True))


def test_an_end_of_text_that_is_also_padding_is_still_learned() -> None:
    end = 50256
    [batch] = MicroBatches("pad", end)([Sample([1, 2, end], 1), Sample([1, 2, 3, end], 1)])
    assert predictions(batch) == [(1, 2), (2, end), (1, 2), (2, 3), (3, end)]


@given(
    st.lists(st.tuples(st.integers(2, 40), st.integers(0, 20)), min_size=1, max_size=12),
    st.one_of(st.none(), st.integers(1, 100)),
    st.sampled_from(["pad", "flatten"]),
)
def test_micro_batches_have_every_sample_once_and_keep_to_their_budget(
    shapes: list[tuple[int, int]], budget: int | None, kind: str
) -> None:
    samples = [Sample([100 * row + place for place in range(size)], min(first, size - 1))
               for row, (size, first) in enumerate(shapes)]  # fmt: skip
    batches = MicroBatches(kind, 0, budget)(samples)
    [whole] = MicroBatches(kind, 0)(samples)
    assert sorted(each for batch in batches for each in predictions(batch)) == sorted(predictions(whole))
    assert sum(batch.tokens for batch in batches) == whole.tokens
    assert sum(batch.learned for batch in batches) == whole.learned
    for batch in batches:
        rows = len(batch.inputs["sequence_lengths"].tokens if kind == "flatten" else batch.inputs["input_ids"])
        assert budget is None or batch.inputs["input_ids"].numel() <= budget or rows == 1


def test_a_step_within_its_budget_is_one_batch_in_its_own_order() -> None:
    [batch] = MicroBatches("flatten", 0, 5)(SAMPLES[::-1])
    assert batch.inputs["input_ids"].tolist() == [[21, 22, 11, 12, 13]]
    first, second = MicroBatches("flatten", 0, 4)(SAMPLES[::-1])
    assert first.inputs["input_ids"].tolist() == [[11, 12, 13]]
    assert second.inputs["input_ids"].tolist() == [[21, 22]]


def test_budgets_are_halved_down_to_a_floor() -> None:
    collate = MicroBatches("flatten", 0, 300)
    assert (collate.halve(), collate.tokens_per_forward) == (True, 150)
    assert (collate.halve(), collate.tokens_per_forward) == (True, 75)
    assert (collate.halve(), collate.tokens_per_forward) == (False, 75)
    assert not MicroBatches("flatten", 0).halve()
