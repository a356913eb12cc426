"""The WebSocket's handshake by hand: what goes to the link from its first byte on, and what is no handshake."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from microclaw.link_server.limits import LinkLimits
from microclaw.wire.link.codec import encode
from microclaw.wire.link.config import LinkConfig
from microclaw.wire.link.frame import CloseCode, FrameType, encode_frame
from microclaw.wire.link.messages import Envelope

UPGRADE = (
    "GET /link HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: microclaw.v1\r\n"
)


def frame(message: bytes) -> bytes:
    """A device's WebSocket frame; its mask is zero."""
    return b"\x82\xfe" + len(message).to_bytes(2, "big") + bytes(4) + message


class Peer:
    """A TLS connection to the listener."""

    def __init__(self, plane: Any, device: Any) -> None:
        self._opening = asyncio.open_connection(
            "127.0.0.1", plane.plane.port, ssl=device.context(), server_hostname="localhost"
        )
        self.device = device

    async def __aenter__(self) -> Peer:
        self.reader, self.writer = await self._opening
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def ask(self, *, version: int = 13, behind: bytes = b"") -> bytes:
        """The answer's head to an upgrade with this device's token; `behind` goes out in the same write."""
        head = f"{UPGRADE}Sec-WebSocket-Version: {version}\r\nAuthorization: Bearer {self.device.token}\r\n\r\n"
        self.writer.write(head.encode() + behind)
        return await self.reader.readuntil(b"\r\n\r\n")

    async def close_code(self) -> int:
        """Of the first close frame, after whatever messages."""
        while True:
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            payload = await self.reader.readexactly(size)
            if first == 0x88:
                return int.from_bytes(payload[:2], "big")


def greeting(device: Any) -> bytes:
    return frame(encode_frame(FrameType.CONTROL, encode(Envelope(bytes(16), device.hello()))))


async def test_what_comes_right_behind_the_answer_is_heard_byte_by_byte(plane: Any, paired: Any) -> None:
    async with Peer(plane, paired) as peer:
        assert b" 101 " in await peer.ask()
        for byte in greeting(paired) + frame(b"\x01" + bytes(16_385)):
            peer.writer.write(bytes((byte,)))
        assert await peer.close_code() == CloseCode.TOO_LARGE
    assert plane.refused == {"too_large": 1}


@pytest.mark.parametrize("limits", [LinkLimits(session=LinkConfig(hello_timeout_ms=200))])
async def test_who_speaks_before_the_answer_is_not_heard(plane: Any, paired: Any) -> None:
    """RFC 6455, 4.1: a client waits for the answer to its handshake."""
    async with Peer(plane, paired) as peer:
        assert b" 101 " in await peer.ask(behind=greeting(paired))
        assert await peer.close_code() == CloseCode.TIMED_OUT


async def test_a_handshake_of_another_version_is_answered_counted_and_no_fault_of_ours(
    plane: Any, paired: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with Peer(plane, paired) as peer:
        assert b" 400 " in await peer.ask(version=99)
    assert plane.refused == {"not_a_link": 1}
    assert "Traceback" not in caplog.text
