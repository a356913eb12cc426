"""Fuzz target: any bytes, in chunks, as WebSocket frames of a device, which are read before anybody knows it."""

from __future__ import annotations

from websockets.frames import Opcode

from microclaw.devices.link.websocket import MessageReader
from microclaw.errors import LinkViolation

LIMIT = 4096
MASK = bytes(4)


def fuzz_one(data: bytes) -> None:
    for stream in (data, _framed(data)):
        chunk = 1 + (stream[0] if stream else 0) % 64
        in_chunks = _read([stream[at : at + chunk] for at in range(0, len(stream), chunk)])
        assert in_chunks == _read([stream])  # how the network cuts it says nothing


def _framed(data: bytes) -> bytes:
    """The bytes as payloads of whole frames: the first one of each names the opcode and the end of a message."""
    parts = [data[at : at + 40] for at in range(0, len(data), 40)]
    heads = [bytes([part[0] & 0x8F, 0x80 | len(part[1:])]) for part in parts]
    return b"".join(head + MASK + part[1:] for head, part in zip(heads, parts, strict=True))


def _read(chunks: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
    """The messages, and why no more are read."""
    reader = MessageReader(LIMIT)
    messages = list[tuple[int, bytes]]()
    try:
        for chunk in chunks:
            reader.receive(chunk)
            while (message := reader.next_message()) is not None:
                opcode, payload = message
                assert opcode in set(Opcode)
                assert len(payload) <= LIMIT
                messages.append((opcode, bytes(payload)))
    except LinkViolation as exc:
        return messages, str(exc)
    return messages, ""
