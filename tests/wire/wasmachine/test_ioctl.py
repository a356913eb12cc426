from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.ioctl import (
    DATA_SEQ_HEADER,
    IOCTL_LAYOUTS,
    LEDC_CHANNEL_LAYOUT,
    IoctlCommand,
    IoctlLayout,
    OpenFlag,
    SeqFrame,
    read_data_seq,
    write_data_seq,
)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 8), st.integers(0, 100)), max_size=10))
@settings(max_examples=60, deadline=None)
def test_data_seq_survives_memory(values: list[tuple[int, int, int]]) -> None:
    frames = tuple(SeqFrame(*value) for value in values)
    memory = bytes(64) + write_data_seq(frames) + bytes(64)
    assert read_data_seq(memory, 64) == frames


def test_gpio_configuration_is_laid_out_as_the_device_reads_it() -> None:
    memory = bytes.fromhex("01000000 01000000 01000000 0100 0400 14000000 03000000")
    assert read_data_seq(memory, 0) == (SeqFrame(1, 4, 20),)


@pytest.mark.parametrize("address", [-1, 1, 12, 2**32 - 1])
def test_data_seq_outside_of_the_memory_is_refused(address: int) -> None:
    with pytest.raises(ProtocolError, match="outside of the memory"):
        read_data_seq(bytes(12), address)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ((2, 1, 1), "version 2"),
        ((1, 1, 2), "claims 2 of 1"),
        ((1, 2**32 - 1, 5), "at most"),
        ((1, 5, 5), "reaches past"),
    ],
)
def test_data_seq_that_claims_too_much_is_refused(head: tuple[int, int, int], reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        read_data_seq(DATA_SEQ_HEADER.pack(*head) + bytes(8), 0)


def test_plain_struct_taken_for_a_data_seq_is_refused() -> None:
    with pytest.raises(ProtocolError, match="version"):
        read_data_seq(bytes.fromhex("88130000 01000000 00000000 00000000"), 0)


def test_frame_that_points_outside_of_the_memory_is_refused() -> None:
    with pytest.raises(ProtocolError, match="points to"):
        read_data_seq(write_data_seq((SeqFrame(1, 4, 18),)), 0)


@pytest.mark.parametrize("layout", [*IOCTL_LAYOUTS.values(), LEDC_CHANNEL_LAYOUT])
def test_members_lie_inside_their_struct(layout: IoctlLayout) -> None:
    assert all(f.offset + f.size_bytes <= layout.size_bytes and f.offset % f.size_bytes == 0 for f in layout.frames)
    assert len({(f.type, f.condition) for f in layout.frames}) == len(layout.frames)


def test_every_command_has_a_layout() -> None:
    assert set(IOCTL_LAYOUTS) == set(IoctlCommand)


def test_open_flags_are_those_of_wasi() -> None:
    assert (OpenFlag.O_RDONLY, OpenFlag.O_WRONLY, OpenFlag.O_RDWR) == (0x04000000, 0x10000000, 0x14000000)
    assert OpenFlag.O_CREAT | OpenFlag.O_TRUNC | OpenFlag.O_APPEND == 0x9001
