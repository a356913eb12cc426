"""What lies behind the board's UART pins: bytes that programs sent, bytes for them to read. Knows no descriptors."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from microclaw.errors import UnknownName

RX_FIFO_BYTES: Final = 128
"""The UART's receive FIFO: without a driver nothing else holds what arrives, and what does not fit is lost."""
SENT_RING_BYTES: Final = 65_536
PORTS: Final = {"ESP32-C3": 2, "ESP32-C6": 2}
"""High-power UARTs of chips that have fewer than three (SOC_UART_HP_NUM)."""


class SentPage(NamedTuple):
    """Bytes from the asked number on; `next`, `dropped` as in a history's page."""

    data: bytes
    next: int
    dropped: int


class _Port:
    def __init__(self) -> None:
        self.received: deque[int] = deque()
        self.sent = bytearray()
        self.first = 0


class Uarts:
    """All UARTs of a board. Sent bytes are numbered from 0 for as long as the process lives."""

    def __init__(self, chip: str) -> None:
        self._lock = threading.Lock()
        self._ports = [_Port() for _ in range(PORTS.get(chip, 3))]

    @property
    def count(self) -> int:
        return len(self._ports)

    def arrive(self, port: int, data: bytes) -> int:
        """Bytes from outside; how many of them the FIFO had room for."""
        with self._lock:
            received = self._port(port).received
            room = data[: RX_FIFO_BYTES - len(received)]
            received.extend(room)
            return len(room)

    def take(self, port: int, size: int, until: Sequence[int]) -> bytes:
        """What the program reads: up to `size` bytes, none after one of `until`."""
        with self._lock:
            received = self._port(port).received
            data = bytearray()
            while received and len(data) < size:
                data.append(received.popleft())
                if data[-1] in until:
                    break
            return bytes(data)

    def send(self, port: int, data: bytes) -> None:
        """Bytes that a program wrote."""
        with self._lock:
            state = self._port(port)
            state.sent += data
            excess = len(state.sent) - SENT_RING_BYTES
            if excess > 0:
                del state.sent[:excess]
                state.first += excess

    def sent(self, port: int, since: int, limit: int) -> SentPage:
        with self._lock:
            state = self._port(port)
            start = min(max(since, state.first), state.first + len(state.sent))
            data = bytes(state.sent[start - state.first : start - state.first + limit])
            return SentPage(data, start + len(data), max(0, state.first - max(since, 0)))

    def reset(self) -> None:
        """The power is gone: the FIFOs are empty."""
        with self._lock:
            for port in self._ports:
                port.received.clear()

    def _port(self, number: int) -> _Port:
        if not 0 <= number < len(self._ports):
            raise UnknownName(f"no UART {number} on this chip", next_step=f"UARTs: 0 to {len(self._ports) - 1}")
        return self._ports[number]
