"""Reads the tensors of a TensorFlow checkpoint (format V2, a "tensor bundle") without TensorFlow.

`PREFIX.index` is a table of LevelDB's format (its doc/table_format.md) that says of each name what
tensorflow/core/protobuf/tensor_bundle.proto says of a tensor: type, shape, place, checksum. The values lie one after
another in `PREFIX.data-00000-of-00001`. Nothing that a file says of itself is believed before it is checked.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medft.errors import ModelError

INDEX = ".index"
DATA = ".data-00000-of-00001"
_FLOAT32 = 1  # TensorFlow's DT_FLOAT

_LARGEST_INDEX = 1 << 24  # bytes; that of GPT-2 xl has some 30,000
_FOOTER = 48  # bytes, at the end of a table
_MAGIC = bytes.fromhex("57fb808b247547db")  # the last of them
_TRAILER = 5  # bytes after each block: how it is compressed, and a checksum

_POLYNOMIAL = 0x82F63B78  # of CRC-32C (RFC 3720), lowest bit first
_MASK = 0xA282EAD8  # added to a checksum that is stored among what it is of
_LANES = (1 << 16, 1 << 8)


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies in the data, in bytes, and its masked checksum."""

    kind: int
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int
    is_part: bool


class TensorBundle:
    """The float32 tensors of a checkpoint, by name.

    Args:
        prefix: the path of its files up to `.index`.

    Raises:
        ModelError: a file is missing or is not what it should be.
    """

    def __init__(self, prefix: Path) -> None:
        self.index, self.data = (prefix.with_name(f"{prefix.name}{ending}") for ending in (INDEX, DATA))
        try:
            if self.index.stat().st_size > _LARGEST_INDEX:
                raise ValueError(f"it has more than {_LARGEST_INDEX:,} bytes")
            self._entries = _read_entries(self.index.read_bytes())
            is_empty = self.data.stat().st_size == 0  # which cannot be mapped
            self._content = np.zeros(0, np.uint8) if is_empty else np.memmap(self.data, np.uint8, "r")
        except OSError as error:
            raise ModelError(f"{error.filename}: {error.strerror}") from None
        except (ValueError, IndexError) as error:  # IndexError: a number is cut short
            raise ModelError(f"{self.index}: cannot be read as a TensorFlow checkpoint ({error})") from None

    @property
    def names(self) -> list[str]:
        """The tensors that the index lists, of any type, in its order."""
        return list(self._entries)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Check what the index says of a tensor.

        Raises:
            ModelError: it is not there, has another shape or type, or the data end before it does.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise ModelError(f"{self.index}: no tensor {name}")
        if entry.shape != shape:
            raise ModelError(f"{self.index}: {name} has the shape {list(entry.shape)}, expected {list(shape)}")
        if entry.kind != _FLOAT32 or entry.is_part or entry.size != 4 * math.prod(shape):
            raise ModelError(f"{self.index}: {name} is not one tensor of 32-bit floats")
        if entry.offset + entry.size > self._content.size:
            raise ModelError(f"{self.data}: ends before {name} does, at {self._content.size:,} bytes")

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The values of a tensor, on the disk until they are used.

        Raises:
            ModelError: as `check`, or its checksum is another.
        """
        self.check(name, shape)
        entry = self._entries[name]
        content = np.asarray(self._content[entry.offset : entry.offset + entry.size])
        if _mask(crc32c(content)) != entry.checksum:
            raise ModelError(f"{self.data}: the checksum of {name} is not the one in the index: download it anew")
        return content.view("<f4").reshape(shape)


def crc32c(content: bytes | NDArray[np.uint8]) -> int:
    """The CRC-32C of bytes.

    A CRC is linear, and so is what a word becomes by the words after it: a row of words is carried over the next one as
    a whole, which numpy does many times as fast as Python reads bytes.
    """
    octets = np.frombuffer(content, np.uint8)
    even = octets.size // 4 * 4
    words, state = octets[:even].view("<u4"), np.uint32(0xFFFFFFFF)
    for lanes in _LANES:
        if words.size > 2 * lanes:
            words, state = _fold(words, lanes, state), np.uint32(0)
    crc, table = int(state), _byte_table()
    for octet in words.tobytes() + octets[even:].tobytes():
        crc = table[(crc ^ octet) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _fold(words: NDArray[np.uint32], lanes: int, state: np.uint32) -> NDArray[np.uint32]:
    """As many words as there are lanes, with the CRC (from state 0) that `words` have from `state`."""
    low, high = _skip_tables(lanes)
    first = words.size % lanes or lanes
    folded = np.zeros(lanes, np.uint32)  # zeros before the first word do not change a state of 0
    folded[lanes - first :] = words[:first]
    folded[lanes - first] ^= state
    for row in words[first:].reshape(-1, lanes):
        folded = low[folded & 0xFFFF] ^ high[folded >> 16] ^ row
    return folded


@functools.cache
def _byte_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


@functools.cache
def _skip_tables(words: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What the lower and the upper half of a state become by so many words of zeros; `words` is a power of two."""
    table, columns = _byte_table(), []
    for bit in range(32):  # one word
        state = 1 << bit
        for _ in range(4):
            state = table[state & 0xFF] ^ (state >> 8)
        columns.append(state)
    for _ in range(words.bit_length() - 1):  # twice as many
        columns = [_apply(columns, column) for column in columns]
    halves = []
    for half in (columns[:16], columns[16:]):
        values = np.zeros(1, np.uint32)
        for column in half:
            values = np.concatenate((values, values ^ np.uint32(column)))
        halves.append(values)
    return halves[0], halves[1]


