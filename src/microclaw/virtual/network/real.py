"""The network of a virtual board with `--network`: sockets of this computer, which never wait. Knows no permission.

What the board's programs may reach is held by its firmware. A port that a program opens is opened on this computer's
loopback alone, under the same number if that is free.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import selectors
import socket
import threading
from collections.abc import Callable, Collection
from typing import Final

from microclaw.addresses import is_ipv4
from microclaw.virtual.network.board_network import READABLE, WRITABLE
from microclaw.virtual.network.reach import local_refusal

ITSELF: Final = "127.0.0.1"
"""The board, for its own firmware."""
BACKLOG: Final = 64
_UNKNOWN_NAME: Final = -2
_EBADF: Final = 9
_EACCES: Final = 13
_OF_CHIPS: Final = {
    errno.ECONNREFUSED: 111,
    errno.ECONNRESET: 104,
    errno.EPIPE: 104,
    errno.ETIMEDOUT: 116,
    errno.EHOSTUNREACH: 118,
    errno.ENETUNREACH: 118,
    errno.EADDRINUSE: 112,
    errno.ECONNABORTED: 113,
    errno.ENOTCONN: 128,
}
"""newlib's numbers, by those of this computer."""
_BUSY: Final = (errno.EAGAIN, errno.EINPROGRESS, errno.EINTR)


class RealNetwork:
    """`say` prints a line on the board's console; of this computer, programs reach only `local_ports`."""

    def __init__(self, say: Callable[[str], None], local_ports: Collection[int] = ()) -> None:
        self.on_change: Callable[[int], None] = lambda _handle: None
        self.ports: dict[int, int] = {}
        """The port of this computer by each open port of the board."""
        self._say = say
        self._local_ports = local_ports
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._sockets: dict[int, socket.socket] = {}
        self._listening: dict[int, int] = {}
        self._look_ups: dict[str, str | None] = {}
        """Addresses by name: None while one is looked up, "" if there is none."""
        self._watch = Watch(lambda handle: self.on_change(handle))

    def look_up(self, host: str) -> str | None:
        """Return the address, None while a thread looks it up; OSError if there is none."""
        if is_ipv4(host):
            return host
        with self._lock:
            is_new = host not in self._look_ups
            address = self._look_ups.setdefault(host, None)
            if address is not None:
                del self._look_ups[host]
        if is_new:
            threading.Thread(target=self._ask_name_server, args=(host,), name="board-names", daemon=True).start()
        if address == "":
            raise OSError(_UNKNOWN_NAME, f"no address is known of {host}")
        return address

    def connect(self, host: str, port: int) -> int:
        """Begin to connect to an address; 127.0.0.1 is the board's own listener."""
        if host != ITSELF:
            why = local_refusal(host, port, self._local_ports)
            if why is not None:
                self._say(why)
                raise OSError(_EACCES, why)
            return self._begin((host, port))
        if port not in self.ports:
            raise OSError(_OF_CHIPS[errno.ECONNREFUSED], "refused")
        return self._begin((ITSELF, self.ports[port]))

    def _begin(self, place: tuple[str, int]) -> int:
        connection = socket.socket()
        connection.settimeout(0)
        code = connection.connect_ex(place)
        if code and code not in _BUSY:
            connection.close()
            raise _chip_error(code)
        return self._keep(connection)

    def is_open(self, handle: int) -> bool:
        """Return True once it is connected. OSError if it was refused."""
        connection = self._socket(handle)
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise _chip_error(code)
        try:
            connection.getpeername()
        except OSError:
            self._watch.add(handle, connection, selectors.EVENT_WRITE)
            return False
        return True

    def events(self, handle: int) -> int:
        """Return what can be done at once; a connection that broke off can be read, which raises."""
        bits = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket(handle), selectors.EVENT_READ | selectors.EVENT_WRITE)
            for _, events in selector.select(0):
                if events & selectors.EVENT_READ:
                    bits |= READABLE
                if events & selectors.EVENT_WRITE:
                    bits |= WRITABLE
        return bits

    def listen(self, port: int) -> int:
        """Open a port on the loopback, under another number if this one is not free here."""
        if port in self.ports:
            raise OSError(_OF_CHIPS[errno.EADDRINUSE], f"port {port} is open already")
        try:
            listener = socket.create_server((ITSELF, port), backlog=BACKLOG)
        except OSError:
            listener = socket.create_server((ITSELF, 0), backlog=BACKLOG)
        listener.settimeout(0)
        handle = self._keep(listener)
        self._listening[handle] = port
        self.ports[port] = listener.getsockname()[1]
        self._say(f"port {port} of the board is {ITSELF}:{self.ports[port]} on this computer")
        return handle

    def accept(self, handle: int) -> int | None:
        """Return the next connection's handle, or None."""
        listener = self._socket(handle)
        try:
            connection, _ = listener.accept()
        except OSError as exc:
            self._watch_or_raise(exc, handle, selectors.EVENT_READ)
            return None
        connection.settimeout(0)
        return self._keep(connection)

    def send(self, handle: int, data: bytes) -> int | None:
        """Return how many bytes were taken, or None if there is no room."""
        try:
            return self._socket(handle).send(data)
        except OSError as exc:
            self._watch_or_raise(exc, handle, selectors.EVENT_WRITE)
            return None

    def receive(self, handle: int, most: int) -> bytes | None:
        """Return what has come, b"" at the end, None if nothing is here yet."""
        try:
            return self._socket(handle).recv(most)
        except OSError as exc:
            self._watch_or_raise(exc, handle, selectors.EVENT_READ)
            return None

    def close(self, handle: int) -> None:
        with self._lock:
            connection = self._sockets.pop(handle, None)
        self.ports.pop(self._listening.pop(handle, 0), None)
        if connection is not None:
            self._watch.remove(handle)
            connection.close()

    def power_cut(self) -> None:
        for handle in tuple(self._sockets):
            self.close(handle)

    def _keep(self, connection: socket.socket) -> int:
        with self._lock:
            handle = next(self._numbers)
            self._sockets[handle] = connection
        return handle

    def _socket(self, handle: int) -> socket.socket:
        connection = self._sockets.get(handle)
        if connection is None:
            raise OSError(_EBADF, "no such socket")
        return connection

    def _watch_or_raise(self, exc: OSError, handle: int, events: int) -> None:
        """Watch the socket if it only has to wait; raise the error as a chip has it else."""
        if exc.errno not in _BUSY:
            raise _chip_error(exc.errno or _EBADF) from exc
        self._watch.add(handle, self._socket(handle), events)

    def _ask_name_server(self, host: str) -> None:
        try:
            rows = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
            address = str(rows[0][4][0])
        except (OSError, UnicodeError):
            address = ""
        with self._lock:
            self._look_ups[host] = address
        self.on_change(0)


