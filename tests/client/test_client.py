"""The client's end of the control socket, against hosts that misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from microclaw.apps import fleet_operations
from microclaw.client import Client
from microclaw.client.request import MAX_FILE_BYTES, HostError
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
    with pytest.raises(NoHost):
        Client(tmp_path / "nothing").get("/v1/status")


def test_socket_that_a_dead_host_left_means_no_host(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "sock"))
    with pytest.raises(NoHost):
        Client(tmp_path / "sock").get("/v1/status")


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"])
def test_host_that_goes_away_in_its_answer_is_said(serve: Serve, answer: bytes) -> None:
    with pytest.raises(NoHost):
        serve(answer).get("/v1/status")


DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize("body", [b"not json", b"[1]", b"null", DEEP, b'{"a":' + DEEP + b"}"])
def test_answer_that_is_no_object_is_refused(serve: Serve, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        serve(reply(body)).get("/v1/status")


def test_error_keeps_the_hosts_code_and_exit_code(serve: Serve) -> None:
    body = b'{"error":{"code":"device_unreachable","message":"no","next":"power it","exit_code":4}}'
    with pytest.raises(HostError) as caught:
        serve(reply(body, b"502 Bad Gateway")).get("/v1/status")
    assert (caught.value.failure.code, caught.value.failure.exit_code) == ("device_unreachable", 4)
    assert (caught.value.code, caught.value.message, caught.value.next) == ("device_unreachable", "no", "power it")


@pytest.mark.parametrize("body", [DEEP, b'{"error":' + DEEP + b"}"])
def test_error_that_is_nested_without_end_is_refused(serve: Serve, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        serve(reply(body, b"500 X")).get("/v1/status")


STEERING = "\x1b]0;owned\x07\x1b[2Jhi\u202e"


def test_texts_of_an_error_steer_no_terminal(serve: Serve) -> None:
    found = {"text": STEERING, "line": 3, "file": None, "more": [{STEERING: [STEERING]}]}
    texts = {"code": STEERING, "message": f"{STEERING}\nthere", "next": STEERING}
    body = json.dumps({"error": {**texts, "diagnostics": [found], "exit_code": 0}}).encode()
    with pytest.raises(HostError) as caught:
        serve(reply(body, b"400 X")).get("/v1/status")
    error = caught.value
    assert (error.code, error.message, str(error), error.next) == ("hi", "hi\nthere", "hi\nthere", "hi")
    assert (error.failure.message, error.failure.next_step) == ("hi\nthere", "hi")
    assert error.failure.diagnostics == ({"text": "hi", "line": 3, "file": None, "more": [{"hi": ["hi"]}]},)
    assert error.exit_code == error.failure.exit_code == 1  # what failed does not end as a success


def test_a_streams_error_steers_no_terminal(serve: Serve) -> None:
    line = json.dumps({"type": "error", "error": {"code": "x", "message": STEERING}}).encode() + b"\n"
    with pytest.raises(HostError) as caught:
        serve(STREAM + line).call(fleet_operations.diff, programs=[], devices=[])
    assert caught.value.message == "hi"


def test_diagnostics_that_are_nested_deep_are_cut(serve: Serve) -> None:
    body = b'{"error":{"code":"x","message":"no","diagnostics":[{"text":"t","more":%s}]}}' % (b"[" * 400 + b"]" * 400)
    with pytest.raises(HostError) as caught:
        serve(reply(body, b"400 X")).get("/v1/status")
    assert "[[[[None]]]]" in str(caught.value.failure.diagnostics)


FILE_OF_2000 = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"a" * 2000


def file_of(client: Client, most_bytes: int = MAX_FILE_BYTES) -> bytes:
    return b"".join(client.download("/v1/tasks/1/files/x", method="GET", most_bytes=most_bytes))


def test_a_file_is_taken_up_to_its_limit(serve: Serve) -> None:
    assert file_of(serve(FILE_OF_2000), 2000) == b"a" * 2000


def test_a_file_over_its_limit_is_refused(serve: Serve) -> None:
    with pytest.raises(HostError) as caught:
        file_of(serve(FILE_OF_2000), 1999)
    assert caught.value.code == "too_large"
    assert caught.value.next


def test_a_length_over_the_limit_is_refused_before_anything_is_read(serve: Serve) -> None:
    client = serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nabc" % (17 << 30))
    with pytest.raises(HostError) as caught:
        file_of(client)
    assert caught.value.code == "too_large"


def test_a_file_that_ends_before_its_length_is_no_file(serve: Serve) -> None:
    with pytest.raises(NoHost):
        file_of(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"))


def test_stream_that_is_torn_is_said(serve: Serve) -> None:
    answer = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"type":"keepalive"}\n{"type":"st'
    with pytest.raises(NoHost):
        list(serve(answer).stream("/v1/chat", {}))


STREAM = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
STEP = b'{"type":"step","stage":"check","text":"","state":"done","detail":[],"took_ms":null,"next":null}\n'


@pytest.mark.parametrize("rest", [b"", b'{"type":"result","resu'])
def test_an_act_whose_stream_is_cut_has_no_result(serve: Serve, rest: bytes) -> None:
    """It is not known what came of it, so that is no success."""
    seen: list[object] = []
    with pytest.raises(NoHost):
        serve(STREAM + STEP + rest).watching(seen.append).call(fleet_operations.diff, programs=[], devices=[])
    assert len(seen) == 1


def test_an_act_that_ends_as_a_chat_is_refused(serve: Serve) -> None:
    answer = b'{"type":"answer","text":"","actions":[],"evidence":[],"usage":{"input_tokens":0,"output_tokens":0,'
    with pytest.raises(ProtocolError):
        serve(STREAM + answer + b'"cost_usd":0},"error":null,"next":null}\n').call(
            fleet_operations.diff, programs=[], devices=[]
        )


@pytest.mark.parametrize("line", [b'{"type":"dance"}', b'{"type":"result","result":' + DEEP + b"}"])
def test_stream_with_a_foreign_line_is_refused(serve: Serve, line: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(serve(STREAM + line + b"\n").stream("/v1/chat", {}))
