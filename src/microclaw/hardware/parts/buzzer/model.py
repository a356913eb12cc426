"""A buzzer: the tone of a passive one, and whether an active one beeps."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinDevice


class Model(PinDevice):
    """Its tone is the frequency of PWM that is neither always on nor always off."""

    def reset(self) -> None:
        self._show()

    def edge(self, _role: str, _level: int) -> None:
        self._show()

    def pwm_changed(self, _role: str) -> None:
        self._show()

    def _show(self) -> None:
        share = self.active_share("pin")
        tone_hz = 0
        if 0 < share < 1:
            tone_hz = self.bench.pwm(self.wired.pins["pin"])[0]
        self.bench.show("tone", tone_hz)
        self.bench.show("on", int(share > 0))
