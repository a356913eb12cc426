"""Hostile devices: each opens one connection to the link, misbehaves in its way, and tells how it ended.

Bytes by hand, nothing of the product's own encoders but the greeting that a replay repeats.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Layer: TypeAlias = Literal["tcp", "tls", "websocket"]
GONE: Final = 1006  # no close code came
WAIT_S: Final = 60.0
UPGRADE: Final = (
    "GET /link HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Protocol: microclaw.v1\r\n"
)


@dataclass(frozen=True, slots=True)
class Attack:
    """`says` is sent after the `layer` is up. It ends with `code`, and the host counts it under `reason`.

    Whoever still writes when the host closes may lose the code to a reset: the host's count tells why it ended. `slow`
    ones say nothing more and wait for the host's patience to end.
    """

    name: str
    layer: Layer
    says: Callable[[int], bytes]
    reason: str
    code: int = GONE
    slow: bool = False
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    port: int
    tls: ssl.SSLContext


def frame(message: bytes, opcode: int = 2) -> bytes:
    """A client's WebSocket frame; its mask is zero."""
    size = len(message)
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + bytes(4) + message


BOMBS: Final = (
    b"\x81" * 16_000,  # arrays in arrays
    b"\xa1\x61a" * 5_000,  # maps in maps
    b"\xbb" + b"\xff" * 8,  # a map of 2^64 - 1 entries
    b"\x9a\xff\xff\xff\xff",  # an array of 2^32 - 1 items
    b"\x5b\x7f" + b"\xff" * 7,  # a byte string of 2^63 - 1 bytes
    b"\xbf" * 16_000,  # maps without a length
    b"\xd9\xd9\xf7" * 5_000,  # tags on tags
    b"\xa2\x61v\x01\x61v\x01",  # the same key twice
    b"\xb9\x01\x01" + b"".join(b"\x19%c%c\x00" % divmod(n, 256) for n in range(257)),  # 257 entries
)


def _huge_claim(number: int) -> bytes:
    """The head of a frame of 1 MiB to 2^59 bytes."""
    return b"\x82\xff" + (1 << 20 + number % 40).to_bytes(8, "big")


def attacks(hello: bytes, copied: str, wrong: str) -> tuple[Attack, ...]:
    """`hello` is a captured greeting, `copied` a token whose device has a newer one, `wrong` no token of a device."""
    return (
        Attack("garbage instead of TLS", "tcp", lambda n: b"%d" % n * 200, "tls"),
        Attack("half a TLS greeting", "tcp", lambda _: b"\x16\x03\x01", "tls", slow=True),
        Attack("garbage instead of HTTP", "tls", lambda n: b"%d\x00\xff" % n * 200, "not_a_link"),
        Attack("half a request", "tls", lambda _: UPGRADE.encode(), "not_a_link", slow=True),
        Attack("no hello", "websocket", lambda _: b"", "timeout", 4408, slow=True),
        Attack("half a frame", "websocket", lambda _: frame(bytes(600))[:50], "timeout", 4408, slow=True),
        Attack("garbage in a frame", "websocket", lambda n: frame(b"\x01%d" % n), "malformed", 4400),
        Attack("a huge claim", "websocket", _huge_claim, "too_large", 4413),
        Attack("a CBOR bomb", "websocket", lambda n: frame(b"\x01" + BOMBS[n % len(BOMBS)]), "malformed", 4400),
        Attack("a flood", "websocket", lambda _: frame(b"\x09flood") * 2_000, "too_many", 4429),
        Attack("text", "websocket", lambda _: frame(b"hello", opcode=1), "text_message", 1003),
        Attack("a replayed hello", "websocket", lambda _: frame(hello), "not_authenticated", 4401),
        Attack("a wrong token", "websocket", lambda _: frame(hello), "not_authenticated", 4401, token=wrong),
        Attack("a copied token", "websocket", lambda _: frame(hello), "not_authenticated", 4401, token=copied),
    )  # fmt: skip


async def commit(attack: Attack, number: int, target: Target, source: str) -> int:
    """Make the connection, from the address `source`, and keep to it until the host ends it; the close code."""
    async with asyncio.timeout(WAIT_S):
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                target.port,
                local_addr=(source, 0),
                ssl=None if attack.layer == "tcp" else target.tls,
                server_hostname=None if attack.layer == "tcp" else "localhost",
            )
        except (OSError, ssl.SSLError):
            return GONE
        try:
            return await _misbehave(attack, number, reader, writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            return GONE
        finally:
            writer.transport.abort()


async def _misbehave(attack: Attack, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    if attack.layer == "websocket":
        if attack.token is None:
            credential = ""
        else:
            credential = f"Authorization: Bearer {attack.token}\r\n"
        writer.write(f"{UPGRADE}{credential}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
    writer.write(attack.says(number))
    await writer.drain()
    if attack.layer != "websocket":
        await reader.read(-1)
        return GONE
    while True:
        opcode, message = await next_frame(reader)
        if opcode == 8:
            return int.from_bytes(message[:2], "big")


async def next_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(2)
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    return head[0] & 0x0F, await reader.readexactly(size)
