"""When checkpoints are written: by the clock, after validations, where a signal asks."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from medft.config.schema import Config
from medft.training import fit as fit_room
from medft.training import saving
from medft.training.callbacks import Costs
from medft.training.checkpoints import PREVIOUS
from tests.training.test_fit import assert_equal, train


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Both signals interrupt, as they do in a command; afterwards the handlers are those that there were."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    now = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert set(now.values()) == {signal.default_int_handler}


class Steps(Costs):
    """Does something at a step, and counts the checkpoints that there have been by then."""

    state_key = Costs.__qualname__
    act: Callable[[int], None]

    def on_train_batch_end(self, trainer: Any, *_: object) -> None:
        type(self).act(trainer.global_step)


def write_times(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which checkpoints are written from now on."""
    steps: list[int] = []
    save = saving.WholeCheckpoints.save_checkpoint

    def record(self: Any, checkpoint: dict[str, Any], *arguments: Any, **options: Any) -> None:
        steps.append(checkpoint["global_step"])
        save(self, checkpoint, *arguments, **options)

    monkeypatch.setattr(saving.WholeCheckpoints, "save_checkpoint", record)
    return steps


def test_after_each_validation_if_minutes_are_0(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = write_times(monkeypatch)
    train(tiny())  # an epoch has six steps; validations are after 2, 3, 5 and 6
    assert steps == [2, 3, 5, 6]


def test_a_short_training_writes_none(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = write_times(monkeypatch)
    config = tiny("trainer.checkpoint_minutes=5")
    train(config)
    assert steps == []
    assert not (config.paths.output / "checkpoints").exists()


@pytest.mark.slow
def test_when_so_many_minutes_have_passed(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = write_times(monkeypatch)
    clock = [0.0]
    monkeypatch.setattr("medft.training.saving.time.monotonic", lambda: clock[0])

    def pass_time(step: int) -> None:
        clock[0] += 60  # a minute a step

    monkeypatch.setattr(Steps, "act", pass_time, raising=False)
    monkeypatch.setattr(fit_room, "Costs", Steps)
    config = tiny("trainer.checkpoint_minutes=4", "trainer.max_epochs=2", "model.dropout=0.1")
    _, whole, expected = train(config)
    assert steps == [4, 8, 12]  # validations are after 2, 3, 5, 6, 8, 9, 11 and 12
    last = config.paths.output / "checkpoints" / PREVIOUS
    assert torch.load(last, weights_only=True)["global_step"] == 8
    monkeypatch.setattr(Steps, "act", lambda step: None)
    resumed = f"trainer.resume_from={last}"
    _, rest, weights = train(tiny("trainer.checkpoint_minutes=4", "trainer.max_epochs=2", "model.dropout=0.1", resumed))
    assert_equal(weights, expected)
    assert rest.points == whole.points[len(whole.points) - len(rest.points) :]


@pytest.mark.parametrize(
    ("number", "stop_at"),
    [
        (signal.SIGINT, 4),  # between validations
        pytest.param(signal.SIGTERM, 5, marks=pytest.mark.slow),  # before one
        pytest.param(signal.SIGINT, 6, marks=pytest.mark.slow),  # at the end of an epoch
    ],
)
def test_a_signal_has_a_checkpoint_written_that_goes_on_to_the_bit(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, stop_at: int
) -> None:
    settings = ("trainer.max_epochs=2", "model.dropout=0.1", "trainer.checkpoint_minutes=5")
    _, whole, expected = train(tiny(*settings, f"paths.output_dir={tmp_path / 'whole'}"))
    interrupted = tiny(*settings, f"paths.output_dir={tmp_path / 'interrupted'}")

    def ask(step: int) -> None:
        if step == stop_at:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Steps, "act", ask, raising=False)
        patch.setattr(fit_room, "Costs", Steps)
        train(interrupted)
    last = interrupted.paths.output / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == stop_at
    _, rest, weights = train(tiny(*settings, f"trainer.resume_from={last}"))
    assert_equal(weights, expected)
    assert rest.points == whole.points[len(whole.points) - len(rest.points) :]
    assert rest.points[0][0] == stop_at + 1


def test_a_long_validation_is_not_waited_for(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = write_times(monkeypatch)
    monkeypatch.setattr(saving, "_PATIENCE", -1.0)

    def ask(step: int) -> None:
        if step == 3:  # its validation comes next
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Steps, "act", ask, raising=False)
    monkeypatch.setattr(fit_room, "Costs", Steps)
    with pytest.raises(KeyboardInterrupt):
        train(tiny("trainer.checkpoint_minutes=0"))
    assert steps == [2]


def test_a_second_signal_stops_at_once(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = write_times(monkeypatch)

    def ask_twice(step: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # at the same moment: the same asking
        monkeypatch.setattr(saving, "_ONE_ASKING", -1.0)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("did not stop")

    monkeypatch.setattr(Steps, "act", ask_twice, raising=False)
    monkeypatch.setattr(fit_room, "Costs", Steps)
    with pytest.raises(KeyboardInterrupt):
        train(tiny("trainer.checkpoint_minutes=5"))
    assert steps == []
