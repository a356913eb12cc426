"""What a hostile peer of Wyoming sends: claims that are too large or none, and bytes that never become an event."""

from __future__ import annotations

import asyncio
from typing import Final

from microclaw.interfaces.voice.engines.wyoming_stream import (
    MAX_DATA_BYTES,
    MAX_LINE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_TYPE_CHARS,
)

GIGABYTE: Final = 1 << 30


def line(head: str) -> bytes:
    return head.encode() + b"\n"


REFUSED: Final = {
    "a payload of 1 GB": line(f'{{"type": "t", "payload_length": {GIGABYTE}}}'),
    "data of 1 GB": line(f'{{"type": "t", "data_length": {GIGABYTE}}}'),
    "a payload of one byte more": line(f'{{"type": "t", "payload_length": {MAX_PAYLOAD_BYTES + 1}}}'),
    "data of one byte more": line(f'{{"type": "t", "data_length": {MAX_DATA_BYTES + 1}}}'),
    "a negative payload": line('{"type": "t", "payload_length": -1}'),
    "negative data": line('{"type": "t", "data_length": -1}'),
    "half a byte": line('{"type": "t", "payload_length": 1.5}'),
    "a length in words": line('{"type": "t", "data_length": "7"}'),
    "a length that is true": line('{"type": "t", "data_length": true}'),
    "a line of one byte more": line('{"type": "t", "x": "'.ljust(MAX_LINE_BYTES - 2, "x") + '"}'),
    "no end of a line": b"x" * 200_000,
    "a long type": line('{"type": "' + "x" * (MAX_TYPE_CHARS + 1) + '"}'),
    "a type that is a number": line('{"type": 5}'),
    "an empty type": line('{"type": ""}'),
    "no type": line("{}"),
    "an empty line": line(""),
    "no UTF-8": b"\xff\xfe\n",
    "no object": line("[]"),
    "data that is a list": line('{"type": "t", "data": []}'),
    "more data that is a list": line('{"type": "t", "data_length": 2}') + b"[]",
    "more data that is no JSON": line('{"type": "t", "data_length": 2}') + b"{{",
    "brackets": b"[" * (MAX_LINE_BYTES - 1) + b"\n",
    "brackets in more data": line('{"type": "t", "data_length": 250000}') + b'{"a":' * 50_000,
    "a lone surrogate": line(r'{"type": "a", "data": {"t": "\ud800"}}'),
    "a lone surrogate in more data": line('{"type": "a", "data_length": 15}') + rb'{"t": "\ud800"}',
    "a surrogate's bytes": b'{"type": "a", "data": {"t": "\xed\xa0\x80"}}\n',
    "not a number": line('{"type": "a", "data_length": 8}') + b'{"t":NaN}'[:8],
}  # fmt: skip


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """Send a byte, wait 20 ms for the peer, and so on, until it answers or leaves; return what it sent."""
    for byte in data:
        writer.write(bytes([byte]))
        try:
            async with asyncio.timeout(0.02):
                return await reader.read()
        except TimeoutError:
            continue
        # A peer that leaves with bytes unread resets the connection.
        except ConnectionError:
            return b""
    raise AssertionError("the peer took every byte")
