"""The client's end of the control socket, against hosts that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.errors import NoHost, ProtocolError

Serve = Callable[[bytes], Client]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return (HEAD % len(body)).replace(b"200 OK", status) + body


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A host that reads one request, sends these bytes and hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> Client:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()

        def work() -> None:
            connection, _ = listener.accept()
            with connection:
                request = b""
                while not request.endswith(b"\r\n\r\n" if request.startswith(b"GET") else b"}"):
                    request += connection.recv(65536)
                connection.sendall(answer)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return Client(tmp_path / "sock", timeout_s=5)

    yield start
    for thread in threads:
        thread.join(10)
    listener.close()


def test_no_socket_means_no_host(tmp_path: Path) -> None:
    with pytest.raises(NoHost) as caught:
        Client(tmp_path / "nothing").get("/v1/status")
    assert caught.value.next_step == "microclaw up"


def test_socket_that_a_dead_host_left_means_no_host(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "sock"))
    with pytest.raises(NoHost):
        Client(tmp_path / "sock").get("/v1/status")


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"])
def test_host_that_goes_away_in_its_answer_is_said(serve: Serve, answer: bytes) -> None:
    with pytest.raises(NoHost, match="went away"):
        serve(answer).get("/v1/status")


@pytest.mark.parametrize("body", [b"not json", b"[1]", b"null"])
def test_answer_that_is_no_object_is_refused(serve: Serve, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        serve(reply(body)).get("/v1/status")


def test_error_keeps_the_hosts_code_and_exit_code(serve: Serve) -> None:
    body = b'{"error":{"code":"device_unreachable","message":"no","next":"power it","exit_code":4}}'
    with pytest.raises(HostError) as caught:
        serve(reply(body, b"502 Bad Gateway")).get("/v1/status")
    assert (caught.value.failure.code, caught.value.failure.exit_code) == ("device_unreachable", 4)
    assert (caught.value.code, caught.value.message, caught.value.next) == ("device_unreachable", "no", "power it")


def test_stream_that_is_torn_is_said(serve: Serve) -> None:
    answer = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"type":"keepalive"}\n{"type":"st'
    with pytest.raises(NoHost, match="went away"):
        list(serve(answer).stream("/v1/chat", {}))


STREAM = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
STEP = b'{"type":"step","stage":"check","text":"","state":"done","detail":[],"took_ms":null,"next":null}\n'


@pytest.mark.parametrize("rest", [b"", b'{"type":"result","resu'])
def test_an_act_whose_stream_is_cut_has_no_result(serve: Serve, rest: bytes) -> None:
    """It is not known what came of it, so that is no success."""
    seen: list[object] = []
    with pytest.raises(NoHost, match="went away"):
        serve(STREAM + STEP + rest).fleet.diff([], [], watch=seen.append)
    assert len(seen) == 1


def test_an_act_that_ends_as_a_chat_is_refused(serve: Serve) -> None:
    answer = b'{"type":"answer","text":"","actions":[],"evidence":[],"usage":{"input_tokens":0,"output_tokens":0,'
    with pytest.raises(ProtocolError):
        serve(STREAM + answer + b'"cost_usd":0},"error":null,"next":null}\n').fleet.diff([], [])


def test_list_that_is_not_in_the_answer_is_said(serve: Serve) -> None:
    with pytest.raises(ProtocolError, match="no list of devices") as caught:
        serve(reply(b'{"boards":[]}')).devices.list()
    assert caught.value.next


def test_stream_with_a_foreign_line_is_refused(serve: Serve) -> None:
    answer = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"type":"dance"}\n'
    with pytest.raises(ProtocolError):
        list(serve(answer).stream("/v1/chat", {}))
