"""Fuzz target: any bytes as an app's memory, a data_seq read at every address near the start."""

from __future__ import annotations

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.ioctl import read_data_seq


def fuzz_one(data: bytes) -> None:
    for address in range(-1, 24):
        try:
            frames = read_data_seq(data, address)
        except ProtocolError:
            continue
        assert all(frame.address + frame.size_bytes <= len(data) for frame in frames)
