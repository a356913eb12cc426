"""The sockets of a virtual board, as its MicroPython programs use them: what answers from expectations, or a real one.

Every method returns at once. A name, an address or a handle that is wrong raises OSError with the number that a chip
has (newlib's): ENOENT negative for an unknown name, ECONNREFUSED, EHOSTUNREACH, EADDRINUSE, EBADF.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

READABLE: Final = 1
"""There are bytes, the end, or a connection to accept. These are the numbers of the module select on chips."""
WRITABLE: Final = 4
GONE: Final = 16
MAX_SOCKETS: Final = 64
"""Connections and listeners of all programs of a board: the firmware allows each of them four."""


class BoardNetwork(Protocol):
    """TCP of a board; a handle is a positive number that is never used again.

    Whoever got None, or False from `is_open`, asks again after `on_change`, not before.
    """

    on_change: Callable[[int], None]
    """Called with a handle of which there may be news: it is open or refused, bytes or the end have come, a connection
    waits at a listener, there is room again; with 0 if a look-up has ended. From any thread; it does not block, and
    does not call the network. The interpreter of the board's programs sets it at each start."""

    def look_up(self, host: str) -> str | None:
        """Return the IPv4 address of a name or an address, as text; None while it is looked up."""

    def connect(self, host: str, port: int) -> int:
        """Begin to connect and return the handle. `host` is the name that was looked up, or an address.

        127.0.0.1 is the board: the connection arrives at its own listener.
        """

    def is_open(self, handle: int) -> bool:
        """Return True once the peer has accepted; OSError if it refused."""

    def events(self, handle: int) -> int:
        """Return what can be done at once, of READABLE and WRITABLE, with GONE if the peer refused or broke off."""

    def listen(self, port: int) -> int:
        """Open a port and return the listener's handle."""

    def accept(self, handle: int) -> int | None:
        """Return the handle of the next connection of a listener, or None."""

    def send(self, handle: int, data: bytes) -> int | None:
        """Send bytes; return how many were taken, or None if there is no room yet."""

    def receive(self, handle: int, most: int) -> bytes | None:
        """Return at most `most` bytes, b"" after the peer has closed, or None if nothing has come yet."""

    def close(self, handle: int) -> None:
        """Close a connection or a listener; nothing happens for a handle that is closed already."""

    def power_cut(self) -> None:
        """Close everything at once: the chip has no power, or starts again."""
