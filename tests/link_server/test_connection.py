"""A connection under bytes by hand: what one read causes is one write, and nobody is read from who does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from websockets.frames import Opcode

from microclaw.link_client.state import SystemClock
from microclaw.link_server.connection import MESSAGES_A_TURN, Arrival, Connection
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.meter import LinkMeter
from microclaw.link_server.websocket import encode_close, encode_whole
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, Limits, PairRequest, Ping, Software, Welcome
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor
from microclaw.wire.link.session import LinkSession

ROOM = 1_000
LIMITS = LinkLimits(
    unauthenticated_messages_at_once=1e6, unauthenticated_messages_a_second=1e6, write_buffer_bytes=ROOM
)


def masked(first: int, payload: bytes) -> bytes:
    """A frame of a device, with a mask of zeros (RFC 6455 allows any)."""
    assert len(payload) < 126
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


def ping(payload: bytes) -> bytes:
    return masked(0x80 | Opcode.PING, payload)


def pong(payload: bytes) -> bytes:
    return encode_whole(Opcode.PONG, payload)


def said(code: int) -> bytes:
    return masked(0x80 | Opcode.CLOSE, code.to_bytes(2, "big"))


def control(body: Any) -> bytes:
    return masked(0x80 | Opcode.BINARY, encode_frame(FrameType.CONTROL, encode(Envelope(bytes(16), body))))


class Wire(asyncio.Transport):
    """The other end of the connection's writes; it pauses it when more than `holds` bytes are not taken."""

    def __init__(self, holds: int = 10**9) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_read = True
        self.holds = holds
        self.is_paused = False
        self.protocol: Any = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        if sum(map(len, self.writes)) > self.holds and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def close(self) -> None:
        """Nothing is on its way."""

    def abort(self) -> None:
        """As above."""

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == ROOM

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    async def taken(self) -> list[bytes]:
        """The device reads."""
        writes, self.writes = self.writes, []
        if self.is_paused:
            self.is_paused = False
            self.protocol.resume_writing()
            await asyncio.sleep(0)
        return writes


class Http(asyncio.Protocol):
    def __init__(self, wire: Wire) -> None:
        self.transport = wire
        self.address = "127.0.0.1"


class Pairing:
    """Owner of a device without a credential."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def took(self, _connection: Connection, envelope: Envelope) -> None:
        if isinstance(envelope.body, PairRequest) and envelope.body.board == "fault":
            raise RuntimeError("a fault of ours")
        self.heard.append(envelope.body)

    def left(self) -> None:
        """Nothing of it runs."""


async def nothing() -> None:
    """The handshake's answer."""


def connection_over(wire: Wire, answer: Callable[[], Awaitable[None]] = nothing) -> tuple[Connection, Pairing]:
    owner = Pairing()
    session = LinkSession(
        Welcome(bytes(16), Software("host", "1"), 0, 0, bytes(8), 0, Limits(0, 0)),
        outbox=OutboxCursor(bytes(8)),
        inbox=InboxCursor(),
        clock=SystemClock(),
        new_id=lambda: bytes(16),
        authenticated=False,
    )
    http, anybody = cast("Any", Http(wire)), cast("Any", owner)
    connection = Connection(
        Arrival(http, wire, answer), session, anybody, None, clock=SystemClock(), limits=LIMITS, meter=LinkMeter()
    )
    return connection, owner


@asynccontextmanager
async def served(wire: Wire) -> AsyncIterator[tuple[Connection, Pairing, asyncio.Task[None]]]:
    connection, owner = connection_over(wire)
    running = asyncio.create_task(connection.serve(), name="serve")
    await asyncio.sleep(0)
    try:
        yield connection, owner, running
    finally:
        connection.connection_lost(None)
        await asyncio.wait([running])


async def test_who_does_not_read_is_not_read_from() -> None:
    wire = Wire(holds=300)
    async with served(wire) as (connection, _, _):
        for _ in range(3):
            connection.data_received(ping(bytes(100)) * 20)
        assert wire.is_paused
        assert not wire.is_read
        written = b"".join(wire.writes)
        assert len(written) < 30 * 102  # what fits in the room, and no more
        written = b""
        for _ in range(100):
            written += b"".join(await wire.taken())
        assert written == pong(bytes(100)) * 60
        assert wire.is_read


async def test_what_one_read_causes_is_one_write_and_a_flood_leaves_others_their_turn() -> None:
    wire = Wire()
    async with served(wire) as (connection, _, _):
        connection.data_received(ping(b"a") * 3 + ping(b"b")[:3])
        connection.data_received(ping(b"b")[3:])
        assert await wire.taken() == [pong(b"a") * 3, pong(b"b")]
        connection.data_received(ping(b"a") * (MESSAGES_A_TURN + 10))
        assert wire.writes == [pong(b"a") * MESSAGES_A_TURN]
        assert not wire.is_read
        await asyncio.sleep(0)
        assert wire.writes[1:] == [pong(b"a") * 10]
        assert wire.is_read


async def test_a_close_is_over_with_its_answer_and_nothing_after_it_is_heard() -> None:
    wire = Wire()
    async with served(wire) as (connection, _, running):
        connection.data_received(ping(b"a") + said(4000) + ping(b"b"))
        await running
        assert wire.writes == [pong(b"a") + encode_close(4000)]
        assert connection.end == (4000, "the device closed the connection")
    wire = Wire()
    async with served(wire) as (connection, owner, running):
        connection.close(1001, "going")
        connection.close(1013, "again")
        assert wire.writes[0].endswith(encode_close(1001, "going"))
        connection.data_received(ping(b"a") + control(PairRequest("virtual", token_wanted=True)))
        await asyncio.sleep(0)
        assert not running.done()
        connection.data_received(said(1001))
        await running
        assert (len(wire.writes), owner.heard, connection.end) == (1, [], (1001, "going"))


async def test_a_breach_of_a_device_that_does_not_read_ends_it_once_it_does() -> None:
    wire = Wire(holds=50)
    async with served(wire) as (connection, _, running):
        connection.data_received(ping(bytes(100)))
        assert wire.is_paused
        connection.data_received(b"\x82\x01a")
        connection.data_received(ping(b"b"))
        assert not running.done()
        assert await wire.taken() == [pong(bytes(100))]
        await running
        breach = connection.session.unreadable
        assert breach is not None
        assert b"".join(wire.writes).endswith(encode_close(4400, breach.message))


async def test_a_fault_of_ours_is_raised_where_the_connection_is_looked_after() -> None:
    wire = Wire()
    async with served(wire) as (connection, _, running):
        connection.data_received(control(PairRequest("fault", token_wanted=True)) + ping(b"b"))
        with pytest.raises(ExceptionGroup) as caught:
            await running
        assert caught.group_contains(RuntimeError, match="a fault of ours")
        assert wire.writes == []


async def test_who_is_turned_away_hears_nothing_and_who_is_gone_before_the_answer_is_no_fault() -> None:
    async def answer() -> None:
        connection.data_received(control(PairRequest("virtual", token_wanted=True)) + control(Ping(1, 1)))

    async def gone() -> None:
        raise ConnectionResetError

    wire = Wire()
    connection, owner = connection_over(wire, answer)
    connection.close(4429, "full")
    turning = asyncio.create_task(connection.serve(), name="turn away")
    await asyncio.sleep(0)
    assert wire.writes == [encode_close(4429, "full")]
    connection.data_received(said(4429))
    await turning
    assert owner.heard == []
    connection, _ = connection_over(Wire(), gone)
    await connection.serve()
    assert connection.gone.is_set()
