"""What a part's pins tell of its values, and files that say it in a way that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.hardware.parts.known_values import PinSignal, known_value
from microclaw.hardware.parts.reader import Active, read_part
from microclaw.hardware.parts.wiring import make_part

HIGH = PinSignal(1)
LOW = PinSignal(0)
HALF = PinSignal(1, 1_000, 500.0)
TONE = PinSignal(1, 440, 1_000.0)
MIDDLE = PinSignal(1, 50, 1_450.0)
LAMP = """
title = "a lamp"
kind = "actuator"
source = "its data sheet"

[[pins]]
role = "pin"
use = "output"

[shows.on]

[inputs]
pressed = { least = 0, most = 1 }
"""


@pytest.mark.parametrize(
    ("part", "role", "active", "name", "signal", "value"),
    [
        ("led", "pin", "high", "brightness", HIGH, 100.0),
        ("led", "pin", "low", "brightness", HIGH, 0.0),
        ("led", "pin", "low", "brightness", LOW, 100.0),
        ("led", "pin", "high", "brightness", HALF, 50.0),
        ("led", "pin", "low", "brightness", PinSignal(1, 1_000, 250.0), 75.0),
        ("relay", "pin", "low", "on", LOW, 1.0),
        ("buzzer", "pin", "high", "tone", TONE, 440),
        ("buzzer", "pin", "high", "tone", HIGH, 0.0),
        ("buzzer", "pin", "high", "on", TONE, 1.0),
        ("buzzer", "pin", "high", "on", LOW, 0.0),
        ("servo", "signal", None, "angle", MIDDLE, 90.0),
        ("servo", "signal", None, "angle", PinSignal(1, 50, 2_900.0), 180.0),
        ("servo", "signal", None, "angle", LOW, None),
        ("servo", "signal", None, "angle", PinSignal(1, 5_000, 100.0), None),
        ("button", "pin", "low", "pressed", LOW, 1.0),
        ("button", "pin", "high", "pressed", LOW, 0.0),
        ("door_contact", "pin", "high", "open", HIGH, 1.0),
        ("joystick", "sel", None, "pressed", LOW, 1.0),
        ("pir", "out", None, "motion", HIGH, 1.0),
    ],
)
def test_a_value_follows_from_its_pin(
    part: str, role: str, active: Active | None, name: str, signal: PinSignal, value: float | None
) -> None:
    pins = {role: 5}
    assert known_value(make_part("p1", part, pins=pins, active=active), name, signal) == value


@pytest.mark.parametrize(
    "known",
    [
        '[known.off]\nrole = "pin"\nby = "level"',
        '[known.on]\nrole = "leg"\nby = "level"',
        '[known.pressed]\nrole = "pin"\nby = "share"',
        '[known.on]\nrole = "pin"\nby = "pulse"',
        '[known.on]\nrole = "pin"\nby = "level"\npulses_us = [1, 2]\nrates_hz = [1, 2]',
        '[known.on]\nrole = "pin"\nby = "guess"',
    ],
)
def test_a_value_that_cannot_follow_from_its_pin_is_refused(tmp_path: Path, known: str) -> None:
    folder = tmp_path / "lamp"
    folder.mkdir()
    (folder / "part.toml").write_text(LAMP)
    assert read_part(folder).name == "lamp"
    (folder / "part.toml").write_text(f"{LAMP}\n{known}\n")
    with pytest.raises(ConfigError, match=r"lamp/part\.toml.*known"):
        read_part(folder)
