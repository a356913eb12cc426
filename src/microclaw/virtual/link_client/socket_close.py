"""Closes a socket that another thread may be reading. Boards without a link import it too, so it imports little."""

from __future__ import annotations

import contextlib
import socket
import struct


def reset_connection(connection: socket.socket) -> None:
    """Close a socket with RST, as if the device lost its power, so that the other end notices at once."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    hang_up(connection)


def hang_up(connection: socket.socket) -> None:
    """Close a socket, and wake a thread that reads from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
