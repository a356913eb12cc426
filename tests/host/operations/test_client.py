"""Both clients against hosts that misbehave: connections that break, foreign answers, live events, questions."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import NoHost, ProtocolError
from microclaw.events import ApprovalAsked
from microclaw.host.operations import client as clients
from microclaw.host.operations.client import AsyncClient, Client
from microclaw.host.operations.connection import HostError, ReceivedEvent
from microclaw.programs.changes import fleet_operations
from microclaw.wire.host_api import MAX_LINE_BYTES

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
DEEP = b"[" * 200_000 + b"]" * 200_000
STEERING = "\x1b]0;owned\x07\x1b[2Jhi\u202e"
FILE_OF_2000 = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"a" * 2000
ALARM = b'id: a1-%d\nevent: alarm\ndata: {"number":%d}\n\n'


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return (HEAD % len(body)).replace(b"200 OK", status) + body


class Server:
    """Answers each request with what `answer` gives for it, then hangs up, and keeps what was asked."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes | None]) -> None:
        self.asked: list[bytes] = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self._listener:
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # a client that has enough leaves
            request = b""
            while not request.endswith(b"\r\n\r\n" if request.startswith(b"GET") else b"}"):
                part = connection.recv(65536)
                if not part:
                    return
                request += part
            self.asked.append(request)
            answer = self._answer(request)
            if answer is None:
                connection.recv(1)  # held until the client leaves
            else:
                connection.sendall(answer)


class Form:
    """One of the two clients: `do` calls a method, `take` so many of the values that it gives one by one."""

    def __init__(self, path: Path, is_async: bool) -> None:
        self.path = path
        self.is_async = is_async

    def _client(self, options: dict[str, Any]) -> Any:
        made = AsyncClient if self.is_async else Client
        return made(self.path, **{"timeout_s": 60.0, **options})

    def serve(self, *answers: bytes) -> Server:
        left = iter(answers)
        return Server(self.path, lambda _: next(left, b""))

    def do(self, call: str, /, *given: Any, options: dict[str, Any] | None = None, **named: Any) -> Any:
        work = getattr(self._client(options or {}), call)

        async def done() -> Any:
            return await work(*given, **named)

        if self.is_async:
            return asyncio.run(done())
        return work(*given, **named)

    def take(self, count: int, call: str, /, *given: Any, **named: Any) -> list[Any]:
        values = getattr(self._client({}), call)(*given, **named)

        async def taken() -> list[Any]:
            found: list[Any] = []
            async with aclosing(values):
                while len(found) < count and (value := await anext(values, None)) is not None:
                    found.append(value)
            return found

        if self.is_async:
            return asyncio.run(taken())
        return list(islice(values, count))

    def get(self) -> Any:
        return self.do("get", "/v1/status")


@pytest.fixture(params=[False, True], ids=["blocking", "async"])
def form(request: pytest.FixtureRequest, tmp_path: Path) -> Form:
    return Form(tmp_path / "sock", request.param)


def test_no_socket_and_one_that_a_dead_host_left_mean_no_host(form: Form) -> None:
    with pytest.raises(NoHost):
        form.get()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(form.path))
    with pytest.raises(NoHost):
        form.get()
    with pytest.raises(NoHost):
        form.take(1, "events")


CUT = (
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
)
FOREIGN = (
    b"garbage\r\n\r\n",
    *map(reply, (b"not json", b"[1]", b"null", DEEP, b'{"a":' + DEEP + b"}")),
    *(reply(body, b"500 X") for body in (DEEP, b'{"error":' + DEEP + b"}", b"<html>")),
)


def test_a_host_that_goes_away_is_silent_or_foreign_is_told_apart(form: Form) -> None:
    form.serve(*CUT, *FOREIGN)
    for answers, error in ((CUT, NoHost), (FOREIGN, ProtocolError)):
        for _ in answers:
            with pytest.raises(error):
                form.get()
    form.path.unlink()
    Server(form.path, lambda _: None)
    with pytest.raises(NoHost):
        form.do("get", "/v1/status", options={"timeout_s": 0.05})


def test_an_error_keeps_the_hosts_code_and_its_texts_steer_no_terminal(form: Form) -> None:
    found = {"text": STEERING, "line": 3, "file": None, "more": [{STEERING: [STEERING]}], "deep": [[[[[[[[[1]]]]]]]]]}
    texts = {"code": STEERING, "message": f"{STEERING}\nthere", "next": STEERING}
    body = json.dumps({"error": {**texts, "diagnostics": [found], "exit_code": 4}}).encode()
    form.serve(reply(body, b"502 X"), reply(body.replace(b"4}", b"0}"), b"502 X"))
    with pytest.raises(HostError) as caught:
        form.get()
    error = caught.value
    assert (error.code, error.message, error.next, error.status, error.exit_code) == ("hi", "hi\nthere", "hi", 502, 4)
    (told,) = error.failure.diagnostics
    assert "[[[None]]]" in str(told.pop("deep"))
    assert told == {"text": "hi", "line": 3, "file": None, "more": [{"hi": ["hi"]}]}
    with pytest.raises(HostError) as caught:
        form.get()
    assert caught.value.exit_code == 1  # what failed does not end as a success


