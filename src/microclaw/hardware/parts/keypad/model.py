"""A matrix keypad: a pressed key joins its row with its column, and nothing on the keypad drives either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.contacts import Contact
from microclaw.hardware.parts.models import Bench, PartModel
from microclaw.hardware.parts.wiring import WiredPart

_ROWS: Final = ("123A", "456B", "789C", "*0#D")


class Model(PartModel):
    """Several keys may be pressed at once. A key whose column is not wired does nothing."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        if self.attribute("resistor"):
            for gpio in wired.pins.values():
                bench.pull(gpio, 1)
        self._keys: dict[str, _Key] = {}
        taken: set[int] = set()
        for row, labels in enumerate(_ROWS, 1):
            for column, label in enumerate(labels, 1):
                column_gpio = wired.pins.get(f"c{column}")
                if column_gpio is not None:
                    row_gpio = wired.pins[f"r{row}"]
                    self._keys[label] = _Key(bench, row_gpio, column_gpio, self.attribute("bounce_ms"), taken)

    def reset(self) -> None:
        for label, key in self._keys.items():
            key.put(is_closed=bool(self.values[label]))

    def values_changed(self, values: Mapping[str, float]) -> None:
        for label, value in values.items():
            if label in self._keys:
                self._keys[label].move(is_closed=bool(value))


class _Key(Contact):
    """A contact between two GPIOs.

    A GPIO is joined with one other at most, so that a second key of a column begins at its row; `taken` are the GPIOs
    that keys of the keypad begin at.
    """

    def __init__(self, bench: Bench, row: int, column: int, bounce_ms: float, taken: set[int]) -> None:
        super().__init__(bench, column, closed_level=0, open_level=None, bounce_ms=bounce_ms)
        self._row = row
        self._column = column
        self._taken = taken
        self._begin: int | None = None

    def _drive(self, *, is_closed: bool) -> None:
        if is_closed and self._begin is None:
            self._close()
        elif not is_closed and self._begin is not None:
            self._taken.discard(self._begin)
            self._bench.join(self._begin, None)
            self._begin = None

    def _close(self) -> None:
        begin = self._column
        other = self._row
        if begin in self._taken:
            begin = self._row
            other = self._column
        self._begin = begin
        self._taken.add(begin)
        self._bench.join(begin, other)
