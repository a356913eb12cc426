"""Sockets of `py` programs on the virtual board, against real servers and clients of this test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from tests.firmware.programs import BLINK
from tests.virtual.py.conftest import PyBench

from microclaw.virtual.clock import Clock
from microclaw.virtual.link.pages import ProgramPages
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.network.connection import Connection, Peer
from microclaw.virtual.network.real import RealNetwork
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.canned_lines import HttpAnswer, PageRequest
from microclaw.wire.link.values import Value

SERVER = "198.51.100.7"
"""Of the addresses for documents (RFC 5737): here it is a server of the test."""


class Lan(RealNetwork):
    """A network in which `server.example` is a port of this test: programs cannot reach this computer's loopback."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(say, ())
        self.names = {"server.example": SERVER, "second.example": SERVER}
        self.asked: set[str] = set()

    def look_up(self, host: str) -> str | None:
        """Answer for a name of the test at the second asking, with news in between."""
        if host in self.names and host not in self.asked:
            self.asked.add(host)
            threading.Thread(target=lambda: self.on_change(0)).start()
            return None
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


def test_each_look_up_has_its_news(bench: PyBench) -> None:
    bench.install(
        "names",
        """
async def main(E):
    socket = E.module("socket")
    for name in ("server.example", "second.example"):
        E.print((await E.aw(socket.getaddrinfo(name, 80)))[0][-1][0])
""",
        hosts=["server.example", "second.example"],
    )
    assert bench.wait_for(lambda: len(bench.lines("names")) == 2)
    assert bench.lines("names") == [SERVER, SERVER]


REBOUND = """
async def main(E):
    socket = E.module("socket")
    while True:
        try:
            s = socket.socket()
            await E.aw(s.connect(("server.example", PORT)))
            E.print(await E.aw(s.read()))
        except OSError as exc:
            E.print(exc.args[-1])
            break
        s.close()
"""


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("192.168.1.7", "a name of the internet must not lead to a private address"),
        ("127.0.0.1", "the board itself"),
    ],
)
def test_a_name_that_leads_into_the_house_the_second_time_is_refused_then(
    bench: PyBench, address: str, why: str
) -> None:
    network = bench.board.network
    assert isinstance(network, Lan)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        bench.install("client", REBOUND.replace("PORT", str(port)), hosts=["server.example"])
        connection, _ = listener.accept()
        network.names["server.example"] = address
        connection.close()
        assert bench.wait_for(lambda: len(bench.lines("client")) == 2)
    assert bench.lines("client") == ["b''", f"server.example ({address}): {why}"]


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


POLLING = """
async def main(E):
    socket = E.module("socket")
    select = E.module("select")
    poller = select.poll()
    listener = socket.socket()
    listener.bind(("", 80))
    listener.listen(5)
    poller.register(listener, select.POLLIN)
    E.print(await E.aw(poller.poll(0)))
    while True:
        await E.y()
        for sock, events in await E.aw(poller.poll(10_000)):
            if sock is listener:
                client = (await E.aw(listener.accept()))[0]
                E.print([events for _, events in await E.aw(poller.poll(0))])
                poller.register(client)
                poller.modify(client, select.POLLIN)
            else:
                request = await E.aw(sock.recv(1024))
                readers, writers, failing = await E.aw(select.select([], [sock], [], 5))
                E.print(readers, writers == [sock], failing)
                await E.aw(sock.send(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + request))
                poller.unregister(sock)
                sock.close()
"""
POLLED = ["[]", "[]", "[] True []"]


def test_a_server_waits_for_several_by_poll(bench: PyBench) -> None:
    bench.install("server", POLLING, ports=[80])
    network = bench.board.network
    assert isinstance(network, Lan)
    # It has looked at its listener once, before any client came.
    assert bench.wait_for(lambda: bool(bench.lines("server")))
    assert ask(network.ports[80], b"GET / HTTP/1.0\r\n\r\n") == b"HTTP/1.0 200 OK\r\n\r\nGET / HTTP/1.0\r\n\r\n"
    assert bench.lines("server") == POLLED


def test_a_server_in_a_trial_waits_for_several_by_poll(trial: PyBench) -> None:
    network = trial.board.network
    assert isinstance(network, CannedNetwork)
    network.add((PageRequest("GET", "/", 80, at_ms=30_000),))
    trial.install("server", POLLING, ports=[80])
    trial.clock.advance(40_000)
    assert trial.lines("server") == POLLED
    assert [row.status for row in network.traffic().records if row.kind == "answered"] == [200]


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


def test_fifty_clients_at_once_and_half_requests_are_borne_beside_a_blink(bench: PyBench) -> None:
    bench.install("blink", BLINK.replace("500", "20"))
    bench.install("server", SERVER_PROGRAM, ports=[80])
    network = bench.board.network
    assert isinstance(network, Lan)
    assert bench.wait_for(lambda: 80 in network.ports)
    port = network.ports[80]
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.shutdown(socket.SHUT_WR)
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: ask(port, b"hello"), range(50)))
    assert answers == [b"HTTP/1.0 200 OK\r\n\r\nhello"] * 50
    before = len(bench.edges(2))
    assert bench.wait_for(lambda: len(bench.edges(2)) > before + 2)
    assert bench.row("server")["state"] == "running"
    assert not bench.events


