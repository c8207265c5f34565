"""The order of rows depends on seed and epoch only."""

from medft.data.module import EpochOrder


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


def test_rows_seen_before_an_interruption_are_skipped_once() -> None:
    sampler = EpochOrder(10, seed=1)
    sampler.skip = 4
    assert list(sampler) == order()[4:]
    assert list(sampler) == order()