def _apply(columns: list[int], state: int) -> int:
    """A matrix of bits, times a state."""
    return functools.reduce(int.__xor__, (column for bit, column in enumerate(columns) if state >> bit & 1), 0)


def _mask(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _read_entries(index: bytes) -> dict[str, _Entry]:
    """The tensors of an index by name.

    Raises:
        ValueError, IndexError: it is not one that can be read.
    """
    rows = list(_read_table(index))
    if not rows or rows[0][0]:
        raise ValueError("it has no header")
    numbers, _ = _read_fields(rows[0][1])
    if numbers.get(1) != 1 or numbers.get(2, 0) != 0:
        raise ValueError("its data are in several files, or big-endian")
    return {key.decode(): _read_entry(value) for key, value in rows[1:]}


def _read_entry(message: bytes) -> _Entry:
    numbers, texts = _read_fields(message)
    shape = []
    for each in texts[2]:
        for dimension in _read_fields(each)[1][2]:
            shape.append(_read_fields(dimension)[0].get(1, 0))
    kind, shard, offset, size, checksum = (numbers.get(number, 0) for number in (1, 3, 4, 5, 6))
    return _Entry(kind, tuple(shape), offset, size, checksum, bool(texts[7]) or shard != 0)


def _read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys of a table, each greater than the one before, with their values."""
    if len(table) < _FOOTER or not table.endswith(_MAGIC):
        raise ValueError("its end is not that of a table: cut short?")
    footer, last = table[-_FOOTER:], None
    _, _, at = _read_place(footer, 0)
    for _, block in _read_block(table, *_read_place(footer, at)[:2]):
        for key, value in _read_block(table, *_read_place(block, 0)[:2]):
            if last is not None and key <= last:
                raise ValueError("its keys are not in order")
            last = key
            yield key, value


def _read_block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of one block."""
    end = offset + size
    if size < 4 or end + _TRAILER > len(table) - _FOOTER:
        raise ValueError("a block lies outside of it")
    if _mask(crc32c(table[offset : end + 1])) != int.from_bytes(table[end + 1 : end + _TRAILER], "little"):
        raise ValueError("a checksum differs: download it anew")
    if table[end]:
        raise ValueError("it is compressed, which TensorFlow does not do")
    restarts = int.from_bytes(table[end - 4 : end], "little")
    block, at, key = table[offset : max(offset, end - 4 * (restarts + 1))], 0, b""
    while at < len(block):
        shared, at = _read_number(block, at)
        own, at = _read_number(block, at)
        length, at = _read_number(block, at)
        if shared > len(key) or at + own + length > len(block):
            raise ValueError("an entry is longer than its block")
        key = key[:shared] + block[at : at + own]
        at += own + length
        yield key, block[at - length : at]


def _read_place(content: bytes, at: int) -> tuple[int, int, int]:
    """Offset and size of a block, and where what follows them begins."""
    offset, at = _read_number(content, at)
    size, at = _read_number(content, at)
    return offset, size, at


def _read_number(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where what follows it begins."""
    number = 0
    for shift in range(0, 70, 7):
        octet = content[at]
        at += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
    raise ValueError("a number has no end")


def _read_fields(message: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """The fields of a protocol buffer by their number: numbers, and texts or messages."""
    numbers: dict[int, int] = {}
    texts: dict[int, list[bytes]] = defaultdict(list)
    at = 0
    while at < len(message):
        tag, at = _read_number(message, at)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            numbers[field], at = _read_number(message, at)
            continue
        if wire not in (1, 2, 5):
            raise ValueError("a field is of no known type")
        size, at = _read_number(message, at) if wire == 2 else (8 if wire == 1 else 4, at)
        if at + size > len(message):
            raise ValueError("a field is longer than its message")
        content, at = message[at : at + size], at + size
        if wire == 2:
            texts[field].append(content)
        else:
            numbers[field] = int.from_bytes(content, "little")
    return numbers, texts
