"""Colors of addressable LEDs: their names, and whether what an LED was sent is the color that is meant."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import Struct

Rgb: TypeAlias = tuple[int, int, int]

_HUES: Final[Mapping[str, tuple[float, float]]] = {
    "red": (-15.0, 12.0),
    "orange": (12.0, 34.0),
    "yellow": (34.0, 70.0),
    "green": (70.0, 160.0),
    "cyan": (160.0, 200.0),
    "blue": (200.0, 262.0),
    "purple": (262.0, 345.0),
}
"""Degrees of the color circle, the first included, the last not; every color has a name.

firmware/fw/microclaw_devices.py's colors are well inside."""
# Of saturation: as good as white.
_PALE: Final = 0.3
COLOR_NAMES: Final = (*_HUES, "white", "off", "on")


class Color(Struct, frozen=True):
    """A name at any brightness ("on": any light), or exact parts from 0 to 255 that may each differ by `slack`."""

    name: str | None = None
    rgb: Rgb = (0, 0, 0)
    slack: float = 0.0

    def matches(self, seen: Rgb) -> bool:
        if self.name is None:
            parts = zip(self.rgb, seen, strict=True)
            return all(abs(wanted - part) <= self.slack for wanted, part in parts)
        if self.name == "on":
            return any(seen)
        return name_of(seen) == self.name

    @property
    def text(self) -> str:
        return self.name or _numbers(self.rgb)


def color_text(rgb: Rgb) -> str:
    """Return "red", or "red (64,0,0)" if it is no full red."""
    name = name_of(rgb)
    if set(rgb) <= {0, 255}:
        return name
    return f"{name} ({_numbers(rgb)})"


def name_of(rgb: Rgb) -> str:
    """Return the color's name, whatever its brightness."""
    if not any(rgb):
        return "off"
    red, green, blue = rgb
    hue, saturation, _ = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if saturation <= _PALE:
        return "white"
    degrees = hue * 360
    reds_begin = _HUES["red"][0]
    if degrees >= 360 + reds_begin:
        degrees -= 360
    return next(name for name, (low, high) in _HUES.items() if low <= degrees < high)


def colors_of(data: bytes) -> tuple[Rgb, ...]:
    """Return the colors of a chain of addressable LEDs, whose bytes are green, red, blue of each LED."""
    colors = []
    for at in range(0, len(data) - 2, 3):
        green, red, blue = data[at : at + 3]
        colors.append((red, green, blue))
    return tuple(colors)


def _numbers(rgb: Rgb) -> str:
    return ",".join(map(str, rgb))
