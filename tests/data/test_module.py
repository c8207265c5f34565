"""The order of rows depends on seed and epoch only."""

from collections.abc import Callable
from types import SimpleNamespace

import torch

from medft.config.schema import Config
from medft.data.module import EpochOrder, MedicalQA
from medft.data.tokenizer import Gpt2Tokenizer
from medft.model.module import CausalLM
from medft.runs.splits import read_splits


def order(epoch: int = 0, **options: int) -> list[int]:
    sampler = EpochOrder(10, seed=options.pop("seed", 1), **options)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_row_once_and_another_order_each_epoch() -> None:
    assert sorted(order()) == list(range(10))
    assert order() == order()
    assert order(epoch=1) != order()
    assert order(seed=2) != order()


def test_processes_share_the_rows() -> None:
    parts = [order(rank=rank, processes=3) for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4]
    assert set().union(*parts) == set(range(10))


def test_fewer_rows_than_processes_are_enough_for_all() -> None:
    for rank in range(7):
        sampler = EpochOrder(2, seed=1, rank=rank, processes=7)
        assert len(list(sampler)) == len(sampler) == 1


def test_a_process_without_validation_rows_adds_nothing(compose: Callable[..., Config]) -> None:
    config = compose("dataset.size=60", "dataset.split.validation=7", "dataset.split.test=7")
    data = MedicalQA(config, read_splits(config), Gpt2Tokenizer())
    rows = 0
    for rank in range(10):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=10)
        batches = list(data.val_dataloader())
        assert len(batches) == 1, "each takes part"
        rows += len(batches[0])
    assert rows == len(data.samples["validation"]) == 7
    module = CausalLM(torch.nn.Linear(1, 1), config.optimizer, config.scheduler, data.collate)
    module.validation_step([], 0)
    assert module._validation == []


def test_validation_is_measured_as_the_test_is_whatever_is_trained_on(compose: Callable[..., Config]) -> None:
    sizes = ("dataset.size=60", "dataset.split.validation=7", "dataset.split.test=7")
    usual, *others = (
        MedicalQA(config, read_splits(config), Gpt2Tokenizer())
        for config in (compose(*sizes, *more) for more in ((), ("dataset.loss_on=all",), ("dataset.max_length=64",)))
    )
    for other in others:
        assert list(other.samples["validation"]) == list(usual.samples["validation"])
        assert list(other.samples["train"]) != list(usual.samples["train"])
    assert all(sample.supervised_from > 1 for sample in usual.samples["validation"]), "answers only"


def test_rows_seen_before_an_interruption_are_skipped_once() -> None:
    sampler = EpochOrder(10, seed=1)
    sampler.skip = 4
    assert list(sampler) == order()[4:]
    assert list(sampler) == order()
