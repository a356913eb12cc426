"""Many hostile connections at once: each is ended, a good device is served meanwhile and strangers can come after."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import cbor2
import pytest

from microclaw.devices.calls import GpioSet, PinLevel
from microclaw.link_server.limits import LinkLimits
from microclaw.wire.link.config import LinkConfig
from microclaw.wire.link.messages import PairCode, PairRequest

EACH = 15
LIMITS = LinkLimits(handshake_s=0.5, close_s=0.5, session=LinkConfig(hello_timeout_ms=500))
_UPGRADE = (
    b"GET /link HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: microclaw.v1\r\n\r\n"
)
_NESTED = b"\x81" * 5_000 + b"\x00"  # a CBOR bomb: arrays in arrays
_CLAIM = b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff"  # an array of 2**63 - 1 items


def _frame(payload: bytes) -> bytes:
    """A masked binary WebSocket frame (RFC 6455, 5.2) with a mask of zeros."""
    return b"\x82\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


MESSAGES: dict[str, bytes] = {
    "garbage": secrets.token_bytes(2_000),
    "slow hello": _UPGRADE,
    "half a head": _UPGRADE[:60],
    "half a frame": _UPGRADE + _frame(bytes(500))[:100],
    "a bomb": _UPGRADE + _frame(b"\x01" + _NESTED),
    "a claim": _UPGRADE + _frame(b"\x01" + _CLAIM),
    "a huge frame": _UPGRADE + b"\x82\xff" + (2**62).to_bytes(8, "big") + bytes(4) + bytes(10_000),
    "a flood": _UPGRADE + _frame(b"\x09x" * 60) * 200,
    "not ours": _UPGRADE + _frame(b"\x01" + cbor2.dumps({"v": 1, "type": "welcome"})),
    "a long head": b"GET /link HTTP/1.1\r\nX: " + b"y" * 100_000,
}


@pytest.mark.parametrize("limits", [LIMITS])
async def test_a_good_device_is_served_among_hostile_connections(
    plane: Any, paired: Any, scripted: Callable[[Any], Any]
) -> None:
    lamp = plane.registry.get("lamp")
    async with paired.connected():
        await paired.until_ready()
        async with asyncio.TaskGroup() as tasks:
            for message in MESSAGES.values():
                for _ in range(EACH // 3):
                    tasks.create_task(_attack(plane.plane.port, paired.context(), message))
            for _ in range(EACH):
                tasks.create_task(_attack(plane.plane.port, None, secrets.token_bytes(500)))
            for level in (1, 0) * 20:
                assert await lamp.call(GpioSet(pin=4, level=level)) == PinLevel(4, level)
        assert await lamp.call(GpioSet(pin=4, level=1)) == PinLevel(4, 1)
        assert plane.count("microclaw_link_connections") == 1
    stranger = scripted(plane)
    async with stranger.connected(PairRequest("virtual", token_wanted=True)):
        assert len((await stranger.next(PairCode)).code) == 6


async def _attack(port: int, context: ssl.SSLContext | None, message: bytes) -> None:
    """Send it, and read until the host has had enough."""
    async with asyncio.timeout(60):  # outside: a connection that is never ended fails the test
        with suppress(OSError, ssl.SSLError):
            name = "localhost" if context is not None else None
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
            try:
                writer.write(message)
                await _until_end(reader.read)
            finally:
                writer.transport.abort()


async def _until_end(read: Callable[[int], Awaitable[bytes]]) -> None:
    while await read(4096):
        pass
