"""HTTP at the other end of a program's connection: a server that answers it, and a client of its own server. No IO."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import h11
from msgspec import Struct

from microclaw.virtual.network.connection import Connection
from microclaw.wire.canned_lines import HttpAnswer, PageRequest
from microclaw.wire.program_answer import answer_fault

MAX_HEAD_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 262_144
MAX_KEPT_BYTES: Final = 8_192
"""Of a body, for the record of the traffic."""
_OF_ITSELF: Final = ("content-length", "transfer-encoding", "connection")
"""Headers that follow from the body."""


class HttpRequest(Struct, frozen=True):
    """A whole request of a program; `body` is its beginning."""

    method: str
    target: str
    body: bytes


class HttpServer:
    """The server's end of one connection: `on_request` gets the request, and `reply` answers it. Then it closes."""

    def __init__(self, connection: Connection, on_request: Callable[[HttpServer, HttpRequest], None]) -> None:
        self._connection = connection
        self._on_request = on_request
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._body_bytes = 0
        self._is_read = False

    def receive(self, data: bytes) -> int:
        if self._is_read:
            return len(data)
        try:
            self._protocol.receive_data(data)
            for event in _events(self._protocol):
                self._handle(event)
        except h11.RemoteProtocolError as exc:
            self._refuse(exc.error_status_hint)
        return len(data)

    def closed(self) -> None:
        pass

    def reply(self, answer: HttpAnswer) -> None:
        """Send the answer, and close the connection."""
        has_body = answer.status not in (204, 304) and self._head is not None and self._head.method != b"HEAD"
        body = answer.text.encode()
        head = h11.Response(status_code=answer.status, headers=_answer_headers(answer, body))
        self._send(head)
        if has_body:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        self._connection.finish()

    def break_off(self) -> None:
        """Break the connection off without an answer."""
        self._connection.reset()

    def _handle(self, event: h11.Event) -> None:
        if self._is_read:
            return
        if isinstance(event, h11.Request):
            self._head = event
        elif isinstance(event, h11.Data):
            self._body_bytes += len(event.data)
            self._body += event.data[: MAX_KEPT_BYTES - len(self._body)]
            if self._body_bytes > MAX_BODY_BYTES:
                self._refuse(413)
        elif isinstance(event, h11.EndOfMessage) and self._head is not None:
            self._is_read = True
            method = self._head.method.decode("latin-1")
            target = self._head.target.decode("latin-1")
            self._on_request(self, HttpRequest(method, target, bytes(self._body)))

    def _refuse(self, status: int) -> None:
        """Answer what is no request, as far as there may be an answer."""
        self._is_read = True
        if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(h11.Response(status_code=status, headers=[("Content-Length", "0"), ("Connection", "close")]))
            self._send(h11.EndOfMessage())
        self._connection.finish()

    def _send(self, event: h11.Event) -> None:
        data = self._protocol.send(event)
        if data:
            self._connection.put(data)


class PageAnswer(Struct, frozen=True):
    """What a program's own server answered; `status` None: no whole HTTP. `body` is its beginning, or says why."""

    status: int | None
    body: bytes


class PageClient:
    """A client of a program's own server. `request_bytes` go to the program; `on_answer` gets its answer, once."""

    def __init__(self, request: PageRequest, on_answer: Callable[[PageAnswer], None]) -> None:
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.request_bytes = self._encode(request)
        self._on_answer = on_answer
        self._status: int | None = None
        self._body = bytearray()
        self._first = bytearray()
        self._is_over = False

    def receive(self, data: bytes) -> int:
        self._first += data[: MAX_KEPT_BYTES - len(self._first)]
        if not self._is_over:
            self._read(data)
        return len(data)

    def receive_all(self, data: bytes) -> None:
        """Take the whole answer at once."""
        self.receive(data)
        self.closed()

    def closed(self) -> None:
        if not self._is_over:
            self._read(b"")
        self._fail()

    def _encode(self, request: PageRequest) -> bytes:
        body = request.text.encode()
        headers = [("Host", "board"), ("User-Agent", "microclaw-trial"), ("Connection", "close")]
        if body:
            headers.append(("Content-Length", str(len(body))))
            headers += _type_header(request.headers, request.text)
        headers += request.headers
        head = h11.Request(method=request.method, target=request.path, headers=headers)
        data = self._protocol.send(head) or b""
        if body:
            data += self._protocol.send(h11.Data(data=body)) or b""
        return data + (self._protocol.send(h11.EndOfMessage()) or b"")

    def _read(self, data: bytes) -> None:
        try:
            self._protocol.receive_data(data)
            for event in _events(self._protocol):
                if isinstance(event, h11.Response):
                    self._status = event.status_code
                elif isinstance(event, h11.Data):
                    self._body += event.data[: MAX_KEPT_BYTES - len(self._body)]
                elif isinstance(event, h11.EndOfMessage):
                    self._end(PageAnswer(self._status, bytes(self._body)))
        except h11.RemoteProtocolError:
            self._fail()

    def _fail(self) -> None:
        reason = answer_fault(bytes(self._first), has_head=self._status is not None)
        self._end(PageAnswer(None, f"no whole HTTP: {reason}".encode()))

    def _end(self, answer: PageAnswer) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_answer(answer)


def _events(protocol: h11.Connection) -> Iterator[h11.Event]:
    """Yield what has come whole. Raises RemoteProtocolError for what is no HTTP."""
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return
        assert isinstance(event, h11.Event)
        yield event
        if isinstance(event, h11.ConnectionClosed | h11.EndOfMessage):
            return


def _answer_headers(answer: HttpAnswer, body: bytes) -> list[tuple[str, str]]:
    headers = [(name, value) for name, value in answer.headers if name.lower() not in _OF_ITSELF]
    headers += _type_header(answer.headers, answer.text)
    if answer.status not in (204, 304):
        headers.append(("Content-Length", str(len(body))))
    headers.append(("Connection", "close"))
    return headers


def _type_header(headers: Sequence[tuple[str, str]], text: str) -> list[tuple[str, str]]:
    """Return the header of the text's type, if the line has none: JSON, HTML, a form or plain text, by its looks."""
    if any(name.lower() == "content-type" for name, _ in headers) or not text:
        return []
    kind = "text/plain"
    if text[0] in "{[":
        kind = "application/json"
    elif text[0] == "<":
        kind = "text/html"
    elif "=" in text and " " not in text:
        kind = "application/x-www-form-urlencoded"
    return [("Content-Type", kind)]
