"""What the two collates lay out."""

import torch

from medft.data.batches import IGNORE_INDEX, flatten, make_collate, pad
from medft.data.samples import Sample

SAMPLES = [Sample([11, 12, 13, 14], 2), Sample([21, 22, 23], 1)]


def test_pad_shifts_once_and_masks_padding_and_prompt() -> None:
    batch = pad(SAMPLES, pad_token_id=0)
    assert batch["input_ids"].tolist() == [[11, 12, 13], [21, 22, 0]]
    assert batch["labels"].tolist() == [[IGNORE_INDEX, 13, 14], [22, 23, IGNORE_INDEX]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_flatten_has_no_padding_and_no_target_across_the_seam() -> None:
    batch = flatten(SAMPLES)
    assert batch["input_ids"].tolist() == [[11, 12, 13, 21, 22]]
    assert batch["labels"].tolist() == [[IGNORE_INDEX, 13, 14, 22, 23]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch["sequence_lengths"] == [3, 2]
    assert batch["cu_seqlens"].tolist() == [0, 3, 5]
    assert batch["cu_seqlens"].dtype == torch.int32


def test_an_end_of_text_that_is_also_padding_is_still_learned() -> None:
    end = 50256
    batch = make_collate("pad", end)([Sample([1, 2, end], 1), Sample([1, 2, 3, end], 1)])
    assert batch["labels"].tolist() == [[2, end, IGNORE_INDEX], [2, 3, end]]


def test_both_supervise_the_same_tokens() -> None:
    padded, flat = pad(SAMPLES, 0)["labels"], flatten(SAMPLES)["labels"]
    assert padded[padded != IGNORE_INDEX].tolist() == flat[flat != IGNORE_INDEX].tolist()
