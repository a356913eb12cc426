"""A KY-040: two contacts to ground that open and close a quarter apart in each detent, and a button to ground."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.contacts import Contact
from microclaw.hardware.parts.models import Bench, PartModel
from microclaw.hardware.parts.wiring import WiredPart

_CLOCKWISE: Final = (("clk", True), ("dt", True), ("clk", False), ("dt", False))
_COUNTERCLOCKWISE: Final = (("dt", True), ("clk", True), ("dt", False), ("clk", False))
"""Which contact closes (True) or opens in each quarter of a detent. In a detent both are open."""


class Model(PartModel):
    """CLK and DT have pull-ups on the module, the button usually has none."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._contacts: dict[str, Contact] = {}
        self._moves: list[tuple[str, bool]] = []
        has_resistor = bool(self.attribute("resistor"))
        self._is_turning = False
        for role, gpio in wired.pins.items():
            open_level: int | None = 1
            if role == "sw" and not has_resistor:
                open_level = None
            self._contacts[role] = Contact(
                bench,
                gpio,
                closed_level=0,
                open_level=open_level,
                bounce_ms=self.attribute("bounce_ms"),
            )

    def reset(self) -> None:
        self._moves.clear()
        self._is_turning = False
        for role, contact in self._contacts.items():
            is_pressed = role == "sw" and bool(self.values["pressed"])
            contact.put(is_closed=is_pressed)

    def values_changed(self, values: Mapping[str, float]) -> None:
        if "turn" in values:
            self._turn(round(values["turn"]))
        if "pressed" in values and "sw" in self._contacts:
            self._contacts["sw"].move(is_closed=bool(values["pressed"]))

    def _turn(self, detents: int) -> None:
        """Turn on from where it is, or from where it will be if it still turns."""
        moves = _CLOCKWISE if detents > 0 else _COUNTERCLOCKWISE
        self._moves += moves * abs(detents)
        if self._moves and not self._is_turning:
            self._move()

    def _move(self) -> None:
        """Make the next move. The last one takes its time, too: until then it still turns."""
        self._is_turning = bool(self._moves)
        if not self._is_turning:
            return
        role, is_closed = self._moves.pop(0)
        self._contacts[role].move(is_closed=is_closed)
        self.bench.call_at(self.bench.now_ms() + self.attribute("detent_ms") / 4, self._move)
