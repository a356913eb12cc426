"""RFC 6455 frames of a device, read and written. No IO, no handshake, nothing of the link.

Why not a library's reader: docs/decisions/0008. Its mask, opcodes and close codes are websockets' own.
"""

from __future__ import annotations

from typing import Final, NoReturn, TypeAlias

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled part: the same in Python, ten times slower
    from websockets.utils import apply_mask

from microclaw.errors import LinkViolation
from microclaw.wire.link.frame import CloseCode

MAX_CLOSE_REASON_BYTES: Final = 123

Message: TypeAlias = tuple[int, bytes]  # opcode and payload; a plain tuple, for there is one a frame


class MessageReader:
    """`receive(data)`, then `next_message()` until it is None. LinkViolation for bytes that are wrong whatever follows.

    A fragment of a message that is not whole yet comes out as (CONT, b""), so that who counts messages counts
    it too. A length is checked before its bytes are waited for: at most one frame of `max_bytes` is held, and what
    came in one read with it.
    """

    __slots__ = ("_at", "_data", "_fragments", "_max_bytes", "_opcode", "has_more")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.has_more = False  # worth asking for a message
        self._data = b""
        self._at = 0
        self._fragments = bytearray()
        self._opcode: int | None = None  # of the message that is in fragments

    def receive(self, data: bytes) -> None:
        if self._at < len(self._data):
            self._data = self._data[self._at :] + data
        else:
            self._data = data
        self._at = 0
        self.has_more = True

    def next_message(self) -> Message | None:
        self.has_more = False
        data = self._data
        at = self._at
        here = len(data) - at
        if here < 2:
            return None
        first = data[at]
        second = data[at + 1]
        size = second & 0x7F
        payload_at = at + 6
        if size == 126:
            if here < 4:
                return None
            size = data[at + 2] << 8 | data[at + 3]
            payload_at = at + 8
        elif size == 127:
            if here < 10:
                return None
            size = int.from_bytes(data[at + 2 : at + 10], "big")
            payload_at = at + 14
        if first != _WHOLE_BINARY or second < 0x80 or size > self._max_bytes or self._opcode is not None:
            self._check(first, second, size)
        end = payload_at + size
        if end > len(data):
            return None
        self._at = end
        self.has_more = end < len(data)
        payload = apply_mask(data[payload_at:end], data[payload_at - 4 : payload_at])
        if first == _WHOLE_BINARY:
            return _BINARY, payload
        return self._other(first & 0x0F, payload, is_whole=first >= 0x80)

    def _check(self, first: int, second: int, size: int) -> None:
        """Refuse a header that may not be, before its payload is there."""
        opcode = first & 0x0F
        is_whole = first >= 0x80
        if first & 0x70 or opcode not in _OPCODES:
            _malformed(f"a frame that starts with {first:#04x}")
        if second < 0x80:
            _malformed("a frame without a mask")
        if opcode >= Opcode.CLOSE:
            if not is_whole or size > _MAX_CONTROL_FRAME:
                _malformed(f"a control frame of {size} bytes{'' if is_whole else ', in fragments'}")
            return
        if (opcode == Opcode.CONT) != (self._opcode is not None):
            _malformed("a fragment of no message" if self._opcode is None else "a message inside another")
        if size + len(self._fragments) > self._max_bytes:
            text = f"a message of {size + len(self._fragments)} bytes, the limit is {self._max_bytes}"
            raise LinkViolation(text, close_code=CloseCode.TOO_LARGE, reason="too_large")

    def _other(self, opcode: int, payload: bytes, *, is_whole: bool) -> Message:
        if opcode == Opcode.CLOSE:
            try:
                Close.parse(payload[:2])  # the code; its reason is the device's
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
    """The code of a close frame, None when it has none."""
    return int.from_bytes(payload[:2], "big") or None


def encode_whole(opcode: int, payload: bytes) -> bytes:
    """A message of at most 65,535 bytes in one frame, without a mask: a server has none."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    return bytes((0x80 | opcode, 126, size >> 8, size & 0xFF)) + payload


def encode_close(code: int | None, reason: str = "") -> bytes:
    """`reason` is cut to what a control frame carries, between characters."""
    if code is None:
        return encode_whole(Opcode.CLOSE, b"")
    text = reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore").encode()
    return encode_whole(Opcode.CLOSE, code.to_bytes(2, "big") + text)


def _malformed(text: str) -> NoReturn:
    raise LinkViolation(text, close_code=CloseCode.MALFORMED)


_MAX_CONTROL_FRAME: Final = 125
_BINARY: Final = int(Opcode.BINARY)  # an enum's comparison costs ten times an int's, and this is every message
_WHOLE_BINARY: Final = 0x80 | _BINARY
_OPCODES: Final = frozenset(map(int, Opcode))
