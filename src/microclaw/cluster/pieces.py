"""Messages that are larger than NATS takes (1 MiB), as several: an image goes to another host, a record of edges comes.

Each piece begins with its place and the number of pieces. NATS keeps the order of what one host sends to one subject:
a piece out of order means that one was lost, and the message with it.
"""

from __future__ import annotations

import struct
from typing import Final

from microclaw.errors import ProtocolError

# The largest image that any firmware takes has 4 MiB (wasm/inspect.py); 256 pages of 256 edges have 2.5 MB.
MAX_MESSAGE: Final = 6 << 20
PIECE: Final = 512 << 10
_HEAD: Final = struct.Struct("!BHH")
_FORM: Final = 1  # of this file; another microclaw's may be another


def cut(message: bytes) -> list[bytes]:
    """The pieces of a message of at most MAX_MESSAGE."""
    if len(message) > MAX_MESSAGE:
        raise ProtocolError(f"a message of {len(message)} bytes to another host, {MAX_MESSAGE} is the limit")
    parts = [message[at : at + PIECE] for at in range(0, len(message), PIECE)] or [b""]
    return [_HEAD.pack(_FORM, place, len(parts)) + part for place, part in enumerate(parts)]


class Pieces:
    """The pieces of one message, as they come."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, piece: bytes) -> bytes | None:
        """The message, when this was the last piece. ProtocolError for what is no next piece of it."""
        if len(piece) < _HEAD.size:
            raise ProtocolError(f"a piece of {len(piece)} bytes, {_HEAD.size} is the least")
        form, place, count = _HEAD.unpack_from(piece)
        if form != _FORM:
            raise ProtocolError(f"a message of the form {form}, this host knows {_FORM}: it has another version")
        if place != len(self._parts) or not place < count <= MAX_MESSAGE // PIECE + 1:
            raise ProtocolError(f"piece {place} of {count} after {len(self._parts)} of them")
        self.size += len(piece) - _HEAD.size
        if self.size > MAX_MESSAGE:
            raise ProtocolError(f"a message of more than {MAX_MESSAGE} bytes")
        self._parts.append(piece[_HEAD.size :])
        return b"".join(self._parts) if len(self._parts) == count else None
