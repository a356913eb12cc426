"""The virtual board's transport on a real board, and against a control socket that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from microclaw.devices.calls import EdgesRead, GpioGet, GpioSet, LogsRead
from microclaw.errors import CallRejected, ProtocolError
from microclaw.transports.serial import SerialTransport
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.virtual_boards.process import VirtualBoardProcess
from microclaw.wire import board_control as wire
from microclaw.wire import board_replies as replies

LIMIT_S = 60.0


@asynccontextmanager
async def control_socket(
    path: Path, script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[VirtualBoardTransport]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    transport = VirtualBoardTransport(path)
    try:
        yield transport
    finally:
        await transport.close()
        server.close()


async def test_edges_are_counted_once_from_cursor_to_cursor_and_refusals_have_the_boards_reason(
    board: VirtualBoardProcess, tmp_path: Path
) -> None:
    serial = SerialTransport(board.ready.transports[1], lock_folder=tmp_path)
    start = await board.control.call(EdgesRead(), LIMIT_S)
    for level in (1, 0, 1):
        await serial.call(GpioSet(4, level), LIMIT_S)
    log = await board.control.call(EdgesRead(start.cursor), LIMIT_S)
    assert [(edge.pin, edge.level) for edge in log.edges] == [(4, 1), (4, 0), (4, 1)]
    assert (await board.control.call(EdgesRead(log.cursor), LIMIT_S)).edges == ()
    assert (await board.control.call(GpioGet(4), LIMIT_S)).level == 1
    await serial.close()
    with pytest.raises(CallRejected):
        await board.control.advance(10)  # its clock is the real one
    with pytest.raises(CallRejected):
        await board.control.set_sensor("bme280", {"temperature_c": 4000.0})
    with pytest.raises(CallRejected):
        await board.control.call(GpioGet(25), LIMIT_S)


async def test_many_pages_of_edges_are_read_as_one(tmp_path: Path) -> None:
    pages = [
        replies.EdgePage(tuple(replies.EdgeRow(t, 2, t % 2) for t in range(3)), 3, 1, 9.0, more=True),
        replies.EdgePage((replies.EdgeRow(3, 2, 1),), 4, 0, 9.5),
    ]

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, page in enumerate(pages, start=1):
            _, request = wire.decode_request(await reader.readline())
            assert request == wire.Edges(0 if number == 1 else 3)
            writer.write(wire.encode_reply(number, page))

    async with control_socket(tmp_path / "s", script) as transport:
        log = await transport.call(EdgesRead(), LIMIT_S)
    assert (len(log.edges), log.cursor, log.dropped, log.now_ms) == (4, 4, 1, 9.5)


async def test_page_that_never_advances_ends(tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while await reader.readline():
            number += 1
            writer.write(wire.encode_reply(number, replies.LogPage((), 0, 0, more=True)))

    async with control_socket(tmp_path / "s", script) as transport:
        assert (await transport.call(LogsRead(), LIMIT_S)).lines == ()


@pytest.mark.parametrize("garbage", [b"\xff\x00garbage\n", b'{"id":"x"}\n', b"x" * 200_000])
async def test_garbage_on_the_control_socket_is_a_protocol_error(garbage: bytes, tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(garbage)

    async with control_socket(tmp_path / "s", script) as transport:
        with pytest.raises(ProtocolError) as caught:
            await transport.info()
    assert caught.value.next_step
