"""An RGB LED: how bright each of its three colors is."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinDevice


class Model(PinDevice):
    """A color's brightness is the share of the time that its pin has the active level."""

    def reset(self) -> None:
        for role in self.wired.pins:
            self._show(role)

    def edge(self, role: str, _level: int) -> None:
        self._show(role)

    def pwm_changed(self, role: str) -> None:
        self._show(role)

    def _show(self, role: str) -> None:
        self.bench.show(role, round(100 * self.active_share(role), 1))
