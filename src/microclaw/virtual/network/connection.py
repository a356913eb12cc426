"""One end of a TCP connection of a program's in a canned network, and who is at the other end. No IO, no lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

MAX_WAITING_BYTES: Final = 65_536
"""Of what a program has not read. A chip's own buffers are smaller; who sends more to it waits, or gives up."""


class Peer(Protocol):
    """The other end of a connection."""

    def receive(self, data: bytes) -> int:
        """Take bytes that the program sends; return how many: 0 if there is no room yet."""

    def closed(self) -> None:
        """Note that the program closed its end."""


class Connection:
    """A program's end: what has come for it. The peer calls `put`, `finish` and `reset`, the network the rest.

    `on_change` is called if something has come, the end too, or the peer has room again.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.peer: Peer | None = None
        self.is_reset = False
        self._waiting = bytearray()
        self._is_finished = False

    @property
    def room(self) -> int:
        """How many bytes the peer may still send."""
        return MAX_WAITING_BYTES - len(self._waiting)

    @property
    def is_readable(self) -> bool:
        return bool(self._waiting) or self._is_finished

    def put(self, data: bytes) -> None:
        """Let bytes arrive. A program that reads too little of what comes loses its connection."""
        if self._is_finished or not data:
            return
        if len(data) > self.room:
            self.reset()
        else:
            self._waiting += data
            self.on_change()

    def finish(self) -> None:
        """Send nothing more: the program reads the rest, then the end."""
        self._is_finished = True
        self.on_change()

    def reset(self) -> None:
        """Break the connection off."""
        self._waiting.clear()
        self.is_reset = True
        self.finish()

    def take(self, most: int) -> bytes | None:
        """Return what has come, b"" at the end, None if nothing has come yet."""
        if not self._waiting:
            return b"" if self._is_finished else None
        data = bytes(self._waiting[:most])
        del self._waiting[:most]
        return data


class PipePeer:
    """The other end of a connection between two programs of one board: `other`, which may read or send more."""

    def __init__(self, other: Connection) -> None:
        self._other = other

    def receive(self, data: bytes) -> int:
        piece = data[: self._other.room]
        self._other.put(piece)
        return len(piece)

    def closed(self) -> None:
        self._other.finish()

    def note_room(self) -> None:
        """Note that the program read something, so that the other may send again."""
        self._other.on_change()
