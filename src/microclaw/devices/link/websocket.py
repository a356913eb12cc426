"""Reads and writes RFC 6455 frames of a device. No IO, no handshake, nothing of the link.

docs/decisions/0008 says why no library's reader is used. The mask, opcodes and close codes are from `websockets`.
"""

from __future__ import annotations

from typing import Final, NoReturn, TypeAlias

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:
    # A platform without the compiled part: Python is ten times slower.
    from websockets.utils import apply_mask

from microclaw.errors import LinkViolation
from microclaw.wire.link.frame import CloseCode

MAX_CLOSE_REASON_BYTES: Final = 123

# Opcode and payload. A plain tuple, because each frame makes one.
Message: TypeAlias = tuple[int, bytes]


class MessageReader:
    """A reader of messages: call `receive(data)`, then `next_message()` until it returns None.

    A fragment of an incomplete message is returned as (CONT, b""), so that it counts as a message. A length is checked
    before its bytes are waited for: at most one frame of `max_bytes` is held, with the rest of one read.
    """

    __slots__ = ("_at", "_data", "_fragments", "_max_bytes", "_opcode", "has_more")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # True if there may be another message.
        self.has_more = False
        self._data = b""
        self._at = 0
        self._fragments = bytearray()
        # The opcode of the message that is in fragments.
        self._opcode: int | None = None

    def receive(self, data: bytes) -> None:
        if self._at < len(self._data):
            self._data = self._data[self._at :] + data
        else:
            self._data = data
        self._at = 0
        self.has_more = True

    def next_message(self) -> Message | None:
        """Return the next message, or None if more bytes are needed. Raises LinkViolation if the bytes are invalid."""
        self.has_more = False
        data = self._data
        at = self._at
        byte_count = len(data) - at
        if byte_count < 2:
            return None
        first = data[at]
        second = data[at + 1]
        size = second & 0x7F
        payload_at = at + 6
        if size == 126:
            if byte_count < 4:
                return None
            size = data[at + 2] << 8 | data[at + 3]
            payload_at = at + 8
        elif size == 127:
            if byte_count < 10:
                return None
            size = int.from_bytes(data[at + 2 : at + 10], "big")
            payload_at = at + 14
        # Nearly every message is a whole binary one with a mask, which needs no other check than its size.
        is_common = first == _WHOLE_BINARY and second >= 0x80 and self._opcode is None
        if not is_common or size > self._max_bytes:
            self._check(first, second, size)
        end = payload_at + size
        if end > len(data):
            return None
        self._at = end
        self.has_more = end < len(data)
        payload = apply_mask(data[payload_at:end], data[payload_at - 4 : payload_at])
        if first == _WHOLE_BINARY:
            return _BINARY, payload
        return self._read_other(first & 0x0F, payload, is_whole=first >= 0x80)

    def _check(self, first: int, second: int, size: int) -> None:
        """Raise LinkViolation for an invalid header, before its payload is waited for."""
        opcode = first & 0x0F
        is_whole = first >= 0x80
        if first & 0x70 or opcode not in _OPCODES:
            _malformed(f"a frame that starts with {first:#04x}")
        if second < 0x80:
            _malformed("a frame without a mask")
        if opcode >= Opcode.CLOSE:
            if not is_whole or size > _MAX_CONTROL_FRAME:
                fragments = "" if is_whole else ", in fragments"
                _malformed(f"a control frame of {size} bytes{fragments}")
            return
        is_fragment = opcode == Opcode.CONT
        if is_fragment and self._opcode is None:
            _malformed("a fragment of no message")
        if not is_fragment and self._opcode is not None:
            _malformed("a message inside another")
        message_size = size + len(self._fragments)
        if message_size > self._max_bytes:
            text = f"a message of {message_size} bytes, the limit is {self._max_bytes}"
            raise LinkViolation(text, close_code=CloseCode.TOO_LARGE, reason="too_large")

    def _read_other(self, opcode: int, payload: bytes, *, is_whole: bool) -> Message:
        """Return a control frame or text message, or join the fragments of a message."""
        if opcode == Opcode.CLOSE:
            try:
                # Only the code is checked: the reason is free text.
                Close.parse(payload[:2])
            except ProtocolError:
                _malformed(f"a close frame that says {payload[:2].hex()}")
        if opcode >= Opcode.CLOSE or (is_whole and opcode != Opcode.CONT):
            return opcode, payload
        if opcode != Opcode.CONT:
            self._opcode = opcode
        self._fragments += payload
        if not is_whole:
            return Opcode.CONT, b""
        assert self._opcode is not None
        opcode = self._opcode
        self._opcode = None
        payload = bytes(self._fragments)
        self._fragments.clear()
        return opcode, payload


def close_code(payload: bytes) -> int | None:
    """Return the code of a close frame, or None if it has none."""
    return int.from_bytes(payload[:2], "big") or None


def encode_whole(opcode: int, payload: bytes) -> bytes:
    """Encode a message of up to 65,535 bytes in one frame, without a mask, as servers do."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    return bytes((0x80 | opcode, 126, size >> 8, size & 0xFF)) + payload


def encode_close(code: int | None, reason: str = "") -> bytes:
    """Encode a close frame. The reason is cut to MAX_CLOSE_REASON_BYTES, between characters."""
    if code is None:
        return encode_whole(Opcode.CLOSE, b"")
    text = reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore").encode()
    return encode_whole(Opcode.CLOSE, code.to_bytes(2, "big") + text)


def _malformed(text: str) -> NoReturn:
    raise LinkViolation(text, close_code=CloseCode.MALFORMED)


_MAX_CONTROL_FRAME: Final = 125
# Comparing an enum costs ten times as much as comparing an int, and every message is compared.
_BINARY: Final = int(Opcode.BINARY)
_WHOLE_BINARY: Final = 0x80 | _BINARY
_OPCODES: Final = frozenset(map(int, Opcode))
