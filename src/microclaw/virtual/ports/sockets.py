"""Listening sockets of the virtual board, and clients that may be slow, silent or gone. Knows no protocol."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from microclaw.errors import ConfigError, ProtocolError
from microclaw.virtual.link_client.socket_close import hang_up
from microclaw.wire.jsonline import LineDecoder

SEND_TIMEOUT_S = 5.0
READ_BYTES = 16_384


def listen_tcp(port: int, option: str) -> socket.socket:
    """Open a listening socket on loopback, as its clients prove nothing. Raises ConfigError if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(5)
    except OSError as exc:
        listener.close()
        text = f"cannot listen on port {port}: {exc.strerror}"
        raise ConfigError(text, next_step=f"choose another with {option} PORT, or {option} 0 for any") from exc
    return listener


def listen_unix(path: Path) -> socket.socket:
    """Open a listening unix socket with mode 0600; a dead one in its place is replaced, a live one refused."""
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
        text = f"cannot listen on {path}: {exc.strerror or exc}"
        raise ConfigError(text, next_step="choose another path with --control PATH") from exc
    return listener


class ClientServer(ABC):
    """Serves clients of `listener`, each on a thread of its own, at most `most` at a time. `end` drops one.

    With `rest_s` one after the other, with a rest of so long between two.
    """

    rest_s: float | None = None

    def __init__(
        self, listener: socket.socket, name: str, most: int, end: Callable[[socket.socket], None] = hang_up
    ) -> None:
        self._listener = listener
        self._name = name
        self._most = most
        self._end = end
        self._lock = threading.Lock()
        self.clients: set[socket.socket] = set()
        self.is_open: Callable[[], bool] = lambda: True

    @abstractmethod
    def talk(self, client: socket.socket) -> None:
        """Serve one client until it is gone; it may raise OSError then."""

    def refuse(self, client: socket.socket) -> None:
        """Send one too many away."""
        self._end(client)

    def start(self) -> None:
        threading.Thread(target=self._serve, name=f"{self._name}-port", daemon=True).start()

    def close(self) -> None:
        hang_up(self._listener)
        self.power_cut()

    def power_on(self) -> None:  # noqa: B027
        """Note that the board boots; clients may come as before."""

    def power_cut(self) -> None:
        """Drop every client."""
        with self._lock:
            clients = self.clients
            self.clients = set()
        for client in clients:
            self._end(client)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            with self._lock:
                is_welcome = self.is_open() and len(self.clients) < self._most
                if is_welcome:
                    self.clients.add(client)
            if not is_welcome:
                self.refuse(client)
                continue
            thread = threading.Thread(target=self._run, args=(client,), name=f"{self._name}-connection", daemon=True)
            thread.start()
            if self.rest_s is not None:
                thread.join()
                time.sleep(self.rest_s)

    def _run(self, client: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):  # the other end went away, or the power did
                client.settimeout(SEND_TIMEOUT_S)
                self.talk(client)
        finally:
            hang_up(client)
            with self._lock:
                self.clients.discard(client)


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def whole_lines(decoder: LineDecoder, data: bytes) -> Iterator[bytes | None]:
    """Each line that ends in `data`; None for one that is too long."""
    decoder.receive(data)
    while True:
        try:
            line = decoder.next_line()
        except ProtocolError:
            yield None
            continue
        if line is None:
            return
        yield line


def read_some(connection: socket.socket) -> bytes:
    """Read the next bytes, b"" at the end of the connection, however it ended. Waits without a limit."""
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
            text = f"another virtual board listens on {path}"
            raise ConfigError(text, next_step="choose another path with --control PATH")
