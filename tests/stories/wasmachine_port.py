"""The application manager's TCP port, byte by byte, from docs/protocols/wasmachine.md alone."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

REQUEST, RESPONSE, INSTALL = 2, 3, 4
GET, PUT, DELETE = 1, 3, 4
CREATED, DELETED, CONTENT, ERROR = 65, 66, 69, 160
ATTRIBUTES, RAW = 99, 98


@dataclass
class Port:
    """One connection to a board."""

    socket: socket.socket
    numbers: Iterator[int] = field(default_factory=lambda: count(0x1001))

    def frame(self, kind: int, action: int, url: str, body: bytes = b"", form: int = ATTRIBUTES) -> tuple[bytes, int]:
        """A request's bytes and its number."""
        mid = next(self.numbers)
        name = url.encode() + b"\0"
        payload = struct.pack(">BBHIIHI", 1, action, form, mid, 0, len(name), len(body)) + name + body
        return struct.pack(">HHI", 0x1234, kind, len(payload)) + payload, mid

    def answer(self, mid: int) -> tuple[int, bytes]:
        """The status and body of the answer with that number."""
        while True:
            mark, kind, length = struct.unpack(">HHI", self.exactly(8))
            payload = self.exactly(length)
            assert mark == 0x1234
            if kind != RESPONSE:
                continue
            _, status, _, number, _, size = struct.unpack(">BBHIII", payload[:16])
            if number == mid:
                assert len(payload) == 16 + size
                return status, payload[16:]

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self.socket.recv(size - len(found))
            assert more, "the board closed the connection"
            found += more
        return found

    def ask(self, kind: int, action: int, url: str, body: bytes = b"", form: int = ATTRIBUTES) -> tuple[int, bytes]:
        frame, mid = self.frame(kind, action, url, body, form)
        self.socket.sendall(frame)
        return self.answer(mid)

    def install(self, name: str, wasm: bytes) -> tuple[int, bytes]:
        url = f"/applet?name={name}&type=wasm&heap=8192&timers=4&wd=60000"
        return self.ask(INSTALL, PUT, url, wasm, RAW)

    def uninstall(self, name: str) -> tuple[int, bytes]:
        return self.ask(REQUEST, DELETE, f"/applet?name={name}")

    def names(self) -> list[str]:
        """The applets that a query tells, read off the container's keys."""
        status, body = self.ask(REQUEST, GET, "/applet")
        assert status == CONTENT
        found, at = [], body.find(b"applet1\0")
        while at >= 0:
            at = body.index(b"\0", at) + 2  # the type byte, then a 16-bit length with the NUL
            length = int.from_bytes(body[at : at + 2], "little")
            found.append(body[at + 2 : at + 1 + length].decode())
            at = body.find(f"applet{len(found) + 1}\0".encode(), at)
        return found


@contextmanager
def dialled(address: str) -> Iterator[Port]:
    """A connection to `wasmachine://HOST:PORT`."""
    host, _, port = address.removeprefix("wasmachine://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as found:
        yield Port(found)