def test_what_a_stopped_program_or_a_power_cut_leaves_open_is_closed(bench: PyBench) -> None:
    network = bench.board.network
    assert isinstance(network, Lan)
    for is_cut in (False, True):
        bench.install("server", SERVER_PROGRAM, ports=[80])
        assert bench.wait_for(lambda: 80 in network.ports)
        with socket.create_connection(("127.0.0.1", network.ports[80]), timeout=30) as open_one:
            if is_cut:
                bench.board.power_cut()
            else:
                bench.programs.call("stop", {"name": "server"})
            # Reset: the program had not accepted it yet.
            with contextlib.suppress(ConnectionResetError):
                assert open_one.recv(1) == b""
        assert bench.wait_for(lambda: not network.ports)


SOCKET_HOG = """
async def main(E):
    socket = E.module("socket")
    kept = []
    while True:
        await E.y()
        kept.append(socket.socket())
        await E.aw(kept[-1].connect(("server.example", PORT)))
"""
ASKING = """
async def main(E):
    socket = E.module("socket")
    s = socket.socket()
    await E.aw(s.connect(("server.example", PORT)))
    await E.aw(s.send(b"GET /"))
    E.print(await E.aw(s.read()))
"""


def test_a_program_that_opens_sockets_in_a_loop_ends_and_another_still_has_its_own(bench: PyBench) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = listener.getsockname()[1]
        bench.install("hog", SOCKET_HOG.replace("PORT", str(port)), hosts=["server.example"])
        assert bench.wait_for(lambda: bool(bench.events))
        for _ in range(4):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(30)
                assert connection.recv(1) == b""
    name, data = bench.events[0]
    assert (name, data["app"]) == ("app.crash", "hog")
    assert "a program may have 4 sockets" in str(data["reason"])
    port, _ = served(b"hello")
    bench.install("other", ASKING.replace("PORT", str(port)), hosts=["server.example"])
    assert bench.wait_for(lambda: bench.lines("other") == ["b'hello'"])


@pytest.fixture
def trial(tmp_path: Path, cache: Path) -> Iterator[PyBench]:
    """A board on the virtual clock, whose network is canned."""
    made = PyBench(tmp_path, cache=cache)
    yield made
    made.machine.close()


def test_a_client_that_says_nothing_counts_as_gone_and_a_silent_server_as_timed_out(trial: PyBench) -> None:
    network = trial.board.network
    assert isinstance(network, CannedNetwork)
    network.add((HttpAnswer("GET", "api.example.org", kind="no answer"), PageRequest("GET", "/", 80, at_ms=30_000)))
    trial.install("blink", BLINK)
    trial.install("server", SERVER_PROGRAM.replace("request =", "E.print('asked')\n        request ="), ports=[80])
    trial.install(
        "client",
        """
async def main(E):
    socket = E.module("socket")
    errno = E.module("errno")
    s = socket.socket()
    await E.aw(s.connect(("api.example.org", 80)))
    await E.aw(s.send(b"GET / HTTP/1.0\\r\\n\\r\\n"))
    began = E.module("time").ticks_ms()
    try:
        await E.aw(s.recv(1))
    except OSError as exc:
        E.print(exc.errno == errno.ETIMEDOUT, round((E.module("time").ticks_ms() - began) / 1000))
""",
        hosts=["api.example.org"],
    )
    trial.clock.advance(1_000)
    half = network.connect("127.0.0.1", 80)
    trial.clock.advance(40_000)
    assert trial.lines("client") == ["True 10"]
    assert trial.lines("server") == ["asked", "asked"]
    assert network.receive(half, 100) == b"HTTP/1.0 200 OK\r\n\r\n"
    assert [row.status for row in network.traffic().records if row.kind == "answered"] == [200]
    edges = [at_ms for at_ms, _ in trial.edges(2)][1:]
    assert {round(after - before, 3) for before, after in pairwise(edges)} == {500.0}


class Drip:
    """The end of a server that answers whatever comes with one byte a second of board time, and never ends."""

    def __init__(self, clock: Clock, connection: Connection) -> None:
        self._clock = clock
        self._connection = connection

    def receive(self, data: bytes) -> int:
        self._later()
        return len(data)

    def closed(self) -> None:
        self._connection.finish()

    def _later(self) -> None:
        self._clock.call_at(self._clock.now_ms() + 1000, self._put)

    def _put(self) -> None:
        self._connection.put(b"x")
        self._later()


class DrippingNetwork(CannedNetwork):
    """A network in which every host drips."""

    def _peer(self, host: str, port: int, connection: Connection) -> Peer | None:
        return Drip(self._clock, connection)


def test_a_server_that_answers_one_byte_a_second_is_read_on_or_timed_out_beside_a_blink(trial: PyBench) -> None:
    network = DrippingNetwork(trial.board.clock)
    network.add((HttpAnswer("GET", "api.example.org"),))
    trial.board.network = network
    trial.install("blink", BLINK)
    trial.install(
        "client",
        """
async def main(E):
    socket = E.module("socket")
    ticks_ms = E.module("time").ticks_ms
    for seconds in (0.5, 2, None):
        s = socket.socket()
        s.settimeout(seconds)
        await E.aw(s.connect(("api.example.org", 80)))
        await E.aw(s.send(b"GET / HTTP/1.0"))
        began = ticks_ms()
        try:
            answer = await E.aw(s.read(30))
        except OSError as exc:
            answer = exc.errno == E.module("errno").ETIMEDOUT
        E.print(answer, round((ticks_ms() - began) / 500))
        s.close()
""",
        hosts=["api.example.org"],
    )
    trial.clock.advance(70_000)
    whole = f"b'{'x' * 30}' 60"
    assert trial.lines("client") == ["True 1", whole, whole]
    edges = [at_ms for at_ms, _ in trial.edges(2)][1:]
    assert {round(after - before, 3) for before, after in pairwise(edges)} == {500.0}
