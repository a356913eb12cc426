"""Live events over connections that break: what is asked for again, and when the client gives up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.api.people_host import people_host

from microclaw.client import Client, LiveEvent, NoHost
from microclaw.errors import ProtocolError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 2000\n\n"
FIRST = b'id: a1-1\nevent: alarm\ndata: {"text":"one"}\n\n'
SECOND = b'id: a1-2\nevent: alarm\ndata: {"text":"two"}\n\n'
WITHIN_S = 120.0


class Server:
    """Answers one connection after the other with these bytes, keeps what was asked, and then listens no more."""

    def __init__(self, path: Path, answers: Sequence[bytes]) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, args=(answers,))
        self._thread.start()

    def _serve(self, answers: Sequence[bytes]) -> None:
        with self._listener:
            for answer in answers:
                connection, _ = self._listener.accept()
                with connection:
                    request = b""
                    while not request.endswith(b"\r\n\r\n"):
                        request += connection.recv(65536)
                    self.asked.append(request)
                    connection.sendall(answer)

    def join(self) -> None:
        self._thread.join(60)


Serve = Callable[..., tuple[Client, Server]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers: list[Server] = []

    def start(*answers: bytes) -> tuple[Client, Server]:
        servers.append(Server(tmp_path / "sock", answers))
        return Client(tmp_path / "sock", timeout_s=30), servers[-1]

    yield start
    for server in servers:
        server.join()


def test_a_broken_stream_goes_on_after_the_last_event(serve: Serve) -> None:
    client, server = serve(HEAD + FIRST, HEAD + SECOND[:20], HEAD + SECOND)
    with client.live.events(["alarm"]) as events:
        told = iter(events)
        assert next(told) == LiveEvent("alarm", {"text": "one"}, "a1-1")
        assert next(told) == LiveEvent("alarm", {"text": "two"}, "a1-2")
    server.join()
    assert b"Last-Event-ID" not in server.asked[0]
    assert b"GET /v1/events?kind=alarm " in server.asked[0]
    assert all(b"Last-Event-ID: a1-1\r\n" in request for request in server.asked[1:])


def test_a_host_that_stays_away_is_said(serve: Serve) -> None:
    client, _ = serve(HEAD + FIRST)
    events = iter(client.live.events(reconnect_s=0.0))
    assert next(events).data == {"text": "one"}
    with pytest.raises(NoHost):
        next(events)


def test_a_host_that_is_not_there_at_first_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(NoHost):
        next(iter(Client(tmp_path / "nothing").live.events()))


@pytest.mark.parametrize("data", [b"not json", b"[1]", b"[" * 200_000])
def test_an_event_that_is_no_object_is_refused(serve: Serve, data: bytes) -> None:
    client, _ = serve(HEAD + b"event: alarm\ndata: " + data + b"\n\n")
    with pytest.raises(ProtocolError):
        next(iter(client.live.events()))


def test_the_clients_end_closes_its_streams(serve: Serve) -> None:
    client, _ = serve(HEAD + FIRST)
    with client:
        events = client.live.events()
        assert next(iter(events)).kind == "alarm"
    assert events.closed
    assert list(events) == []


async def test_a_host_that_stops_ends_the_stream_and_then_every_call(tmp_path: Path) -> None:
    begun = threading.Event()

    def read(client: Client) -> None:
        for event in client.live.events(edges=["virtual-1"], reconnect_s=0.0):
            if event.kind == "edges":
                begun.set()

    async with people_host(tmp_path / "home") as host:
        client = host.client
        reading = asyncio.create_task(asyncio.to_thread(read, client), name="reads events")
        assert await asyncio.to_thread(begun.wait, WITHIN_S)
    with pytest.raises(NoHost):
        await asyncio.wait_for(reading, WITHIN_S)
    with pytest.raises(NoHost) as caught:
        await asyncio.to_thread(client.get, "/v1/status")
    assert caught.value.code == "no_host"
