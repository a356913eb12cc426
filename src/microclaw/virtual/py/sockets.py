"""`net_*`: the sockets of the interpreter's programs, over the board's network, and news of them. Knows no permission.

The firmware holds the permission (firmware/fw/net.py).
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from microclaw.virtual.network.board_network import MAX_SOCKETS, BoardNetwork
from microclaw.virtual.py.chip import Driver, DriverError, Json

EIO: Final = 5
EACCES: Final = 13
ENFILE: Final = 23
LOOK_UPS: Final = 0
"""In place of a handle: a name's address is known."""


class Sockets:
    """The sockets of one run of the interpreter. `post` queues an event for it, from any thread."""

    def __init__(self, network: BoardNetwork, post: Callable[[list[Json]], None]) -> None:
        self._network = network
        self._post = post
        self._lock = threading.Lock()
        self._handles: set[int] = {LOOK_UPS}
        self._posted: set[int] = set()
        network.on_change = self._on_change

    def drivers(self) -> Mapping[str, Driver]:
        """Return the calls by their names."""
        calls: dict[str, Driver] = {
            "net_look_up": self._look_up,
            "net_connect": lambda host, port: self._keep(self._network.connect(host, port)),
            "net_is_open": lambda handle: self._network.is_open(self._rearm(handle)),
            "net_events": lambda handle: self._network.events(handle),
            "net_listen": lambda port: self._keep(self._network.listen(port)),
            "net_accept": self._accept,
            "net_send": lambda handle, data: self._network.send(self._rearm(handle), data),
            "net_receive": self._receive,
            "net_close": self._close,
        }
        return {name: partial(_raising, call) for name, call in calls.items()}

    def close(self) -> None:
        """Close all: the interpreter is gone."""
        for handle in self._handles - {LOOK_UPS}:
            self._network.close(handle)
        self._handles.clear()

    def _on_change(self, handle: int) -> None:
        """Tell the interpreter, once until it asks again. From any thread."""
        with self._lock:
            is_news = handle in self._handles and handle not in self._posted
            self._posted.add(handle)
        if is_news:
            self._post(["net", 0, handle])

    def _rearm(self, handle: int) -> int:
        """Return the handle, of which there may be news from now on."""
        with self._lock:
            self._posted.discard(handle)
        return handle

    def _look_up(self, host: str) -> Json:
        self._rearm(LOOK_UPS)
        return self._network.look_up(host)

    def _keep(self, handle: int) -> int:
        if len(self._handles) > MAX_SOCKETS:
            self._network.close(handle)
            raise DriverError("OSError", ENFILE)
        with self._lock:
            self._handles.add(handle)
            self._posted.discard(handle)
        return handle

    def _accept(self, handle: int) -> Json:
        other = self._network.accept(self._rearm(handle))
        if other is None:
            return None
        return self._keep(other)

    def _receive(self, handle: int, most: int) -> Json:
        data = self._network.receive(self._rearm(handle), most)
        if data is None:
            return None
        return b64encode(data).decode()

    def _close(self, handle: int) -> None:
        with self._lock:
            self._handles.discard(handle)
            self._posted.discard(handle)
        self._network.close(handle)


def _raising(call: Driver, *arguments: Json | bytes) -> Json:
    """Call, with the network's errors as the program gets them."""
    try:
        return call(*arguments)
    except OSError as exc:
        if exc.errno == EACCES:
            # A rule of this computer's: nothing but its text says what to do.
            raise DriverError("OSError", EACCES, str(exc.strerror)) from exc
        raise DriverError("OSError", exc.errno or EIO) from exc
