"""A source of states: the board's parts and pins as one way to know them tells. Two kinds of boards have two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from msgspec import Struct

from microclaw.devices.registry.calls import EdgeLog, EdgesRead
from microclaw.devices.registry.device import Device
from microclaw.hardware.parts.wiring import Wiring, bus_pins
from microclaw.programs.bench.states import BenchPin, BenchState, unknown_pin, unknown_state

CALL_S: Final = 5.0
NEWEST_EDGE: Final = 2**52
"""A cursor past the end; the board answers with its real end."""
FIRST_EDGES: Final = 400
"""Edges from before the first reading."""


class SourceReading(Struct, frozen=True, kw_only=True):
    """The states at one moment. `now_ms` is the board's time, None if it has none; `fault`: why nothing is known."""

    parts: dict[str, BenchState]
    pins: dict[int, BenchPin]
    now_ms: float | None = None
    fault: str | None = None


class BoardSource(ABC):
    """The states of the parts of one wiring on one board."""

    def __init__(self, device: Device, wiring: Wiring) -> None:
        self.device = device
        self.wiring = wiring
        self.wired_pins = _wired_pins(device, wiring)

    @abstractmethod
    async def read(self, edges: EdgeLog | None = None) -> SourceReading:
        """Ask the board. Raises MicroclawError if it does not answer: then another source reads it from then on.

        `edges` are those since the reading before, if the caller has read them.
        """

    def unknown(self, fault: str) -> SourceReading:
        """Return the reading of a board of which nothing is known now."""
        parts = {part.id: unknown_state(part) for part in self.wiring.parts}
        pins = {gpio: unknown_pin(gpio) for gpio in self.wired_pins}
        return SourceReading(parts=parts, pins=pins, fault=fault)


async def read_edges(device: Device, cursor: int | None) -> EdgeLog:
    """Return the edges since a cursor; None: the last FIRST_EDGES. Raises MicroclawError."""
    if cursor is None:
        end = await device.call(EdgesRead(cursor=NEWEST_EDGE), CALL_S, wait=False)
        cursor = max(0, end.cursor - FIRST_EDGES)
    return await device.call(EdgesRead(cursor=cursor), CALL_S, wait=False)


def _wired_pins(device: Device, wiring: Wiring) -> tuple[int, ...]:
    """Return the GPIOs that parts are wired to, those of their buses too, in order."""
    gpios = set[int]()
    for part in wiring.parts:
        gpios.update(part.pins.values())
        if part.address is not None:
            gpios.update(bus_pins(part, device.board) or ())
    return tuple(sorted(gpios))
