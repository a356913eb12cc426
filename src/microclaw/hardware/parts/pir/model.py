"""An HC-SR501: its output is high for a time after motion, and then it sees nothing for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from microclaw.hardware.parts.models import Bench, PartModel
from microclaw.hardware.parts.wiring import WiredPart


class Model(PartModel):
    """With `retrigger` the time counts from the last motion, without it from the first."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._out = wired.pins["out"]
        self._is_high = False
        self._is_blocked = False
        self._hold_number = 0

    def reset(self) -> None:
        self._hold_number += 1
        self._is_high = False
        self._is_blocked = False
        self.bench.drive(self._out, 0)
        self._look()

    def values_changed(self, values: Mapping[str, float]) -> None:
        if "motion" not in values:
            return
        if self._is_high and self.attribute("retrigger"):
            self._hold()
        else:
            self._look()

    def _look(self) -> None:
        """Make the output high if something moves."""
        is_ready = not (self._is_high or self._is_blocked)
        if is_ready and self.values["motion"]:
            self._is_high = True
            self.bench.drive(self._out, 1)
            self._hold()

    def _hold(self) -> None:
        """Let the output fall after its time from now, unless that is prolonged before."""
        self._hold_number += 1
        number = self._hold_number

        def end() -> None:
            if self._hold_number == number:
                self._end_hold()

        self._call_in(self.attribute("hold_s"), end)

    def _end_hold(self) -> None:
        if self.values["motion"] and self.attribute("retrigger"):
            self._hold()
            return
        self._is_high = False
        self._is_blocked = True
        self.bench.drive(self._out, 0)
        self._call_in(self.attribute("blocked_s"), self._end_block)

    def _end_block(self) -> None:
        self._is_blocked = False
        self._look()

    def _call_in(self, seconds: float, fn: Callable[[], None]) -> None:
        self.bench.call_at(self.bench.now_ms() + seconds * 1000, fn)
