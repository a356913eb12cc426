"""An LED: how bright it is, by the level of its pin or by the share of PWM."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinShow


class Model(PinShow):
    """Its brightness is the share of the time that its pin has the active level."""
