"""A board's port byte by byte, from docs/protocols/wasmachine.md alone: what the seed's own deployer does."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from tests.stories.conftest import Host, blink, blinking, door, until

from microclaw.programs.changes.device_calls import read_edges

REQUEST = 2
RESPONSE = 3
INSTALL = 4
GET = 1
PUT = 3
DELETE = 4
CREATED = 65
DELETED = 66
CONTENT = 69
ERROR = 160
ATTRIBUTES = 99
RAW = 98


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
        found = []
        at = body.find(b"applet1\0")
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


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    return str(next(one for one in host.facts["boards"][0]["transports"] if one.startswith("wasmachine:")))


@pytest.fixture
def port(address: str) -> Iterator[Port]:
    with dialled(address) as found:
        yield found


def module(host: Host, pin: int) -> bytes:
    """A module of the compile service."""
    made = door(host).post("/api/compile-wasm", {"source": blinking(pin), "name": "blink", "optimizationLevel": "O3"})
    return base64.b64decode(made.json["wasm"])


def edges(host: Host, pin: int) -> int:
    return sum(row[1] == pin for row in host.client.call(read_edges, device="virtual-1").edges)


def test_a_module_of_the_compile_service_runs_and_goes(host: Host, address: str) -> None:
    wasm = module(host, 2)
    with dialled(address) as port:
        assert port.names() == []
        assert port.install("raw", wasm)[0] == CREATED
        assert port.names() == ["raw"]
    until(lambda: edges(host, 2) >= 4)
    [seen] = host.client.get("/v1/apps")["apps"]
    assert (seen["name"], seen["foreign"]) == ("raw", True)
    with dialled(address) as port:
        assert port.uninstall("raw")[0] == DELETED
        assert port.names() == []
        assert port.uninstall("raw")[0] == ERROR


def test_what_is_no_module_is_refused_and_the_board_goes_on(host: Host, port: Port) -> None:
    assert port.install("bad", b"\0asm\1\0\0\0" + b"\xff" * 40)[0] == ERROR
    assert port.install("bad", b"not wasm at all, but some text")[0] == ERROR
    assert port.ask(2, 1, "/applet?name=nobody")[0] == ERROR
    assert port.names() == []


def test_the_second_of_a_name_is_refused(host: Host, port: Port) -> None:
    wasm = module(host, 4)
    assert port.install("twin", wasm)[0] == CREATED
    assert port.install("twin", wasm)[0] == ERROR
    assert port.names() == ["twin"]
    assert port.uninstall("twin")[0] == DELETED


def test_a_half_frame_outlives_its_connection(host: Host, address: str) -> None:
    """As the firmware has it: what is missing of a frame is waited for in the next connection."""
    wasm = module(host, 5)
    url = "/applet?name=halved&type=wasm&heap=8192&timers=4&wd=60000"
    with dialled(address) as port:
        frame, mid = port.frame(INSTALL, PUT, url, wasm, RAW)
        port.socket.sendall(frame[: len(frame) // 2])
    with dialled(address) as port:
        port.socket.sendall(frame[len(frame) // 2 :])
        assert port.answer(mid)[0] == CREATED
        assert port.names() == ["halved"]
        assert port.uninstall("halved")[0] == DELETED


def test_noise_before_a_frame_is_skipped(port: Port) -> None:
    port.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert port.ask(2, 1, "/applet")[0] == CONTENT


def test_another_clients_half_install_keeps_nobody_out(host: Host, address: str, tmp_path: Path) -> None:
    with dialled(address) as port:
        port.socket.sendall(port.frame(INSTALL, PUT, "/applet?name=half&type=wasm", bytes(5_000), RAW)[0][:700])
        listed = host.run("app", "list", "--json")
        assert (listed.code, listed.json["apps"]) == (0, [])
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
