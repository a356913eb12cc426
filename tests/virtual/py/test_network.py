"""Sockets of `py` programs on the virtual board, against real servers and clients of this test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.virtual.py.conftest import PyBench

from microclaw.virtual.clock import Clock
from microclaw.virtual.link.pages import ProgramPages
from microclaw.virtual.network.real import RealNetwork
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.link.values import Value

SERVER = "198.51.100.7"
"""Of the addresses for documents (RFC 5737): here it is a server of the test."""


class Lan(RealNetwork):
    """A network in which `server.example` is a port of this test: programs cannot reach this computer's loopback."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(say)
        self.names = {"server.example": SERVER}

    def look_up(self, host: str) -> str | None:
        return self.names.get(host) or super().look_up(host)

    def connect(self, host: str, port: int) -> int:
        if host == SERVER:
            return self._begin(("127.0.0.1", port))
        return super().connect(host, port)


@pytest.fixture
def bench(tmp_path: Path, cache: Path) -> Iterator[PyBench]:
    made = PyBench(tmp_path, Clock(), cache=cache)
    made.board.network = Lan(made.board.print_line)
    yield made
    made.machine.close()


def served(answer: bytes) -> tuple[int, list[bytes]]:
    """A server that answers once; its port, and what it got."""
    listener = socket.create_server(("127.0.0.1", 0))
    got: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            got.append(connection.recv(4096))
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1], got


def test_a_client_gets_its_answer(bench: PyBench) -> None:
    port, got = served(b"HTTP/1.0 200 OK\r\n\r\nhello")
    bench.install(
        "client",
        f"""
async def main(E):
    socket = E.module("socket")
    s = socket.socket()
    place = (await E.aw(socket.getaddrinfo("server.example", {port})))[0][-1]
    await E.aw(s.connect(place))
    await E.aw(s.send(b"GET / HTTP/1.0\\r\\n\\r\\n"))
    print = E.print
    print(await E.aw(s.readline()))
    print(await E.aw(s.read()))
    s.close()
""",
        hosts=["server.example"],
    )
    assert bench.wait_for(lambda: len(bench.lines("client")) == 2)
    assert bench.lines("client") == ["b'HTTP/1.0 200 OK\\r\\n'", "b'\\r\\nhello'"]
    assert got == [b"GET / HTTP/1.0\r\n\r\n"]


SERVER_PROGRAM = """
async def main(E):
    socket = E.module("socket")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", 80))
    listener.listen(5)
    while True:
        await E.y()
        client, address = await E.aw(listener.accept())
        request = await E.aw(client.recv(1024))
        await E.aw(client.send("HTTP/1.0 200 OK\\r\\n\\r\\n"))
        await E.aw(client.sendall(request))
        client.close()
"""


def ask(port: int, request: bytes) -> bytes:
    """Return the whole answer of a server of the board."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_server_answers(bench: PyBench) -> None:
    bench.install("server", SERVER_PROGRAM, ports=[80])
    network = bench.board.network
    assert isinstance(network, Lan)
    assert bench.wait_for(lambda: 80 in network.ports)
    for path in (b"/a", b"/b", b"/c"):
        request = b"GET " + path + b" HTTP/1.0\r\n\r\n"
        assert ask(network.ports[80], request) == b"HTTP/1.0 200 OK\r\n\r\n" + request


def test_the_host_asks_a_server_through_the_firmware(bench: PyBench) -> None:
    bench.install("server", SERVER_PROGRAM, ports=[80])
    network = bench.board.network
    assert isinstance(network, Lan)
    assert bench.wait_for(lambda: 80 in network.ports)
    pages = ProgramPages(bench.runners)
    request = b"GET /a HTTP/1.1\r\nX: " + b"x" * 700 + b"\r\n\r\n"
    for number in (1, 2):
        answer = b""
        more: object = True
        while more:
            params: dict[str, Value] = {"name": "server", "number": number, "cursor": len(answer), "request": request}
            piece = cast("dict[str, Any]", pages.read(params))
            answer += piece["answer"]
            more = piece["more"]
        # The program reads its request once, as it is in this test.
        assert answer.startswith(b"HTTP/1.0 200 OK\r\n\r\nGET /a HTTP/1.1")
    with pytest.raises(CallRefused) as caught:
        pages.read({"name": "nobody", "number": 3, "request": request})
    assert caught.value.code == "app_not_found"
