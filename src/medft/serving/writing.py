"""Answers for the web page: several models at once, a token of each in turn, and clients one after the other."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from medft.config.schema import GenerationConfig
from medft.evaluation.streaming import Written
from medft.runs.trained_model import TrainedModel

_MOST_WAITING = 20

Event = dict[str, Any]


def write_side_by_side(
    models: Mapping[str, TrainedModel], question: str, input: str, generation: GenerationConfig, number: int = 0
) -> Generator[Event, None, None]:
    """Yield what each model writes, a token of each in turn; to close the iterator stops the writing.

    Args:
        number: of the question, by which sampled answers to one question differ.

    Yields:
        `{kind: piece, side, text}`, what has come to an answer, and `{kind: end, side, text, remark}`, an answer as a
        whole and how it ended where it did not end by itself.
    """
    with contextlib.ExitStack() as stack:
        streams = {}
        for side, model in models.items():
            streams[side] = stack.enter_context(
                contextlib.closing(model.stream(question, input, generation, (), number))
            )
        shown = dict.fromkeys(streams, "")
        while streams:
            for side, stream in list(streams.items()):
                written = next(stream)
                if written.has_ended:
                    del streams[side]
                    remark = explain_limit(written, generation)
                    yield {"kind": "end", "side": side, "text": written.text, "remark": remark}
                elif written.text != shown[side]:
                    yield {"kind": "piece", "side": side, "text": written.text[len(shown[side]) :]}
                    shown[side] = written.text


def explain_limit(last: Written, generation: GenerationConfig) -> str:
    """Why an answer ended that did not end by itself; empty for one that did."""
    if not last.hit_limit:
        return ""
    if not last.tokens:
        return "the question fills the model's context, and leaves no room for an answer"
    if last.tokens < generation.max_new_tokens:
        return "the model's context is full"
    return f"the answer ran into max_new_tokens={generation.max_new_tokens}"


class Line:
    """Where clients stand in line: one at a time is served, in the order they came."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._moved = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether nobody more may join."""
        return len(self._waiting) >= _MOST_WAITING

    def join(self) -> object:
        """Stand at the end; returns the place, with which one must leave."""
        place = object()
        self._waiting.append(place)
        return place

    def leave(self, place: object) -> None:
        """Served, or gone away: the others move up."""
        self._waiting.remove(place)
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, place: object) -> AsyncGenerator[int, None]:
        """Yield how many are before this place, whenever that changes, and end when it is served."""
        told = 0
        while ahead := self._waiting.index(place):
            moved = self._moved
            if ahead != told:
                told = ahead
                yield ahead
            if moved is self._moved:  # nobody has left meanwhile
                await moved.wait()
