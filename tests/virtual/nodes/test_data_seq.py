from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.virtual.nodes.byte_memory import ByteMemory

from microclaw.virtual.filesystem import PosixError
from microclaw.virtual.nodes.node import take_data_seq
from microclaw.virtual.runtime.memory import BoardCrash, OutOfBounds
from microclaw.wire.wasmachine.ioctl import DATA_SEQ_FRAME, DATA_SEQ_HEADER

Frames = list[tuple[int, int, int]]


def memory_of(data_seq: bytes, behind: bytes = b"") -> ByteMemory:
    """The word at 0 holds the address of a data_seq, which lies right behind it."""
    return ByteMemory((4).to_bytes(4, "little") + data_seq + behind)


def data_seq(frames: Frames) -> bytes:
    head = DATA_SEQ_HEADER.pack(1, len(frames), len(frames))
    return head + b"".join(DATA_SEQ_FRAME.pack(*frame) for frame in frames)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(1, 8), st.integers(0, 100)), max_size=10))
@settings(max_examples=60, deadline=None)
def test_each_value_is_read_by_its_type_and_size(drawn: Frames) -> None:
    values_at = 16 + 8 * len(drawn)
    frames = [(kind, size, values_at + offset) for kind, size, offset in drawn]
    memory = memory_of(data_seq(frames), bytes(range(128)))
    values = take_data_seq(memory, 0)
    for kind, size, _ in frames:
        address = next(at for k, s, at in frames if (k, s) == (kind, size))
        assert values[kind, size] == int.from_bytes(memory.read(address, size), "little")
        with pytest.raises(PosixError):
            values[kind, size + 100]


def head(*words: int) -> ByteMemory:
    return memory_of(DATA_SEQ_HEADER.pack(*words), bytes(8))


@pytest.mark.parametrize(
    ("memory", "error"),
    [
        *((ByteMemory(address.to_bytes(4, "little") + bytes(8)), PosixError) for address in (1, 12, 2**32 - 1)),
        *((head(2, 1, 1), PosixError), (head(1, 1, 2), PosixError), (head(1, 2**32 - 1, 65), PosixError)),
        (memory_of(bytes.fromhex("88130000 01000000 00000000 00000000")), PosixError),  # a plain struct
        (head(1, 5, 5), OutOfBounds),
        (memory_of(data_seq([(1, 4, 22)])), BoardCrash),  # a frame that points outside
    ],
)
def test_what_is_no_data_seq_is_refused_traps_or_crashes_the_board(memory: ByteMemory, error: type[Exception]) -> None:
    with pytest.raises(error):
        take_data_seq(memory, 0)
