"""The states that a virtual board tells of its parts and pins."""

from __future__ import annotations

from typing import Final

from microclaw.devices.registry.calls import EdgeLog, PartsRead
from microclaw.devices.registry.device import Device
from microclaw.hardware.parts.wiring import WiredPart, Wiring
from microclaw.programs.bench.screen_words import ScreenWords
from microclaw.programs.bench.source import CALL_S, BoardSource, SourceReading
from microclaw.programs.bench.states import board_state, counted_pin
from microclaw.wire.board_replies import PartPage, PinRow

NO_POWER: Final = "the board has no power"


class VirtualSource(BoardSource):
    """Only what changed since the reading before comes from the board."""

    def __init__(self, device: Device, wiring: Wiring) -> None:
        super().__init__(device, wiring)
        self._words = ScreenWords(has_python="py" in device.kinds)
        self._begin()

    async def read(self, _edges: EdgeLog | None = None) -> SourceReading:
        page = await self._read_page()
        self._cursor = page.next
        self._boot_id = page.boot_id
        self._take_parts(page)
        for row in page.pins:
            self._take_pin(row)
        if not page.powered:
            return self.unknown(NO_POWER)
        for part_id, state in self._parts.items():
            self._parts[part_id] = await self._words.with_text(part_id, state)
        return SourceReading(parts=dict(self._parts), pins=dict(self._pins), now_ms=page.now_ms)

    def _begin(self) -> None:
        """Forget what the board has told."""
        self._cursor = 0
        self._boot_id = ""
        nothing = self.unknown(NO_POWER)
        self._parts = nothing.parts
        self._pins = nothing.pins

    async def _read_page(self) -> PartPage:
        page = await self.device.call(PartsRead(self._cursor), CALL_S, wait=False)
        if self._cursor and page.boot_id != self._boot_id:
            # Its numbers may be those of another process.
            self._begin()
            page = await self.device.call(PartsRead(), CALL_S, wait=False)
        return page

    def _take_parts(self, page: PartPage) -> None:
        for row in page.parts:
            wired: WiredPart | None = self.wiring.find(row.part)
            if wired is not None:
                self._parts[wired.id] = board_state(wired, row)

    def _take_pin(self, row: PinRow) -> None:
        """Take over the state of a pin that is wired, or that was in use or high since the first reading."""
        if row.pin in self._pins or row.role != "idle" or row.level:
            self._pins[row.pin] = counted_pin(row)
