"""The WASMachine port: one client at a time, as the firmware serves it. Parses nothing itself."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

from microclaw.virtual.faults import FaultName, Faults
from microclaw.virtual.ports import SEND_TIMEOUT_S, hang_up, read_some, reset_connection
from microclaw.wire.wasmachine.frame import HEADER, FrameType, encode_frame

NEXT_CLIENT_S = 1.0  # the firmware sleeps this long between two clients
DEAF_S = 0.05  # after a boot the first bytes vanish

_log = logging.getLogger(__name__)


class WasmachinePort:
    """Serves `listener` on a thread of its own; what comes goes to `receive`, `send` answers whoever is connected."""

    def __init__(
        self, listener: socket.socket, receive: Callable[[bytes], None], faults: Faults, *, stock: bool
    ) -> None:
        self._listener = listener
        self._receive = receive
        self._faults = faults
        self._stock = stock
        self._sending = threading.Lock()
        self._client: socket.socket | None = None
        self._powered = True
        self._deaf_until_s = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="wasmachine-port", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        hang_up(self._listener)
        self.drop_client()

    def power_cut(self) -> None:
        self._powered = False
        self.drop_client()

    def power_on(self) -> None:
        if self._stock:
            self._deaf_until_s = time.monotonic() + DEAF_S
        self._powered = True

    def drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            reset_connection(client)

    def send(self, frame_type: FrameType, payload: bytes) -> None:
        """A frame to whoever is connected; nobody there, or not reading for 5 s: it is lost."""
        frame = encode_frame(frame_type, payload)
        with self._sending:
            client = self._client
            if client is None or self._faults.take(FaultName.MUTE):
                return
            parts = (frame[: HEADER.size], frame[HEADER.size :]) if self._stock else (frame,)
            half = self._faults.take(FaultName.HALF)
            try:
                for part in (frame[: HEADER.size],) if half else parts:
                    client.sendall(part)
            except OSError:
                half = True
        if half:
            reset_connection(client)

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._powered or self._faults.take(FaultName.REFUSE):
                reset_connection(client)
                continue
            try:
                self._serve_client(client)
            except OSError as exc:
                _log.debug("client went away: %s", exc)
            except Exception:
                _log.exception("a client's bytes could not be handled")  # the next client must find the port open
            self._client = None
            hang_up(client)
            if self._stock:
                self._closed.wait(NEXT_CLIENT_S)

    def _serve_client(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(SEND_TIMEOUT_S)
        self._client = client
        while data := read_some(client):
            if time.monotonic() < self._deaf_until_s:
                continue
            through = self._faults.bytes_before_cut(len(data))
            self._receive(data if through is None else data[:through])
            if through is not None:
                reset_connection(client)
                return
