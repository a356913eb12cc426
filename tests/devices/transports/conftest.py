"""Scripted peers on real sockets: each test says what the other end does with what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.peers import listening

from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.devices.transports.wasmachine_connection import Timeouts
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.wasm.pin_program import build_pin_program
from microclaw.wire.wasmachine.frame import MessageType, encode_frame
from microclaw.wire.wasmachine.request import Response

MODULE = bytes.fromhex("0061736d01000000010401600000")
PeerScript = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
StartPeer = Callable[[PeerScript], Awaitable[int]]
OpenTransport = Callable[..., WasmachineTransport]

PATIENT = Timeouts(connect_s=20.0, answer_s=25.0, first_query_s=20.0, log_s=20.0, idle_s=0.05)


def answer(response: Response) -> bytes:
    return encode_frame(MessageType.RESPONSE, response.encode())


@pytest.fixture
async def start_peer() -> AsyncIterator[StartPeer]:
    """Start a TCP server that runs the script for each connection; the port is ephemeral."""
    async with AsyncExitStack() as stack:
        yield lambda script: stack.enter_async_context(listening(script))


@pytest.fixture
async def open_wasmachine(tmp_path: Path) -> AsyncIterator[OpenTransport]:
    """A transport with quick time-outs, closed with the test."""
    transports: list[WasmachineTransport] = []

    def open_transport(port: int, timeouts: Timeouts = PATIENT, **options: Any) -> WasmachineTransport:
        transport = WasmachineTransport(
            f"wasmachine://127.0.0.1:{port}",
            load_board("virtual"),
            lock_folder=tmp_path / "locks",
            timeouts=timeouts,
            **options,
        )
        transports.append(transport)
        return transport

    yield open_transport
    for transport in transports:
        await transport.close()


@pytest.fixture
async def board() -> AsyncIterator[VirtualBoardProcess]:
    """A virtual board of its own, real clock, with a serial port on TCP."""
    async with VirtualBoardProcess(name="bench-1") as process:
        yield process


def of_board(
    board: VirtualBoardProcess, locks: Path, timeouts: Timeouts = PATIENT, profile: BoardProfile | None = None
) -> WasmachineTransport:
    return WasmachineTransport(
        board.ready.transports[0],
        profile or load_board("virtual"),
        lock_folder=locks,
        timeouts=timeouts,
        build_pin_program=build_pin_program,
    )


@pytest.fixture
async def transport(board: VirtualBoardProcess, tmp_path: Path) -> AsyncIterator[WasmachineTransport]:
    """To the stock firmware's port of that board."""
    transport = of_board(board, tmp_path)
    yield transport
    await transport.close()
