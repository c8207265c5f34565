"""Training: it learns, it repeats itself to the bit, and it goes on where it was interrupted."""

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from medft.config.schema import Config
from medft.data.batches import pad
from medft.data.module import MedicalQA
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import InputError
from medft.model.build import build_model, get_context_length
from medft.model.loss import supervised_loss
from medft.model.module import CausalLM
from medft.runs.splits import read_splits
from medft.training import fit as fit_room
from medft.training.callbacks import Costs, PeakMemory, Progress
from medft.training.checkpoints import remove_checkpoints
from medft.training.fit import FitResult, fit
from tests.few_tokens import FewTokens


class Record(Logger):
    """Keeps what is logged."""

    name, version = "record", "0"

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if any("/" in key for key in metrics):
            self.points.append((step or 0, dict(metrics)))

    def log_hyperparams(self, *_: object) -> None: ...

    def curve(self, name: str) -> list[float]:
        return [metrics[name] for _, metrics in self.points if name in metrics]


@pytest.fixture
def tiny(tiny: Callable[..., Config]) -> Callable[..., Config]:
    """With a vocabulary as large as the tokenizer's here."""
    return functools.partial(tiny, "model.shape.vocab_size=1000")


def train(config: Config) -> tuple[FitResult, Record, dict[str, torch.Tensor]]:
    tokenizer = FewTokens()
    network = build_model(config.model, None, tokenizer, config.seed)
    data = MedicalQA(config, read_splits(config), tokenizer, get_context_length(network))
    record = Record()
    result = fit(config, network, data, record)
    return result, record, {name: p.clone() for name, p in result.network.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_validation_loss_falls_and_costs_are_told(tiny: Callable[..., Config]) -> None:
    result, record, _ = train(tiny("trainer.max_epochs=2", "dataset.size=120"))
    curve = record.curve("val/loss")
    assert len(curve) == 8
    assert curve[-1] < curve[0]
    assert set(record.points[0][1]) == {"train/loss", "train/lr", "train/grad_norm"}
    assert result.costs is not None
    assert all(value > 0 for value in vars(result.costs).values())


def test_nothing_is_left_of_a_finished_run(tiny: Callable[..., Config]) -> None:
    config = tiny()
    train(config)
    folder = config.paths.output / "checkpoints"
    assert {file.name for file in folder.iterdir() if file.suffix != ".sha256"} == {
        "last.ckpt", "previous.ckpt", "best.safetensors"
    }  # fmt: skip
    remove_checkpoints(config)
    assert list(folder.iterdir()) == []


def test_one_seed_gives_one_run_to_the_bit(tiny: Callable[..., Config]) -> None:
    _, first, weights = train(tiny("model.dropout=0.1"))
    _, second, same = train(tiny("model.dropout=0.1"))
    assert first.points == second.points
    assert_equal(weights, same)
    _, third, _ = train(tiny("model.dropout=0.1", "seed=43"))
    assert first.curve("train/loss") != third.curve("train/loss")


def test_both_collates_learn_the_same(tiny: Callable[..., Config]) -> None:
    _, flat, _ = train(tiny("dataset.collate=flatten"))
    _, padded, _ = train(tiny("dataset.collate=pad"))
    assert flat.curve("train/loss") == pytest.approx(padded.curve("train/loss"), rel=1e-4)
    assert flat.curve("val/loss") == pytest.approx(padded.curve("val/loss"), rel=1e-4)


def test_accumulation_learns_as_one_large_batch(tiny: Callable[..., Config]) -> None:
    common = ("trainer.precision=64-true", "trainer.gradient_clip_val=0.1", "trainer.val_checks_per_epoch=1")
    _, large, _ = train(tiny("dataset.batch_size=8", *common))
    _, small, _ = train(tiny("dataset.batch_size=2", "trainer.accumulate_grad_batches=4", *common))
    assert large.curve("train/loss") == pytest.approx(small.curve("train/loss"), rel=1e-6)
    assert large.curve("train/grad_norm") == pytest.approx(small.curve("train/grad_norm"), rel=1e-5)
    assert large.curve("val/loss") == pytest.approx(small.curve("val/loss"), rel=1e-6)


@pytest.mark.parametrize("collate", ["flatten", "pad"])
def test_micro_batches_learn_what_the_whole_batch_does(tiny: Callable[..., Config], collate: str) -> None:
    common = ("trainer.precision=64-true", "trainer.val_checks_per_epoch=1", f"dataset.collate={collate}")
    curves = []
    for budget in (100_000, 128, 1):
        result, record, _ = train(tiny(*common, "trainer.max_steps=3", f"trainer.tokens_per_forward={budget}"))
        assert result.plan.tokens_per_forward == budget
        curves.append(record)
    for name in ("train/loss", "train/grad_norm", "val/loss"):
        for other in curves[1:]:
            assert other.curve(name) == pytest.approx(curves[0].curve(name), rel=1e-9)


def test_a_resumed_run_takes_the_micro_batches_that_it_is_told_to(tiny: Callable[..., Config]) -> None:
    first = tiny("trainer.max_steps=2", "trainer.tokens_per_forward=200")
    train(first)
    last = first.paths.output / "checkpoints" / "last.ckpt"
    for asked, used in (("auto", 200), ("64", 64)):  # each writes the checkpoint anew
        config = tiny(f"trainer.resume_from={last}", f"trainer.tokens_per_forward={asked}")
        data = MedicalQA(config, read_splits(config), FewTokens())
        fit(config, build_model(config.model, None, FewTokens(), config.seed), data, None)
        assert data.collate.tokens_per_forward == used


def test_a_context_shorter_than_the_probe_is_no_obstacle(tiny: Callable[..., Config]) -> None:
    result, _, _ = train(tiny("model.shape.n_positions=64", "trainer.max_steps=1"))
    assert result.steps == 1


def test_computing_activations_again_learns_the_same(tiny: Callable[..., Config]) -> None:
    _, kept, _ = train(tiny("model.dropout=0.1", "trainer.gradient_checkpointing=false"))
    result, again, _ = train(tiny("model.dropout=0.1", "trainer.gradient_checkpointing=true"))
    assert result.plan.recompute_above == 0
    assert not any(getattr(module, "gradient_checkpointing", False) for module in result.network.modules())
    assert again.points == kept.points


def test_bfloat16_learns_nearly_the_same(tiny: Callable[..., Config]) -> None:
    _, single, _ = train(tiny())
    result, half, _ = train(tiny("trainer.precision=bf16-mixed"))
    assert half.curve("val/loss") != single.curve("val/loss")
    assert half.curve("val/loss") == pytest.approx(single.curve("val/loss"), abs=0.02)
    assert {each.dtype for each in result.network.parameters()} == {torch.float32}


class StopAt(Costs):
    """Interrupts training, as Ctrl-C does."""

    state_key = Costs.__qualname__  # under which a checkpoint has its state

    def __init__(self, memory: PeakMemory, step: int) -> None:
        super().__init__(memory)
        self.step = step

    def on_train_batch_end(self, trainer: object, *_: object) -> None:
        if trainer.global_step == self.step:  # type: ignore[attr-defined]
            raise KeyboardInterrupt


def stops(step: int, together: int, *marks: pytest.MarkDecorator) -> object:
    return pytest.param(step, together, marks=marks, id=f"step {step}, {together} batches each")


@pytest.mark.parametrize(
    ("stop_at", "together"),
    [stops(4, 1, pytest.mark.slow), stops(7, 1), stops(10, 1, pytest.mark.slow), stops(5, 4, pytest.mark.slow)],
)
def test_resumed_is_as_if_never_interrupted(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, together: int
) -> None:
    rows = 8 if together == 1 else 2
    settings = (
        "trainer.max_epochs=2",
        "model.dropout=0.1",
        "seed=5",
        f"dataset.batch_size={rows}",
        f"trainer.accumulate_grad_batches={together}",
    )
    through, whole, expected = train(tiny(*settings, f"paths.output_dir={tmp_path / 'whole'}"))
    interrupted = tiny(*settings, f"paths.output_dir={tmp_path / 'interrupted'}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit_room, "Costs", lambda memory: StopAt(memory, stop_at))
        train(interrupted)
    last = interrupted.paths.output / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] <= stop_at
    for remaining in (1, 0):  # the second time all steps have been made
        resumed = tiny(*settings, f"paths.output_dir={tmp_path / 'on'}", f"trainer.resume_from={last}")
        result, rest, weights = train(resumed)
        assert_equal(weights, expected)
        assert bool(rest.points) == bool(remaining)
        assert rest.points == whole.points[len(whole.points) - len(rest.points) :]
        assert result.costs is not None and through.costs is not None
        assert result.costs.train_tokens == through.costs.train_tokens
    remove_checkpoints(resumed)
    assert list(last.parent.iterdir()) == []


def test_a_missing_checkpoint_is_named(tiny: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match="trainer.resume_from=nowhere.ckpt: no such checkpoint"):
        train(tiny("trainer.resume_from=nowhere.ckpt"))


def test_best_weights_are_those_of_the_lowest_validation_loss(tiny: Callable[..., Config]) -> None:
    # a rate this high ruins the model after its best step
    result, record, _ = train(tiny("optimizer.lr=0.05", "scheduler=constant", "trainer.max_epochs=3"))
    steps = [(step, values["val/loss"]) for step, values in record.points if "val/loss" in values]
    best_step, best_loss = min(steps, key=lambda point: point[1])
    assert result.best_step == best_step < steps[-1][0]
    assert validation_loss(result, tiny()) == pytest.approx(best_loss, rel=1e-4)
    ruined = ("optimizer.lr=0.05", "scheduler=constant", "trainer.max_epochs=3")
    last, record, _ = train(tiny(*ruined, "evaluation.weights=last"))
    assert validation_loss(last, tiny()) == pytest.approx(record.curve("val/loss")[-1], rel=1e-4)


def validation_loss(result: FitResult, config: Config) -> float:
    data = MedicalQA(config, read_splits(config), FewTokens())
    with torch.no_grad():
        samples = list(data.samples["validation"])
        losses = [supervised_loss(result.network.eval(), pad([sample], 0)) for sample in samples]
    return float(sum(losses) / sum(sample.supervised for sample in samples))


@pytest.mark.parametrize("max_steps", [1, 4, 7])  # an epoch has six; validations are after 2, 3, 5 and 6
def test_a_limit_of_steps_ends_with_a_validation(tiny: Callable[..., Config], max_steps: int) -> None:
    result, record, _ = train(tiny(f"trainer.max_steps={max_steps}", "trainer.max_epochs=9"))
    assert result.steps == max_steps
    assert [step for step, values in record.points if "val/loss" in values][-1] == max_steps


def test_loaded_models_train_with_their_dropout(tiny: Callable[..., Config]) -> None:
    config = tiny("model.dropout=0.5")
    data = MedicalQA(config, read_splits(config), FewTokens())
    curves = []
    for mode in (True, False):  # as made from scratch, and as from_pretrained and evaluation leave a model
        record = Record()
        fit(config, build_model(config.model, None, FewTokens(), 0).train(mode), data, record)
        curves.append(record.curve("train/loss"))
    assert curves[0] == curves[1]
    _, without, _ = train(tiny("model.dropout=0.0"))
    assert curves[0] != without.curve("train/loss")


@pytest.mark.slow
def test_the_true_355m_shape_loads_and_trains_two_steps(compose: Callable[..., Config], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

    from medft.model.sources.resolve import resolve

    folder = tmp_path / "gpt2-medium"
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_layer=24, n_head=16, n_embd=1024)).save_pretrained(folder)
    config = compose("model=gpt2-medium", f"model.source={folder}", "dataset.size=52", "dataset.max_length=64",
                     "dataset.split.test=7", "dataset.split.validation=7", "trainer.max_steps=2", "trainer=cpu",
                     "dataset.batch_size=2", "trainer.val_checks_per_epoch=1")  # fmt: skip
    network = build_model(config.model, resolve(config.model, tmp_path), Gpt2Tokenizer(), 0).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 354_823_168
    ids = torch.tensor([Gpt2Tokenizer().encode("What is gout?")])
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(folder).eval()(ids).logits
        assert torch.equal(network(ids).logits, expected)
    data = MedicalQA(config, read_splits(config), Gpt2Tokenizer())
    record = Record()
    result = fit(config, network, data, record)
    assert result.steps == 2
    assert record.curve("train/loss")[1] < record.curve("train/loss")[0]


def test_a_log_file_has_a_line_every_half_minute_and_epochs_are_counted_from_1(
    tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(0, 40)  # each time it is asked
    monkeypatch.setattr("medft.console.monotonic", lambda: float(next(seconds)))
    config = tiny("trainer.max_epochs=2", "trainer.val_checks_per_epoch=1")
    data = MedicalQA(config, read_splits(config), FewTokens())
    network = build_model(config.model, None, FewTokens(), 1)
    module = CausalLM(network, config.optimizer, config.scheduler, data.collate)
    progress = Progress()
    capsys.readouterr()
    pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, callbacks=[progress], enable_checkpointing=False,
        num_sanity_val_steps=0, enable_model_summary=False, use_distributed_sampler=False,
    ).fit(module, datamodule=data)  # fmt: skip
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert re.fullmatch(r"step 1/12: loss \d+\.\d{3}, about \d+ min left", lines[0])
    assert "step 6/12: validating, 1 batches so far" in lines
    assert sum(": val/loss " in line for line in lines) == 2
    assert progress._get_train_description(0).rstrip() == "Epoch 1/2"
