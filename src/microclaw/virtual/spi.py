"""What is wired to the board's SPI buses: nothing, a loop, or a device that gives prepared answers. No descriptors."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from microclaw.virtual.history import History, Page

EXCHANGE_RING_BYTES: Final = 262_144
MAX_ANSWERS: Final = 256
SPI_HOSTS: Final = {"ESP32-C3": (1,), "ESP32-C6": (1,)}
"""Hosts for programs by chip, else 1 (SPI2) and 2 (SPI3); host 0 (SPI1) is the flash's."""


class SpiRecord(NamedTuple):
    t_ms: float
    bus: int
    sent: bytes
    received: bytes


class SpiBuses:
    """All SPI buses of a board. Without a device MISO floats and reads as zeros."""

    def __init__(self, chip: str, now_ms: Callable[[], float]) -> None:
        self.hosts = SPI_HOSTS.get(chip, (1, 2))
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._claimed: set[int] = set()
        self._loops: set[int] = set()
        self._answers: dict[int, deque[bytes]] = {}
        self._exchanges: History[SpiRecord] = History(
            EXCHANGE_RING_BYTES, lambda record: len(record.sent) + len(record.received) + 32
        )

    def claim(self, bus: int) -> bool:
        """Set the bus up; False while it is."""
        with self._lock:
            is_free = bus not in self._claimed
            self._claimed.add(bus)
            return is_free

    def release(self, bus: int) -> None:
        with self._lock:
            self._claimed.discard(bus)

    def reset(self) -> None:
        """The power is gone: no bus is set up any more; what is wired to them stays."""
        with self._lock:
            self._claimed.clear()

    def connect(self, bus: int, *, loopback: bool, answers: Iterable[bytes]) -> None:
        """Put another device there: MISO on MOSI, or one that answers each exchange with the next of `answers`."""
        with self._lock:
            self._loops.discard(bus)
            if loopback:
                self._loops.add(bus)
            self._answers[bus] = deque(answers, MAX_ANSWERS)

    def exchange(self, bus: int, sent: bytes) -> bytes:
        """As many bytes as were sent; a shorter answer is followed by zeros."""
        with self._lock:
            answers = self._answers.get(bus)
            if bus in self._loops:
                received = sent
            elif answers:
                received = answers.popleft()[: len(sent)].ljust(len(sent), b"\0")
            else:
                received = bytes(len(sent))
            self._exchanges.append(SpiRecord(self._now_ms(), bus, sent, received))
            return received

    def exchanges(self, since: int, limit: int) -> Page[SpiRecord]:
        with self._lock:
            return self._exchanges.since(since, limit)
