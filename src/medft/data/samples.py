"""Training samples: what happens to answers longer than `dataset.max_length`, and how many tokens are lost.

A training sample is a window: a row's prompt and a stretch of its answer. Short rows have one window; longer ones have
one (`truncate`), none (`drop`) or several (`split`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from typing_extensions import override

from medft.config.schema import DatasetConfig
from medft.data.encode import Lengths, Tokens
from medft.data.rows import store_on_disk
from medft.errors import InputError

# A window: of which row; answer tokens from start up to stop are learned, each in one window; tokens of the sample.
_WINDOW = np.dtype([("row", np.int32), ("start", np.int32), ("stop", np.int32), ("length", np.int32)])
_ROWS = 100_000  # rows whose windows are made at once


class Sample(NamedTuple):
    """A training sample: at most `max_length` token ids, of which those from `supervised_from` on are learned."""

    input_ids: list[int]
    supervised_from: int

    @property
    def supervised(self) -> int:
        """How many tokens are learned; the first token of all has nothing to be predicted from."""
        return len(self.input_ids) - max(self.supervised_from, 1)


@dataclass(frozen=True)
class TruncationStats:
    """What `dataset.max_length` and `dataset.long_answers` did to a split."""

    rows: int  # of the split
    samples: int  # windows made of them
    tokens: int  # of the samples
    supervised_tokens: int  # answer tokens learned, end-of-text included
    answers_cut: int  # rows whose answer was truncated; no end-of-text token is put at the cut
    answer_tokens: int  # of all rows, end-of-text included
    answer_tokens_lost: int  # in no sample
    unsupervised: int  # rows left out because the prompt alone fills `max_length`, so that nothing would be learned
    dropped: int  # rows left out by `dataset.long_answers=drop`


class Samples(Dataset[Sample]):
    """The samples of a split, each made on access.

    Attributes:
        windows: in a file; fields `row`, `start`, `stop`, `length`.
        lengths: tokens of each sample.
    """

    def __init__(self, tokens: Tokens, config: DatasetConfig, mark: list[int], policy: str) -> None:
        self._tokens, self._config, self._mark = tokens, config, mark
        starts = range(0, len(tokens), _ROWS)
        chunks = (_make_windows(tokens, start, config, len(mark), policy) for start in starts)
        self.windows = store_on_disk(chunks, _WINDOW, tokens.folder)
        self.lengths: Lengths = self.windows["length"]

    def get_row_samples(self, row: int) -> list[Sample]:
        """Select the samples made of one row."""
        return [self[int(number)] for number in np.flatnonzero(self.windows["row"] == row)]

    def count_learned(self) -> int:
        """Count the tokens that are learned, of all samples."""
        learned = self.windows["stop"] - self.windows["start"]
        if self._config.loss_on == "all":  # prompts, too, but not a second time
            learned = np.where(self.windows["start"] == 0, self.lengths - 1, learned)
        return int(learned.sum(dtype=np.int64))

    def __len__(self) -> int:
        return len(self.windows)

    @override
    def __getitem__(self, key: int) -> Sample:
        number, start, stop, _ = self.windows[key].tolist()
        row = self._tokens[number]
        if start == 0:
            first = len(row.prompt) if self._config.loss_on == "response" else 1
            return Sample(row.prompt + row.answer[:stop], first)
        prompt = np.array(len(row.prompt), np.int32)
        mark_room, overlap = compute_continuation_room(
            prompt, self._config.max_length, len(self._mark), self._config.continuation.overlap
        )
        before = row.prompt + self._mark[: int(mark_room)] + row.answer[start - int(overlap) : start]
        return Sample(before + row.answer[start:stop], len(before))


def make_samples(
    tokens: Tokens, config: DatasetConfig, mark: list[int], policy: str | None = None
) -> tuple[Samples, TruncationStats]:
    """Make the samples of a split under `dataset.long_answers` or another policy, and count what is truncated.

    Args:
        mark: token ids of `dataset.continuation.mark`.

    Raises:
        InputError: the policy is `error` and an answer is too long.
    """
    policy = policy or config.long_answers
    room = np.maximum(0, config.max_length - tokens.prompt_lengths)
    long = tokens.answer_lengths > room
    if policy == "error" and long.any():
        raise InputError(
            f"dataset.long_answers=error: {int(long.sum())} of {len(tokens)} training rows are longer than "
            f"dataset.max_length={config.max_length} (the longest has "
            f"{int((tokens.prompt_lengths + tokens.answer_lengths).max())} tokens); raise it, or choose truncate, "
            "drop or split"
        )
    samples = Samples(tokens, config, mark, policy)
    supervised = int((samples.windows["stop"] - samples.windows["start"]).sum(dtype=np.int64))
    total = int(tokens.answer_lengths.sum(dtype=np.int64))
    too_long, unsupervised = int(long.sum()), int((room == 0).sum())
    return samples, TruncationStats(
        rows=len(tokens),
        samples=len(samples),
        tokens=int(samples.lengths.sum(dtype=np.int64)),
        supervised_tokens=supervised,
        answers_cut=0 if policy in ("split", "drop") else too_long,
        answer_tokens=total,
        answer_tokens_lost=total - supervised,
        unsupervised=unsupervised,
        dropped=too_long - unsupervised if policy == "drop" else 0,
    )


def _make_windows(tokens: Tokens, begin: int, config: DatasetConfig, mark: int, policy: str) -> NDArray[np.void]:
    """Make the windows of up to `_ROWS` rows from row `begin` on."""
    prompts, answers = (each[begin : begin + _ROWS] for each in (tokens.prompt_lengths, tokens.answer_lengths))
    # The first window of a row holds its prompt and as much of the answer as fits. Each further one holds the prompt
    # again, the mark that says "continued" and the last tokens of the window before as context (`overlap`), none of
    # which are learned a second time, and then the next `step` answer tokens.
    room = np.maximum(0, config.max_length - prompts)
    first = np.minimum(answers, room)  # learned in a row's first window
    mark_room, overlap = compute_continuation_room(prompts, config.max_length, mark, config.continuation.overlap)
    step = np.maximum(1, room - mark_room - overlap)  # learned in each further window
    counts = (room > 0).astype(np.int32)
    if policy == "drop":
        counts[answers > room] = 0
    if policy == "split":
        counts += np.where(room > 0, -(-(answers - first) // step), 0)
    # without a loop over rows: for each window its row, and which of that row's windows it is
    row = np.repeat(np.arange(len(prompts), dtype=np.int32), counts)
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    windows = np.empty(len(row), _WINDOW)
    windows["row"] = row + begin
    windows["start"] = np.where(number == 0, 0, first[row] + (number - 1) * step[row])
    windows["stop"] = np.where(number == 0, first[row], np.minimum(windows["start"] + step[row], answers[row]))
    before = np.where(number == 0, 0, (mark_room + overlap)[row])
    windows["length"] = prompts[row] + before + windows["stop"] - windows["start"]
    return windows


def compute_continuation_room(prompts: Lengths, max_length: int, mark: int, overlap: int) -> tuple[Lengths, Lengths]:
    """Count the tokens of mark and of overlap in the continued windows of rows with such prompts.

    Together they take at most half of the room beside the prompt, so that even with a prompt that nearly fills
    `max_length` each window has something to learn.
    """
    half = np.maximum(0, max_length - prompts) // 2
    mark_room = np.where(half >= mark, mark, 0)
    return mark_room.astype(np.int32), np.minimum(overlap, half - mark_room).astype(np.int32)
