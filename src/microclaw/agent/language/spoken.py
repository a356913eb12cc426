"""Writes a sentence in normal form (quantities.py) as a person says it."""

from __future__ import annotations

import re
from typing import Final

from microclaw.agent.language.times import spoken_duration
from microclaw.text import plural

_PINS: Final = re.compile(r"pin (\d+)((?: also pin \d+)+)")


def spoken(sentence: str) -> str:
    """Return a sentence in normal form as a person says it: "30000 ms" is "30 s", "28000 milli degrees" 28 degrees."""
    said = re.sub(r"(\d+) ms\b", lambda match: spoken_duration(int(match[1])), sentence)
    said = re.sub(r"(-?\d+) milli\b", lambda match: f"{int(match[1]) / 1000:g}", said)
    said = re.sub(r"\bperiod (\d+) ns\b", lambda match: f"{10**9 / int(match[1]):.0f} Hz", said)
    said = re.sub(r"\bclock (\d\d)(\d\d)\b", r"\1:\2", said)
    return _PINS.sub(_several_pins, said)


def _several_pins(match: re.Match[str]) -> str:
    return plural("pin", [int(pin) for pin in re.findall(r"\d+", match[0])])