def test_a_streams_error_steers_no_terminal_and_a_line_has_a_limit(form: Form) -> None:
    line = json.dumps({"type": "error", "error": {"code": "x", "message": STEERING}}).encode() + b"\n"
    form.serve(STREAM + line, STREAM + b"a" * (MAX_LINE_BYTES + 1), STREAM + line[:-5], STREAM)
    with pytest.raises(HostError) as caught:
        form.do("call", fleet_operations.diff, programs=[], devices=[])
    assert caught.value.message == "hi"
    for expected in (ProtocolError, NoHost, NoHost):
        with pytest.raises(expected):
            form.do("call", fleet_operations.diff, programs=[], devices=[])


def test_a_sentence_is_kept_when_the_host_ends_before_its_answer(form: Form) -> None:
    form.serve(STREAM)
    with pytest.raises(NoHost, match="it has kept your message"):
        form.do("say", "hello")


def test_a_file_is_taken_up_to_its_limit(form: Form) -> None:
    form.serve(FILE_OF_2000, FILE_OF_2000)
    assert b"".join(form.take(9, "download", "/x", method="GET", most_bytes=2000)) == b"a" * 2000
    with pytest.raises(HostError) as caught:
        form.take(9, "download", "/x", method="GET", most_bytes=1999)
    assert caught.value.code == "too_large"


def test_a_broken_stream_of_events_goes_on_after_the_last_one(form: Form) -> None:
    start = STREAM + b"retry: 2000\n\n"
    server = form.serve(start + ALARM % (1, 1), start + (ALARM % (2, 2))[:20], start + ALARM % (2, 2))
    told = form.take(2, "events", ["alarm"])
    assert told == [ReceivedEvent("alarm", {"number": number}, f"a1-{number}") for number in (1, 2)]
    assert b"GET /v1/events?kind=alarm " in server.asked[0]
    assert [re.findall(rb"Last-Event-ID: (\S+)", asked) for asked in server.asked] == [[], [b"a1-1"], [b"a1-1"]]


def test_a_host_that_stays_away_is_said_and_an_event_that_is_no_object_refused(form: Form) -> None:
    wrong = (b"not json", b"[1]", b"[" * 200_000)
    form.serve(STREAM + ALARM % (1, 1), *(STREAM + b"event: alarm\ndata: " + data + b"\n\n" for data in wrong))
    with pytest.raises(ProtocolError):
        form.take(2, "events", reconnect_s=0.0)
    for _ in wrong[1:]:
        with pytest.raises(ProtocolError):
            form.take(1, "events")
    form.path.unlink()
    with pytest.raises(NoHost):
        form.take(1, "events", reconnect_s=0.0)


class Waiting:
    """A host whose call waits for a yes."""

    def __init__(self, path: Path) -> None:
        self.number = ""
        self.decided: list[bool] = []
        self._end = threading.Event()
        self.server = Server(path, self._answer)

    def _answer(self, request: bytes) -> bytes:
        if request.startswith(b"GET /v1/approvals "):
            if self.decided:  # the act goes on, and nothing is asked any more
                self._end.set()
                return reply(b'{"approvals":[]}')
            row = {"approval_id": "a-1", "action": "forget it", "detail": [], "expires_s": 60.0, "request": self.number}
            other = {**row, "approval_id": "a-2", "request": "another's"}
            return reply(json.dumps({"approvals": [other, row]}).encode())
        if request.startswith(b"POST /v1/approvals/a-1 "):
            self.decided.append(json.loads(request.partition(b"\r\n\r\n")[2])["approved"])
            return reply(b"{}")
        self.number = re.findall(rb"(?i)Microclaw-Request: (\w+)", request)[0].decode()
        self._end.wait(30)
        return reply(b'{"done":true}')


@pytest.fixture
def quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "LOOK_S", 0.01)


@pytest.mark.usefixtures("quick_look")
def test_a_calls_own_question_is_asked_once_and_the_call_goes_on_however_long_the_answer_took(
    form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Waiting(form.path)
    asked = []
    late_s = [0.0]
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + late_s[0])

    def ask(client: Any, question: ApprovalAsked) -> Any:
        asked.append((question.approval_id, question.text))
        late_s[0] = 120.0
        return client.decide(question.approval_id, approved=True)

    assert form.do("post", "/v1/x", {}, options={"ask": ask, "timeout_s": 60.0}) == {"done": True}
    assert (asked, host.decided) == ([("a-1", "forget it")], [True])


@pytest.mark.usefixtures("quick_look")
def test_who_breaks_off_takes_the_question_back(form: Form) -> None:
    host = Waiting(form.path)

    def ask(_client: Any, _question: ApprovalAsked) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        form.do("post", "/v1/x", {}, options={"ask": ask})
    assert host.decided == [False]


@pytest.mark.usefixtures("quick_look")
def test_a_call_that_nothing_holds_up_must_answer_in_time(form: Form) -> None:
    nothing = reply(b'{"approvals":[]}')
    Server(form.path, lambda request: nothing if request.startswith(b"GET") else None)
    with pytest.raises(NoHost):
        form.do("post", "/v1/x", {}, options={"ask": print, "timeout_s": 0.3})
