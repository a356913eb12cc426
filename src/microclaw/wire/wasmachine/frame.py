"""The link layer of WAMR's host protocol: `12 34`, type, length, payload, big-endian. It knows nothing of payloads."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

import msgspec

from microclaw.errors import ProtocolError

LEADER: Final = b"\x12\x34"
HEADER: Final = Struct(">2sHI")  # leader, type, payload length
MAX_PAYLOAD_BYTES: Final = 4 * 1024 * 1024  # far above any image that fits an ESP32, far below what hurts a host


class MessageType(IntEnum):
    """Only an install uses INSTALL, so that the device streams a large image straight to its loader."""

    COAP_TCP = 0
    COAP_UDP = 1
    REQUEST = 2
    RESPONSE = 3
    INSTALL = 4


class Frame(msgspec.Struct, frozen=True):
    """`type` may be a number that FrameType does not know."""

    type: int
    payload: bytes


def encode_frame(frame_type: int, payload: bytes) -> bytes:
    return HEADER.pack(LEADER, frame_type, len(payload)) + payload


class FrameDecoder:
    """Cuts a byte stream into frames; skips what does not start with `12 34`, as the device does.

    After a claim over the limit every `next_frame` raises: the stream has no trustworthy boundary any more.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self.max_payload_bytes = max_payload_bytes
        self.skipped_bytes = 0
        self.buffer = bytearray()

    def receive(self, data: bytes) -> None:
        self.buffer += data

    def next_frame(self) -> Frame | None:
        """Return the next whole frame, or None until more bytes come; ProtocolError for a length over the limit."""
        start = self.buffer.find(LEADER)
        if start < 0:
            start = len(self.buffer) - self.buffer.endswith(LEADER[:1])
        del self.buffer[:start]
        self.skipped_bytes += start
        if len(self.buffer) < HEADER.size:
            return None
        _, frame_type, size = HEADER.unpack_from(self.buffer)
        if size > self.max_payload_bytes:
            del self.buffer[HEADER.size :]
            text = f"a frame of type {frame_type} claims {size} bytes, the limit is {self.max_payload_bytes}"
            raise ProtocolError(text, next_step="check that this port is a WASMachine application manager")
        end = HEADER.size + size
        if len(self.buffer) < end:
            return None
        payload = bytes(memoryview(self.buffer)[HEADER.size : end])
        del self.buffer[:end]
        return Frame(frame_type, payload)
