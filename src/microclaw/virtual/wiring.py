"""What is wired to the board: pins and who drives them, SPI buses, UARTs. Knows no descriptors and no programs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from microclaw.errors import UnknownName
from microclaw.virtual.history import History, Page

EXCHANGE_RING_BYTES: Final = 262_144
LED_RING_BYTES: Final = 262_144
MAX_ANSWERS: Final = 256
SPI_HOSTS: Final = {"ESP32-C3": (1,), "ESP32-C6": (1,)}
"""Hosts for programs by chip, else 1 (SPI2) and 2 (SPI3); host 0 (SPI1) is the flash's."""
RX_FIFO_BYTES: Final = 128
"""The UART's receive FIFO: without a driver nothing else holds what arrives, and what does not fit is lost."""
SENT_RING_BYTES: Final = 65_536
PORTS: Final = {"ESP32-C3": 2, "ESP32-C6": 2}
"""High-power UARTs of chips that have fewer than three (SOC_UART_HP_NUM)."""
PinRole: TypeAlias = Literal["idle", "input", "output", "pwm"]


class Pin:
    """One pin's configuration and what drives it. The board's lock guards it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.external: int | None = None
        self.level = 0
        self.clear()

    def clear(self) -> None:
        """As at power on: nothing is configured. What drives it from outside stays."""
        self.role: PinRole = "idle"
        self.pull = 0
        self.open_drain = False
        self.reads = False
        self.out = 0
        self.duty = 0
        self.frequency_hz = 0
        self.pulse_us = 0.0
        self.app: str | None = None
        self.driver: str | None = None
        self.mover: str | None = None
        self.opener: str | None = None
        self.opened_ms = 0.0

    def electrical_level(self) -> int:
        """Who wins: a push-pull output, then the outside, then the pull resistor; floating reads 0."""
        if self.role == "pwm":
            return 1 if self.duty else 0
        if self.role == "output" and not (self.open_drain and self.out):
            return self.out
        return self.pull if self.external is None else self.external


class LedRecord(NamedTuple):
    """What a chain of addressable LEDs (WS2812) was sent: three bytes each, green, red, blue; four with white."""

    t_ms: float
    pin: int
    data: bytes


class LedChains:
    """The addressable LEDs on all pins: each chain shows what it was sent last."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._changes: History[LedRecord] = History(LED_RING_BYTES, lambda record: len(record.data) + 32)

    def show(self, pin: int, data: bytes) -> None:
        with self._lock:
            self._changes.append(LedRecord(self._now_ms(), pin, data))

    def changes(self, since: int = 0, limit: int | None = None) -> Page[LedRecord]:
        with self._lock:
            return self._changes.since(since, limit)


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


class SentPage(NamedTuple):
    """Bytes from a number on. `next` and `dropped`: as in a page of a history."""

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

    def waiting(self, port: int) -> int:
        """How many bytes a program could read."""
        with self._lock:
            return len(self._port(port).received)

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
