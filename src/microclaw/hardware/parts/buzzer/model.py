"""A buzzer: the tone of a passive one, and whether an active one beeps."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinShow


class Model(PinShow):
    """Its tone is the frequency of PWM that is neither always on nor always off."""
