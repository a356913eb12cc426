"""An RGB LED: how bright each of its three colors is."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinShow


class Model(PinShow):
    """A color's brightness is the share of the time that its pin has the active level."""
