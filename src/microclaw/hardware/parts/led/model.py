"""An LED: how bright it is, by the level of its pin or by the share of PWM."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinDevice


class Model(PinDevice):
    """Its brightness is the share of the time that its pin has the active level."""

    def reset(self) -> None:
        self._show("pin")

    def edge(self, role: str, _level: int) -> None:
        self._show(role)

    def pwm_changed(self, role: str) -> None:
        self._show(role)

    def _show(self, role: str) -> None:
        self.bench.show("brightness", round(100 * self.active_share(role), 1))
