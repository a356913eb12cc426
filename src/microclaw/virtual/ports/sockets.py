"""Listening sockets of the virtual board, and clients that may be slow, silent or gone. Knows no protocol."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from microclaw.errors import ConfigError

SEND_TIMEOUT_S = 5.0
READ_BYTES = 16_384


def listen_tcp(host: str, port: int, option: str, *, backlog: int = 5) -> socket.socket:
    """A listening socket; ConfigError when the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except (OSError, OverflowError) as exc:
        listener.close()
        if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is taken", next_step=f"choose another with {option} PORT, or {option} 0 for any"
            ) from exc
        raise ConfigError(f"cannot listen on {host}:{port}: {exc}", next_step=f"check --host and {option}") from exc
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A listening unix socket with mode 0600; a dead one in its place is replaced, a live one refused."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            _remove_dead(path)
        old_mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(old_mask)
        listener.listen(64)  # a unix socket refuses at once when this is full
    except OSError as exc:
        listener.close()
        raise ConfigError(
            f"cannot listen on {path}: {exc.strerror or exc}", next_step="choose another path with --control PATH"
        ) from exc
    return listener


def accept_clients(listener: socket.socket) -> Iterator[socket.socket]:
    """Each client that connects, until the listener is closed."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        yield client


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def read_some(connection: socket.socket) -> bytes:
    """The next bytes, b"" at the end of the connection, however it ended. Waits as long as it takes."""
    while True:
        try:
            return connection.recv(READ_BYTES)
        except TimeoutError:
            continue
        except OSError:
            return b""


def _remove_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
        else:
            raise ConfigError(
                f"another virtual board listens on {path}", next_step="choose another path with --control PATH"
            )
