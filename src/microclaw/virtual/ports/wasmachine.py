"""The WASMachine port: one client at a time, as the firmware serves it. Parses nothing itself."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable

from microclaw.errors import UnknownName
from microclaw.virtual.board import Board
from microclaw.virtual.link_client.socket_close import reset_connection
from microclaw.virtual.ports.sockets import ClientServer, read_some
from microclaw.wire.wasmachine.frame import HEADER, MessageType, encode_frame

NEXT_CLIENT_S = 1.0  # the firmware sleeps this long between two clients
DEAF_S = 0.05  # after a boot the first bytes vanish


class Faults:
    """Armed faults: `cut` resets the connection once `after_bytes` more bytes came, `mute` loses an answer."""

    def __init__(self) -> None:
        self._counts = {"cut": 0, "mute": 0}
        self._cut_after_bytes = self._cut_left = 0

    def arm(self, name: str, count: int, after_bytes: int = 0) -> None:
        """Arm a fault again for so many times; 0 disarms it."""
        if name not in self._counts:
            raise UnknownName(f"no fault {name!r}", next_step=f"faults: {', '.join(self._counts)}")
        if name == "cut":
            self._cut_after_bytes = self._cut_left = after_bytes
        self._counts[name] = count

    def is_mute(self) -> bool:
        """Return True if the next answer is lost, and use that up."""
        left = self._counts["mute"]
        self._counts["mute"] = max(0, left - 1)
        return left > 0

    def bytes_before_cut(self, received: int) -> int | None:
        """Return the number of `received` bytes that get through before the cut; None if there is no cut now."""
        if not self._counts["cut"]:
            return None
        if received < self._cut_left:
            self._cut_left -= received
            return None
        through = self._cut_left
        self._cut_left = self._cut_after_bytes
        self._counts["cut"] -= 1
        return through


class WasmachinePort(ClientServer):
    """Bytes of the present client go to `receive`; `send` answers it. The next client waits until it is gone."""

    rest_s = NEXT_CLIENT_S

    def __init__(self, listener: socket.socket, board: Board, receive: Callable[[bytes], None], faults: Faults) -> None:
        super().__init__(listener, "wasmachine", 1, reset_connection)
        self.is_open = lambda: board.powered
        self._receive = receive
        self._faults = faults
        self._sending = threading.Lock()
        self._deaf_until_s = 0.0

    def power_cut(self) -> None:
        self._deaf_until_s = math.inf  # until the board has booted
        super().power_cut()

    def power_on(self) -> None:
        self._deaf_until_s = time.monotonic() + DEAF_S

    def send(self, frame_type: MessageType, payload: bytes) -> None:
        """Send a frame to the client. It is lost without one, or if the client does not read for 5 s."""
        frame = encode_frame(frame_type, payload)
        with self._sending:
            client = next(iter(tuple(self.clients)), None)  # other threads change the set
            if client is None or self._faults.is_mute():
                return
            try:
                client.sendall(frame[: HEADER.size])
                client.sendall(frame[HEADER.size :])
            except OSError:
                reset_connection(client)

    def talk(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := read_some(client):
            if time.monotonic() < self._deaf_until_s:
                continue
            through = self._faults.bytes_before_cut(len(data))
            self._receive(data if through is None else data[:through])
            if through is not None:
                reset_connection(client)
                return
