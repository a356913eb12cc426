"""The control socket: watches the board, drives what is wired to it, cuts its power. machine.py answers the requests.

It belongs to the test bench, not to the board: it answers while the board has no power. Each connection has a thread.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable

from microclaw.errors import MicroclawError, ProtocolError
from microclaw.link_client.hanging_up import hang_up
from microclaw.virtual.history import EdgeRecord, LogRecord
from microclaw.virtual.machine import Machine
from microclaw.virtual.ports.sockets import SEND_TIMEOUT_S, accept_clients, read_some
from microclaw.wire import board_control as wire
from microclaw.wire import board_replies as replies
from microclaw.wire.jsonline import LineDecoder

MAX_CONNECTIONS = 8
MAX_PUSHED = 1_024

_log = logging.getLogger(__name__)


class ControlServer:
    def __init__(self, listener: socket.socket, machine: Machine) -> None:
        self._listener = listener
        self._machine = machine
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()

    def start(self) -> None:
        threading.Thread(target=self._serve, name="control-port", daemon=True).start()

    def close(self) -> None:
        hang_up(self._listener)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def _serve(self) -> None:
        for client in accept_clients(self._listener):
            client.settimeout(SEND_TIMEOUT_S)
            connection = _Connection(client, self._machine, self._forget)
            with self._lock:
                full = len(self._connections) >= MAX_CONNECTIONS
                if not full:
                    self._connections.add(connection)
            if full:
                connection.refuse("too_many_connections", f"at most {MAX_CONNECTIONS} connections at a time")
            else:
                connection.start()

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class Watcher:
    """Lines that wait to be pushed to one connection. If it reads too slowly, the oldest are dropped and counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[replies.Pushed] = deque()
        self._dropped = 0
        self._closed = False
        self.edges = False
        self.log = False

    def on_edge(self, number: int, record: EdgeRecord) -> None:
        if self.edges:
            self._push(replies.EdgePushed(record.t_ms, record.pin, record.level, number))

    def on_log(self, number: int, record: LogRecord) -> None:
        if self.log:
            self._push(replies.LogPushed(record.t_ms, record.app, record.text, number))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self) -> list[replies.Pushed] | None:
        """Wait for lines and return them all; None after `close`."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            taken: list[replies.Pushed] = [replies.StreamDropped(self._dropped)] if self._dropped else []
            taken += self._waiting
            self._waiting.clear()
            self._dropped = 0
            return taken

    def _push(self, pushed: replies.Pushed) -> None:
        with self._changed:
            if len(self._waiting) >= MAX_PUSHED:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(pushed)
            self._changed.notify()


class _Connection:
    def __init__(self, client: socket.socket, machine: Machine, forget: Callable[[_Connection], None]) -> None:
        self._client = client
        self._machine = machine
        self._forget = forget
        self._sending = threading.Lock()
        self._watcher: Watcher | None = None
        self._unwatch: Callable[[], None] | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="control-connection", daemon=True).start()

    def close(self) -> None:
        hang_up(self._client)

    def refuse(self, error: str, message: str, next_step: str | None = None) -> None:
        try:
            self._send(wire.encode_failure(wire.Failure(0, error, message, next_step)))
        except OSError:
            _log.debug("a control connection went away before it could be refused")
        hang_up(self._client)

    def _run(self) -> None:
        decoder = LineDecoder(wire.MAX_LINE_BYTES)
        try:
            while data := read_some(self._client):
                decoder.receive(data)
                self._answer_lines(decoder)
        except OSError:
            _log.debug("a control connection went away while it was being answered")
        finally:
            if self._watcher is not None and self._unwatch is not None:
                self._unwatch()
                self._watcher.close()
            hang_up(self._client)
            self._forget(self)

    def _answer_lines(self, decoder: LineDecoder) -> None:
        while True:
            try:
                line = decoder.next_line()
            except ProtocolError as exc:
                failure = wire.Failure(0, "line_too_long", exc.message, "send shorter lines")
                self._send(wire.encode_failure(failure))
                continue
            if line is None:
                return
            self._send(self._answer(line))

    def _answer(self, line: bytes) -> bytes:
        try:
            request_id, request = wire.decode_request(line)
        except wire.RequestRefused as exc:
            return wire.encode_failure(exc.failure)
        try:
            if isinstance(request, wire.Watch):
                self._watch(request)
            return wire.encode_reply(request_id, self._machine.perform(request))
        except MicroclawError as exc:
            return wire.encode_failure(wire.Failure(request_id, exc.code, exc.message, exc.next_step))
        except Exception:
            # A request that the board cannot perform must not take the bench down with it.
            _log.exception("control request %s failed", request.op)
            return wire.encode_failure(
                wire.Failure(
                    request_id, "internal_error", f"{request.op} failed inside the virtual board", "see its log"
                )
            )

    def _watch(self, request: wire.Watch) -> None:
        if self._watcher is None:
            self._watcher = Watcher()
            self._unwatch = self._machine.board.observe(self._watcher)
            threading.Thread(target=self._push_on, args=(self._watcher,), name="control-watch", daemon=True).start()
        self._watcher.edges, self._watcher.log = request.edges, request.log

    def _push_on(self, watcher: Watcher) -> None:
        try:
            while (pushed := watcher.take()) is not None:
                self._send(b"".join(map(wire.encode_pushed, pushed)))
        except OSError:
            hang_up(self._client)

    def _send(self, data: bytes) -> None:
        with self._sending:
            self._client.sendall(data)
