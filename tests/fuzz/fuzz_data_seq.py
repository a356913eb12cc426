"""Fuzz target: any bytes as an app's memory, a data_seq read through every word near the start."""

from __future__ import annotations

from tests.virtual.nodes.byte_memory import ByteMemory

from microclaw.virtual.filesystem import PosixError
from microclaw.virtual.nodes.node import take_data_seq
from microclaw.virtual.runtime.memory import BoardCrash, OutOfBounds


def fuzz_one(data: bytes) -> None:
    for address in range(-1, 24):
        try:
            take_data_seq(ByteMemory(data), address)
        except (PosixError, OutOfBounds, BoardCrash):
            continue
