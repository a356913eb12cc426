"""The states of one board's parts and pins, read again and again by whoever shows them."""

from __future__ import annotations

import hashlib
import json
from typing import Final, TypeVar

from msgspec import Struct

from microclaw.devices.registry.calls import EdgeLog, PartsRead
from microclaw.devices.registry.device import Device
from microclaw.errors import MicroclawError
from microclaw.hardware.parts.wiring import Wiring, wiring_tables, with_boot_button
from microclaw.programs.bench.real_source import RealSource
from microclaw.programs.bench.records import HostRecords
from microclaw.programs.bench.source import BoardSource, SourceReading
from microclaw.programs.bench.states import BenchPin, BenchState
from microclaw.programs.bench.virtual_source import VirtualSource
from microclaw.text import clean_text

_KEY_CHARS: Final = 16
_MAX_FAULT_CHARS: Final = 200
K = TypeVar("K")
V = TypeVar("V")


class BenchReading(Struct, frozen=True, kw_only=True):
    """The states at one moment. `wiring` is another text if the wiring is another one.

    `now_ms` is the board's time, None if it has none; `fault` is why nothing is read. A state that is the same as in
    the reading before is the same object.
    """

    wiring: str
    now_ms: float | None
    fault: str | None
    parts: dict[str, BenchState]
    pins: dict[int, BenchPin]


class BoardBench:
    """The parts of one board. One reading is under way at a time."""

    def __init__(self, device: Device, records: HostRecords) -> None:
        self.device = device
        self._records = records
        self._last: BenchReading | None = None
        self._take_wiring()

    async def read(self, edges: EdgeLog | None = None) -> BenchReading:
        """Return the present states. Of a board that does not answer nothing is known, and there is a fault.

        `edges` are those that the board counted since the reading before, if the caller has read them.
        """
        if self.device.record is not self._record:
            self._take_wiring()
        try:
            reading = await self._source.read(edges)
        except MicroclawError as exc:
            return self.lose(clean_text(exc.message, one_line=True, limit=_MAX_FAULT_CHARS))
        return self._note(reading)

    def lose(self, fault: str) -> BenchReading:
        """Return the states of a board that does not answer; the next reading asks it for everything."""
        self._take_wiring()
        return self._note(self._source.unknown(fault))

    def _note(self, reading: SourceReading) -> BenchReading:
        parts = reading.parts
        pins = reading.pins
        if self._last is not None:
            _keep_same(parts, self._last.parts)
            _keep_same(pins, self._last.pins)
        self._last = BenchReading(
            wiring=self._wiring_key,
            now_ms=reading.now_ms,
            fault=reading.fault,
            parts=parts,
            pins=pins,
        )
        return self._last

    @property
    def is_virtual(self) -> bool:
        """Whether the board is a process whose parts tell their states."""
        return self.device.supports(PartsRead.method)

    @property
    def wiring(self) -> Wiring:
        """What was wired to the board at the last reading."""
        return self._source.wiring

    def _take_wiring(self) -> None:
        """Begin again with what is wired to the board now."""
        self._record = self.device.record
        wiring = self.device.wiring
        if self.is_virtual:
            wiring = with_boot_button(wiring, self.device.board)
        self._wiring_key = _wiring_key(wiring)
        self._source: BoardSource
        if self.is_virtual:
            self._source = VirtualSource(self.device, wiring)
        else:
            self._source = RealSource(self.device, wiring, self._records)


def _wiring_key(wiring: Wiring) -> str:
    text = json.dumps(wiring_tables(wiring), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_CHARS]


def _keep_same(states: dict[K, V], before: dict[K, V]) -> None:
    """Put the objects of the reading before in the place of equal ones."""
    for key, state in states.items():
        last = before.get(key)
        if last == state:
            states[key] = last
