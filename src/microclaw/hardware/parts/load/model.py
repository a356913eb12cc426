"""Anything that a pin switches: it is on while its pin has the active level."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinShow


class Model(PinShow):
    """Shows whether its driver switches it on."""
