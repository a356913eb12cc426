"""An LED: how bright it is, by the level of its pin or by the share of PWM."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinDevice


class Model(PinDevice):
    """Its brightness is the share of the time that its pin has the active level."""

    def reset(self) -> None:
        self._show(self.bench.level(self.wired.pins["pin"]))

    def edge(self, _role: str, level: int) -> None:
        self._show(level)

    def pwm_changed(self, role: str) -> None:
        pin = self.wired.pins[role]
        frequency_hz, pulse_us = self.bench.pwm(pin)
        if frequency_hz:
            self._show(pulse_us * frequency_hz / 1e6)
        else:
            self._show(self.bench.level(pin))

    def _show(self, high_share: float) -> None:
        share = high_share
        if self.wired.active == "low":
            share = 1 - high_share
        self.bench.show("brightness", round(100 * share, 1))
