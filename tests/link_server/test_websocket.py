"""LinkSocket under bytes by hand: what one read causes is one write, and nobody is read from who does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from microclaw.errors import LinkViolation
from microclaw.link_server.websocket import MESSAGES_A_TURN, LinkSocket, encode_close, encode_message, encode_pong
from microclaw.wire.link.frame import FrameLimits

ROOM = 1_000


def masked(first: int, payload: bytes) -> bytes:
    """A frame of a device, with a mask of zeros (RFC 6455 allows any)."""
    assert len(payload) < 126
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


def said(code: int) -> bytes:
    return masked(0x88, code.to_bytes(2, "big"))


class Wire(asyncio.Transport):
    """What the socket writes to; it pauses the socket when more than `holds` bytes are not taken."""

    def __init__(self, holds: int = 10**9) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_read = True
        self.holds = holds
        self.socket: LinkSocket | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        assert self.socket is not None
        if sum(map(len, self.writes)) > self.holds and not self.socket.is_paused:
            self.socket.pause_writing()

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == ROOM

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def taken(self) -> list[bytes]:
        """The device reads."""
        assert self.socket is not None
        writes, self.writes = self.writes, []
        if self.socket.is_paused:
            self.socket.resume_writing()
        return writes


class Echo:
    """Answers each message with itself."""

    def __init__(self, socket: LinkSocket) -> None:
        self.socket = socket
        self.heard: list[tuple[int, bytes]] = []
        self.breach: LinkViolation | None = None

    def got(self, opcode: int, payload: bytes) -> None:
        if payload == b"fault":
            raise RuntimeError("a fault of ours")
        self.heard.append((opcode, payload))
        if opcode == 2:
            self.socket.send(payload)

    def breached(self, violation: LinkViolation) -> None:
        self.breach = violation
        self.socket.begin_close(violation.close_code, "no")

    def writable(self) -> None:
        self.socket.flush()


def socket_over(wire: Wire) -> LinkSocket:
    wire.socket = LinkSocket(
        wire, asyncio.Protocol(), "127.0.0.1", max_bytes=FrameLimits().message_bytes, write_buffer_bytes=ROOM
    )
    return wire.socket


@asynccontextmanager
async def echoing(wire: Wire, early: bytes = b"") -> AsyncIterator[tuple[Echo, asyncio.Task[None]]]:
    socket = socket_over(wire)
    if early:
        socket.data_received(early)
    echo = Echo(socket)
    running = asyncio.create_task(socket.run(echo), name="run")
    await asyncio.sleep(0)
    try:
        yield echo, running
    finally:
        socket.connection_lost(None)
        await asyncio.wait([running])


async def test_what_one_read_causes_is_one_write() -> None:
    wire = Wire()
    async with echoing(wire) as (echo, _):
        echo.socket.data_received(masked(0x82, b"a") * 3 + masked(0x89, b"p") + masked(0x82, b"b")[:3])
        assert wire.writes == [encode_message(b"a") * 3 + encode_pong(b"p")]
        echo.socket.data_received(masked(0x82, b"b")[3:])
        assert wire.writes[1:] == [encode_message(b"b")]


async def test_what_came_before_it_ran_is_not_lost_and_waits_unread() -> None:
    wire = Wire()
    socket = socket_over(wire)
    socket.data_received(masked(0x82, b"a"))
    assert not wire.is_read
    async with echoing(wire := Wire(), early=masked(0x82, b"a") + masked(0x82, b"b")[:2]) as (echo, _):
        assert wire.is_read
        echo.socket.data_received(masked(0x82, b"b")[2:])
        assert echo.heard == [(2, b"a"), (2, b"b")]


async def test_who_does_not_read_is_not_read_from() -> None:
    wire = Wire(holds=300)
    async with echoing(wire) as (echo, _):
        for _ in range(3):
            echo.socket.data_received(masked(0x82, bytes(100)) * 20)
        assert echo.socket.is_paused
        assert not wire.is_read
        assert len(echo.heard) < 30  # what fits in the room, and no more
        written = b""
        for _ in range(100):
            written += b"".join(wire.taken())
            await asyncio.sleep(0)
        assert written == encode_message(bytes(100)) * 60
        assert wire.is_read


async def test_a_flood_leaves_others_their_turn() -> None:
    wire = Wire()
    async with echoing(wire) as (echo, _):
        echo.socket.data_received(masked(0x82, b"a") * (MESSAGES_A_TURN + 10))
        assert len(echo.heard) == MESSAGES_A_TURN
        assert not wire.is_read
        await asyncio.sleep(0)
        assert len(echo.heard) == MESSAGES_A_TURN + 10
        assert wire.is_read


async def test_a_device_that_closes_is_answered_and_nothing_after_it_is_heard() -> None:
    wire = Wire()
    async with echoing(wire) as (echo, running):
        echo.socket.data_received(masked(0x82, b"a") + said(4000) + masked(0x82, b"b"))
        await running
        assert wire.writes == [encode_message(b"a") + encode_close(4000)]
        assert (echo.heard, echo.socket.peer_code) == ([(2, b"a")], 4000)


async def test_a_close_of_the_host_is_over_with_its_answer() -> None:
    wire = Wire()
    async with echoing(wire) as (echo, running):
        echo.socket.begin_close(1001, "going")
        echo.socket.begin_close(1013, "again")
        echo.socket.send(b"too late")
        assert wire.writes == [encode_close(1001, "going")]
        echo.socket.data_received(masked(0x82, b"a"))
        await asyncio.sleep(0)
        assert not running.done()
        echo.socket.data_received(said(1001))
        await running
        assert (echo.heard, echo.socket.peer_code) == ([], None)


@pytest.mark.parametrize(("data", "code"), [(b"\x82\x01a", 4400), (b"\x82\xff\x01" + bytes(7), 4413)])
async def test_a_breach_is_told_once_and_ends_it(data: bytes, code: int) -> None:
    wire = Wire()
    async with echoing(wire) as (echo, running):
        echo.socket.data_received(masked(0x82, b"a") + data)
        echo.socket.data_received(masked(0x82, b"b"))
        await running
        assert echo.breach is not None
        assert echo.breach.close_code == code
        assert wire.writes == [encode_message(b"a") + encode_close(code, "no")]
        assert echo.heard == [(2, b"a")]


async def test_a_fault_of_ours_is_raised_where_the_connection_is_looked_after() -> None:
    wire = Wire()
    async with echoing(wire) as (echo, running):
        echo.socket.data_received(masked(0x82, b"fault") + masked(0x82, b"b"))
        with pytest.raises(RuntimeError, match="a fault of ours"):
            await running
        assert echo.heard == []


async def test_a_lost_connection_ends_it() -> None:
    async with echoing(Wire()) as (echo, running):
        echo.socket.connection_lost(None)
        await running
        assert echo.socket.peer_code is None


async def test_a_connection_that_is_turned_away_hears_nothing() -> None:
    wire = Wire()
    socket = socket_over(wire)
    socket.data_received(masked(0x82, b"a"))
    turning = asyncio.create_task(socket.turn_away(4429, "full"), name="turn away")
    await asyncio.sleep(0)
    assert wire.writes == [encode_close(4429, "full")]
    socket.data_received(said(4429))
    await turning
