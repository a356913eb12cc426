"""A network between the browser and the host whose connections are lost as a sleeping phone's are. Holds no test."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


class Gateway:
    """Passes bytes on. After `forget` the host sees its connections end; the browser hears nothing until it sends."""

    def __init__(self, url: str) -> None:
        self._host = (str(urlsplit(url).hostname), int(urlsplit(url).port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._forgotten: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Until the end of the block."""
        self._start(self._accept)
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._threads[0].join()
            for browser, host in self._pairs:
                for end in (browser, host):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            for thread in self._threads[1:]:
                thread.join()
            for end in (self._listener, *(end for pair in self._pairs for end in pair)):
                end.close()

    def forget(self) -> None:
        """Lose all connections of now; later ones are passed on."""
        for browser, host in self._pairs:
            self._forgotten.add(browser)
            with suppress(OSError):
                host.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                browser, _ = self._listener.accept()
                host = socket.create_connection(self._host)
                self._pairs.append((browser, host))
                self._start(self._to_host, browser, host)
                self._start(self._to_browser, browser, host)

    def _start(self, work: object, *ends: socket.socket) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=ends, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _to_host(self, browser: socket.socket, host: socket.socket) -> None:
        with suppress(OSError):
            while data := browser.recv(1 << 16):
                if browser in self._forgotten:
                    browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    browser.close()
                    return
                host.sendall(data)
            host.shutdown(socket.SHUT_WR)

    def _to_browser(self, browser: socket.socket, host: socket.socket) -> None:
        with suppress(OSError):
            while data := host.recv(1 << 16):
                browser.sendall(data)
            if browser not in self._forgotten:
                browser.shutdown(socket.SHUT_WR)
