"""The wire to a WASMachine board: a story cuts it, or holds a request on it, before or after the board has it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal

from tests.postgres import free_port

Kind = Literal["install", "remove", "other"]


def kind_of(frame: bytes) -> Kind:
    """By the frame's type and the request's action; docs/protocols/wasmachine.md has the bytes."""
    if frame[3] == 4:
        return "install"
    return "remove" if frame[9] == 4 else "other"


class Wire:
    """A port of its own in front of the board's; closed, nobody answers there."""

    def __init__(self, board_port: int) -> None:
        self.board_port = board_port
        self.port = free_port()
        self.caught = threading.Event()
        self._hold: tuple[Kind, bool] | None = None
        self._open: list[socket.socket] = []
        self.mend()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def mend(self) -> None:
        """The board answers again."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._open.append(listener)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """The board is away: connections end, and new ones are refused."""
        while self._open:
            end = self._open.pop()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def hold(self, kind: Kind, *, delivered: bool) -> None:
        """The next request of that kind gets no answer; the board has it, or does not."""
        self.caught.clear()
        self._hold = (kind, delivered)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                self._open.append(near)
                far = socket.create_connection(("127.0.0.1", self.board_port))
                self._open.append(far)
                mute = threading.Event()
                threading.Thread(target=self._ask, args=(near, far, mute), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near, mute), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, mute: threading.Event) -> None:
        with suppress(OSError), near.makefile("rb") as asked:
            while head := asked.read(8):
                frame = head + asked.read(int.from_bytes(head[4:8], "big"))
                if self._hold is not None and self._hold[0] == kind_of(frame):
                    delivered = self._hold[1]
                    self._hold = None
                    mute.set()
                    if delivered:
                        far.sendall(frame)
                    self.caught.set()
                elif not mute.is_set():
                    far.sendall(frame)
        with suppress(OSError):  # also where a killed host reset the connection: the board takes no other one before
            far.shutdown(socket.SHUT_RDWR)

    def _answer(self, far: socket.socket, near: socket.socket, mute: threading.Event) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                if not mute.is_set():
                    near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)