class Watch:
    """A thread that tells of a socket once, when what it was added for can be done."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._wanted: dict[int, tuple[socket.socket, int]] = {}
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None

    def add(self, handle: int, watched: socket.socket, events: int) -> None:
        """Tell of the socket once it can be read or written, beside what it is watched for already."""
        with self._lock:
            before = self._wanted.get(handle)
            if before is not None:
                events |= before[1]
            self._wanted[handle] = (watched, events)
            if self._thread is None:
                self._start()
            assert self._wake is not None
            # A byte that waits there already is enough.
            with contextlib.suppress(BlockingIOError):
                self._wake.send(b".")

    def remove(self, handle: int) -> None:
        """Forget a socket, before it is closed."""
        with self._lock:
            self._wanted.pop(handle, None)

    def _start(self) -> None:
        self._wake, woken = socket.socketpair()
        self._wake.settimeout(0)
        self._thread = threading.Thread(target=self._run, args=(woken,), name="board-network", daemon=True)
        self._thread.start()

    def _run(self, woken: socket.socket) -> None:
        while True:
            for handle in self._select(woken):
                with self._lock:
                    is_wanted = self._wanted.pop(handle, None) is not None
                if is_wanted:
                    self._tell(handle)

    def _select(self, woken: socket.socket) -> list[int]:
        """Wait for what is watched now, or for a change of it; return the handles that are ready."""
        with self._lock:
            wanted = dict(self._wanted)
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ, 0)
            for handle, (watched, events) in wanted.items():
                # One that was closed meanwhile has no number.
                with contextlib.suppress(ValueError, KeyError, OSError):
                    selector.register(watched, events, handle)
            handles = [key.data for key, _ in selector.select()]
        if 0 in handles:
            woken.recv(4096)
        return [handle for handle in handles if handle]


def _chip_error(code: int) -> OSError:
    return OSError(_OF_CHIPS.get(code, code), errno.errorcode.get(code, "error"))
