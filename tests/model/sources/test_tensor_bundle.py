"""TensorFlow's checkpoints are read as they were written, or not at all."""

import random
from pathlib import Path

import numpy as np
import pytest

from medft.errors import ModelError
from medft.model.sources.tensor_bundle import TensorBundle, crc32c
from tests.model.sources import bundles
from tests.model.sources.bundles import entry, field, number, table, write_bundle

TENSORS = {
    f"model/h{layer}/{name}": np.random.default_rng(layer).normal(size=shape).astype("<f4")
    for layer in range(12)
    for name, shape in (("a", (3, 5)), ("attn/c_attn/w", (1, 4, 6)), ("b", (7,)))
}


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_of_rfc_3720(data: bytes, crc: int) -> None:
    assert crc32c(data) == bundles.crc32c(data) == crc


@pytest.mark.parametrize("size", [1, 4, 2047, 2052, 4 * 777 + 3, 4 * 131072, 4 * 131073, 4 * 131072 + 4 * 300 + 1])
def test_checksums_of_any_length(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert crc32c(data) == bundles.crc32c(data)


@pytest.mark.parametrize("rows_per_block", [1, 7, 100])
def test_all_tensors_come_back(tmp_path: Path, rows_per_block: int) -> None:
    write_bundle(tmp_path / "x", TENSORS, rows_per_block)
    bundle = TensorBundle(tmp_path / "x")
    assert bundle.names == sorted(TENSORS)
    for name, values in TENSORS.items():
        assert np.array_equal(bundle.read(name, values.shape), values)


def test_what_the_index_says_is_checked(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", {"a": np.zeros((2, 3), "f4"), "steps": np.array([4, 5])})
    bundle = TensorBundle(tmp_path / "x")
    with pytest.raises(ModelError, match="no tensor b"):
        bundle.read("b", (2, 3))
    with pytest.raises(ModelError, match=r"a has the shape \[2, 3\], expected \[3, 2\]"):
        bundle.read("a", (3, 2))
    with pytest.raises(ModelError, match="steps is not one tensor of 32-bit floats"):
        bundle.read("steps", (2,))


def rows(*entries: tuple[bytes, bytes], header: bytes = field(1, 1)) -> list[tuple[bytes, bytes]]:
    return [(b"", header), *entries]


A = (b"a", entry(1, [2], 0, bytes(8)))
HUGE = 1 << 62
WRONG = {
    "far": (table(rows((b"a", entry(1, [2], HUGE, bytes(8)))), 9), "ends before a does"),
    "size": (table(rows((b"a", entry(1, [2], 0, bytes(8)) + field(5, HUGE))), 9), "not one tensor"),
    "part": (table(rows((b"a", A[1] + field(7, b""))), 9), "not one tensor"),
    "shape": (table(rows((b"a", entry(1, [HUGE, HUGE], 0, bytes(8)))), 9), r"expected \[2\]"),
    "order": (table(rows((b"b", A[1]), A), 9), "keys are not in order"),
    "twice": (table(rows(A, A), 9), "keys are not in order"),
    "headless": (table([A], 9), "it has no header"),
    "shards": (table(rows(A, header=field(1, 2)), 9), "in several files"),
    "endian": (table(rows(A, header=field(1, 1) + field(2, 1)), 9), "big-endian"),
    "snappy": (table(rows(A), 9, compression=b"\1"), "compressed"),
    "field": (table(rows((b"a", number(2 << 3 | 2) + number(99))), 9), "longer than its message"),
    "type": (table(rows((b"a", number(2 << 3 | 3))), 9), "no known type"),
    "number": (table(rows((b"a", b"\xff" * 11)), 9), "a number has no end"),
    "short": (table(rows((b"a", b"\xff")), 9), "cannot be read"),
    "key": (table(rows((b"\xff", A[1])), 9), "cannot be read"),
    "empty": (b"", "cut short"),
    "other": (b"something else" * 99, "cut short"),
    "footer": (table(rows(A), 9)[:-48] + b"\0\0\xff\xff\1".ljust(40, b"\0") + table(rows(A), 9)[-8:], "outside"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_index_is_one_line(tmp_path: Path, what: str) -> None:
    index, message = WRONG[what]
    (tmp_path / "x.index").write_bytes(index)
    (tmp_path / "x.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(ModelError, match=message) as caught:
        TensorBundle(tmp_path / "x").read("a", (2,))
    assert "\n" not in str(caught.value) and str(tmp_path / "x.") in str(caught.value)


def test_missing_empty_and_endless_files(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", {"a": np.zeros(2, "f4")})
    (tmp_path / "x.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(ModelError, match="ends before a does, at 0 bytes"):
        TensorBundle(tmp_path / "x").read("a", (2,))
    (tmp_path / "x.data-00000-of-00001").unlink()
    with pytest.raises(ModelError, match="x.data-00000-of-00001: No such file"):
        TensorBundle(tmp_path / "x")
    with (tmp_path / "x.index").open("wb") as file:
        file.truncate(1 << 30)  # a hole, which takes no room on the disk
    with pytest.raises(ModelError, match="more than 16,777,216 bytes"):
        TensorBundle(tmp_path / "x")


def test_no_changed_byte_changes_what_is_read(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", TENSORS, rows_per_block=20)
    chance, refused = random.Random(3), 0
    for ending in (".index", ".data-00000-of-00001"):
        file = tmp_path / f"x{ending}"
        whole = file.read_bytes()
        damages = [whole[:end] for end in chance.sample(range(len(whole)), 50)]
        for at in chance.sample(range(len(whole)), 150):
            damages.append(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
        for damaged in damages:
            file.write_bytes(damaged)
            try:
                read_all(tmp_path / "x")
            except ModelError:
                refused += 1
        file.write_bytes(whole)
    read_all(tmp_path / "x")
    assert refused > 370  # of 400: some bytes of an index mean nothing


def read_all(prefix: Path) -> None:
    bundle = TensorBundle(prefix)
    for name, values in TENSORS.items():
        assert np.array_equal(bundle.read(name, values.shape), values)
