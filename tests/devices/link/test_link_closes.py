"""Handshakes by hand, and ends of connections by limits, versions and other connections, over real TLS on loopback.

Breaches of a message: tests/link/test_host.py; who is not let in at all: test_auth_matrix.py.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from tests.devices.link.attacks import UPGRADE, frame, next_frame

from microclaw.devices.link.limits import LinkLimits
from microclaw.events import DeviceConnected
from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.frame import CloseCode, FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, ErrorMessage, Event

# Handshakes


@asynccontextmanager
async def by_hand(plane: Any, device: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    connection = socket.socket()
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.setsockopt(socket.SOL_SOCKET, buffer, 4096)  # what is not read is soon too much
    connection.connect(("127.0.0.1", plane.plane.port))
    reader, writer = await asyncio.open_connection(
        sock=connection, ssl=device.context(), server_hostname="localhost", limit=1024
    )
    yield reader, writer
    await end_of(writer)


async def end_of(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, and wait until it is closed: the loop of the test ends right behind."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def upgrade(device: Any) -> bytes:
    return f"{UPGRADE}Authorization: Bearer {device.token}\r\n\r\n".encode()


def greeting(device: Any) -> bytes:
    return frame(encode_frame(FrameType.CONTROL, encode(Envelope(bytes(16), device.hello()))))


async def close_code(reader: asyncio.StreamReader) -> int:
    """Of the first close frame, after whatever messages."""
    opcode = 0
    payload = b""
    while opcode != 8:
        opcode, payload = await next_frame(reader)
    return int.from_bytes(payload[:2], "big")


async def test_what_comes_right_behind_the_answer_is_heard_byte_by_byte(plane: Any, paired: Any) -> None:
    async with by_hand(plane, paired) as (reader, writer):
        writer.write(upgrade(paired))
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        for byte in greeting(paired) + frame(b"\x01" + bytes(16_385)):
            writer.write(bytes((byte,)))
        assert await close_code(reader) == CloseCode.TOO_LARGE
    assert plane.refused == {"too_large": 1}


async def test_other_versions_subprotocols_and_paths_are_answered_and_counted_and_only_the_authority_is_served(
    plane: Any, paired: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with by_hand(plane, paired) as (reader, writer):
        writer.write(upgrade(paired).replace(b"Version: 13", b"Version: 99"))
        assert b" 400 " in await reader.readuntil(b"\r\n\r\n")
    assert plane.refused == {"not_a_link": 1}
    assert "Traceback" not in caplog.text
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await http.ws_connect(paired.address, ssl=paired.context(), protocols=["mqtt"])
        offered = ["microclaw.v3", "microclaw.v2"]
        async with http.ws_connect(paired.address, ssl=paired.context(), protocols=offered) as link:
            error = decode((await link.receive_bytes())[1:]).body
            assert isinstance(error, ErrorMessage)
            assert error.code == "unsupported_version"
            await link.receive()
            assert link.close_code == CloseCode.MALFORMED
        for path in ("/", "/link", "/link/../ca.pem", "/v1/devices", "/ca.pem"):
            address = paired.address.replace("wss", "https").replace("/link", path)
            async with http.get(address, ssl=False) as answer:
                assert answer.status == (200 if path.endswith("/ca.pem") else 404)
                assert path != "/ca.pem" or await answer.read() == plane.ca.encode()
    assert plane.refused["version"] == 1


# Bounds


@asynccontextmanager
async def raw(device: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket without a session: the test says every byte."""
    if device.token:
        headers = {"Authorization": f"Bearer {device.token}"}
    else:
        headers = {}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(device.address, ssl=device.context(), protocols=["microclaw.v1"], headers=headers) as link,
    ):
        yield link


async def test_more_durable_messages_than_the_host_can_apply_close_1013(plane: Any, paired: Any) -> None:
    """The disk stands still, and the device goes on."""
    may_write = threading.Event()
    async with paired.online():
        await plane.published.until(DeviceConnected)
        standstill = asyncio.create_task(plane.database.write(lambda _: may_write.wait(60)))
        try:
            for seq in range(1, 259):
                event = Envelope(secrets.token_bytes(16), Event("tick", {"n": seq}), seq=seq)
                await paired.send_raw(encode_frame(FrameType.CONTROL, encode(event)))
            error = await paired.next(ErrorMessage)
        finally:
            may_write.set()
        assert error.code == "overloaded"
        assert await paired.until_closed() == CloseCode.OVERLOADED
        await standstill
    assert plane.refused == {"overloaded": 1}


