"""The control socket: reads the board, drives what is wired to it, cuts its power. machine.py answers the requests.

It belongs to the test bench, not to the board: it answers while the board has no power. Each connection has a thread.
"""

from __future__ import annotations

import contextlib
import logging
import socket

from microclaw.errors import MicroclawError
from microclaw.virtual.link_client.socket_close import hang_up
from microclaw.virtual.machine import VirtualMachine
from microclaw.virtual.ports.sockets import SEND_TIMEOUT_S, ClientServer, read_some, whole_lines
from microclaw.wire import board_control as wire
from microclaw.wire.jsonline import LineDecoder

MAX_CONNECTIONS = 8
TOO_LONG = wire.encode_failure(
    wire.Failure(0, "line_too_long", f"a line has at most {wire.MAX_LINE_BYTES} bytes", "send shorter lines")
)

_log = logging.getLogger(__name__)


class ControlServer(ClientServer):
    def __init__(self, listener: socket.socket, machine: VirtualMachine) -> None:
        super().__init__(listener, "control", MAX_CONNECTIONS)
        self._machine = machine

    def refuse(self, client: socket.socket) -> None:
        text = f"at most {MAX_CONNECTIONS} connections at a time"
        with contextlib.suppress(OSError):
            client.settimeout(SEND_TIMEOUT_S)
            client.sendall(wire.encode_failure(wire.Failure(0, "too_many_connections", text, None)))
        hang_up(client)

    def talk(self, client: socket.socket) -> None:
        decoder = LineDecoder(wire.MAX_LINE_BYTES)
        while data := read_some(client):
            for line in whole_lines(decoder, data):
                client.sendall(TOO_LONG if line is None else self._answer(line))

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
            text = f"{request.op} failed inside the virtual board"
            return wire.encode_failure(wire.Failure(request_id, "internal_error", text, "see its log"))
