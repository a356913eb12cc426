"""A virtual board's control socket for a command line: one request, one reply, blocking. Starts no board."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self, TypeVar

from microclaw.errors import DeviceTimeout, DeviceUnreachable, ProtocolError
from microclaw.wire import board_control as control
from microclaw.wire import board_replies as replies

R = TypeVar("R")

ANSWER_TIMEOUT_S = 5.0


class BoardControl:
    """`with BoardControl(path) as board: board.ask(control.Info())`"""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        try:
            self._socket.connect(str(path))
        except OSError as exc:
            self._socket.close()
            raise DeviceUnreachable(f"no virtual board at {path}: {exc.strerror or exc}") from exc
        self._received = b""
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: control.Request[R]) -> R:
        """The reply; CallRejected carries the board's reason."""
        self._last_id += 1
        try:
            self._socket.sendall(control.encode_request(self._last_id, request))
            while True:
                answer = control.decode_server_line(self._line())
                if answer.id == self._last_id:
                    return control.read_reply(request, answer)
        except TimeoutError as exc:
            raise DeviceTimeout(f"the virtual board did not answer {request.op}") from exc
        except OSError as exc:
            raise DeviceUnreachable(f"the virtual board is gone: {exc.strerror or exc}") from exc

    def edges(self, cursor: int) -> replies.EdgePage:
        """Every edge since `cursor`, all pages in one."""
        rows: list[replies.EdgeRow] = []
        dropped = 0
        while True:
            page = self.ask(control.Edges(since=cursor))
            rows += page.edges
            dropped += page.dropped
            cursor = page.next
            if not page.more:
                return replies.EdgePage(tuple(rows), cursor, dropped, page.now_ms)

    def _line(self) -> bytes:
        while b"\n" not in self._received:
            if len(self._received) > control.MAX_LINE_BYTES:
                raise ProtocolError(f"the virtual board sent a line over {control.MAX_LINE_BYTES} bytes")
            piece = self._socket.recv(65536)
            if not piece:
                raise DeviceUnreachable("the virtual board closed its control socket")
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        return line