@pytest.mark.parametrize("limits", [LinkLimits(messages_a_second=1e6, messages_at_once=1e6)])
async def test_who_does_not_read_is_not_read_from(plane: Any, paired: Any) -> None:
    """It would fill the host's memory with pongs. Nothing is lost: they come once it reads."""
    ping = frame(bytes(125), opcode=9)
    sent = 0
    pongs = 0
    async with by_hand(plane, paired) as (reader, writer):
        writer.write(upgrade(paired))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(greeting(paired))
        with suppress(TimeoutError):
            while sent < 100_000:
                writer.write(ping * 500)
                sent += 500
                async with asyncio.timeout(2):
                    await writer.drain()
        assert sent < 100_000, "it was read for ever"
        while pongs < sent:
            pongs += await next_frame(reader) == (10, bytes(125))


@pytest.mark.parametrize("limits", [LinkLimits(messages_a_second=1, messages_at_once=20)])
async def test_a_flood_closes_4429(plane: Any, paired: Any) -> None:
    async with paired.online():
        for n in range(30):
            await paired.send_raw(b"\x09%d" % n)
        assert await paired.until_closed() == CloseCode.TOO_MANY


@pytest.mark.parametrize("limits", [LinkLimits(connections_in_all=0)])
async def test_one_connection_too_many_closes_4429(plane: Any, device: Any) -> None:
    async with raw(device) as link:
        await link.receive()
        assert link.close_code == CloseCode.TOO_MANY


@pytest.mark.parametrize("limits", [LinkLimits(arriving_an_address=2)])
async def test_an_address_has_so_many_strangers_and_no_more(plane: Any, device: Any) -> None:
    async with raw(device), raw(device):
        with pytest.raises(aiohttp.ClientError):
            async with raw(device):
                pass
    assert plane.refused["too_many"] == 1


@pytest.mark.parametrize("limits", [LinkLimits(arriving_an_address=3, handshake_when_full_s=0)])
async def test_silent_strangers_give_way_to_a_board_of_the_same_address(plane: Any, paired: Any) -> None:
    strangers = [await asyncio.open_connection("127.0.0.1", plane.plane.port) for _ in range(3)]
    async with paired.online():
        oldest, *others = [reader for reader, _ in strangers]
        assert await oldest.read() == b""
        assert not any(reader.at_eof() for reader in others)
    for _, writer in strangers:
        await end_of(writer)


@pytest.mark.parametrize("limits", [LinkLimits(arriving_in_all=2)])
async def test_a_handshake_that_had_no_five_seconds_does_not_give_way(plane: Any, device: Any) -> None:
    strangers = [await asyncio.open_connection("127.0.0.1", plane.plane.port) for _ in range(2)]
    with pytest.raises(aiohttp.ClientError):
        async with raw(device):
            pass
    assert plane.refused == {"too_many": 1}
    for _, writer in strangers:
        await end_of(writer)


@pytest.mark.parametrize("limits", [LinkLimits(handshake_s=0.3)])
async def test_a_tls_handshake_that_ended_is_told_until_the_device_is_online(
    plane: Any, paired: Any, caplog: pytest.LogCaptureFixture
) -> None:
    strangers = [await asyncio.open_connection("127.0.0.1", plane.plane.port) for _ in range(30)]
    for reader, writer in strangers:
        assert await reader.read() == b""
        await end_of(writer)
    lamp = plane.registry.get("lamp")
    end = plane.plane.state(lamp).handshake_end
    assert end.address == "127.0.0.1"
    assert end.why == "not over after 0.3 s"
    async with paired.online():
        assert plane.plane.state(lamp).handshake_end is None
    assert 0 < caplog.text.count("ended in its TLS handshake") <= 20
