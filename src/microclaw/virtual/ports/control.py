"""The control socket: reads the board, drives what is wired to it, cuts its power. machine.py answers the requests.

It belongs to the test bench, not to the board: it answers while the board has no power. Each connection has a thread.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

from microclaw.errors import MicroclawError, ProtocolError
from microclaw.link_client.hanging_up import hang_up
from microclaw.virtual.machine import Machine
from microclaw.virtual.ports.sockets import SEND_TIMEOUT_S, accept_clients, read_some
from microclaw.wire import board_control as wire
from microclaw.wire.jsonline import LineDecoder

MAX_CONNECTIONS = 8

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


class _Connection:
    def __init__(self, client: socket.socket, machine: Machine, forget: Callable[[_Connection], None]) -> None:
        self._client = client
        self._machine = machine
        self._forget = forget

    def start(self) -> None:
        threading.Thread(target=self._run, name="control-connection", daemon=True).start()

    def close(self) -> None:
        hang_up(self._client)

    def refuse(self, error: str, message: str, next_step: str | None = None) -> None:
        try:
            self._client.sendall(wire.encode_failure(wire.Failure(0, error, message, next_step)))
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
            hang_up(self._client)
            self._forget(self)

    def _answer_lines(self, decoder: LineDecoder) -> None:
        while True:
            try:
                line = decoder.next_line()
            except ProtocolError as exc:
                failure = wire.Failure(0, "line_too_long", exc.message, "send shorter lines")
                self._client.sendall(wire.encode_failure(failure))
                continue
            if line is None:
                return
            self._client.sendall(self._answer(line))

    def _answer(self, line: bytes) -> bytes:
        try:
            request_id, request = wire.decode_request(line)
        except wire.RequestRefused as exc:
            return wire.encode_failure(exc.failure)
        try:
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
