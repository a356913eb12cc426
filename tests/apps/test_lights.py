"""Expectations of addressable LEDs and of servos: what meets them and what does not."""

from __future__ import annotations

import pytest

from microclaw.apps.colors import Rgb, colors_of
from microclaw.apps.expectation_check import check
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.observation import Observation
from microclaw.devices.calls import LedChange, PwmChange
from microclaw.events import Edge

RED, GREEN, OFF = (255, 0, 0), (0, 255, 0), (0, 0, 0)


def leds(*changes: tuple[float, tuple[Rgb, ...]], pin: int = 48) -> Observation:
    return Observation(10_000.0, leds=tuple(LedChange(t, pin, colors) for t, colors in changes))


def servo(*changes: tuple[float, float], hz: int = 50) -> Observation:
    rows = (PwmChange(t, 4, round(us * hz / 1e6 * 255), hz, us) for t, us in changes)
    return Observation(10_000.0, pwm=tuple(rows))


def found(line: str, seen: Observation) -> str:
    """The worst of a line's checks."""
    states = [check(one, seen).state for one in parse_expectations(line).checks]
    return next((state for state in ("not met", "untried") if state in states), "met")


BLINK = leds((10, (RED,)), (510, (OFF,)), (1010, (RED,)), (1510, (OFF,)))


@pytest.mark.parametrize(
    ("line", "seen", "state"),
    [
        ("led 48: red within 100 ms", leds((10, (RED,))), "met"),
        ("led 48: red within 5 ms", leds((10, (RED,))), "not met"),
        ("led 48: red within 100 ms", leds((10, ((40, 0, 0),))), "met"),
        ("led 48: 255,0,0 within 100 ms", leds((10, ((40, 0, 0),))), "not met"),
        ("led 48: 50,0,0 within 100 ms", leds((10, ((40, 0, 0),))), "met"),
        ("led 48: 50,0,0 +- 1 % within 100 ms", leds((10, ((40, 0, 0),))), "not met"),
        ("led 48: red within 100 ms", leds((10, (GREEN,))), "not met"),
        ("led 48: red within 100 ms", leds((10, (RED,)), pin=47), "not met"),
        ("led 48: red within 20 s", leds((10, (RED,))), "untried"),
        ("led 48: red at 1 s, off at 3 s", leds((10, (RED,)), (2000, (OFF,))), "met"),
        ("led 48: red at 3 s", leds((10, (RED,)), (2000, (OFF,))), "not met"),
        ("led 48: on at 1 s", leds((10, ((0, 3, 9),))), "met"),
        ("led 48: off at 1 s", leds((10, ((0, 3, 9),))), "not met"),
        ("led 48: off at 1 s", Observation(10_000.0), "not met"),
        ("led 48: red at 1 s", leds((10, (RED, RED))), "met"),
        ("led 48: red at 1 s", leds((10, (RED, OFF))), "not met"),
        ("led 48[0]: red at 1 s", leds((10, (RED, OFF))), "met"),
        ("led 48[1]: off at 1 s", leds((10, (RED, OFF))), "met"),
        ("led 48[2]: off at 1 s", leds((10, (RED, OFF))), "not met"),
        ("led 48: red for 500 ms, off for 500 ms", BLINK, "met"),
        ("led 48: red for 600 ms", BLINK, "not met"),
        ("led 48: red for 600 ms +- 20 %", BLINK, "met"),
        ("led 48: green for 500 ms", BLINK, "not met"),
        ("led 48: red for 500 ms", leds((10, (RED,)), (300, (RED,)), (510, (OFF,))), "met"),
        ("servo 4: 90 deg at 1 s", servo((5, 1500)), "met"),
        ("servo 4: 90 deg at 1 s", servo((5, 1472)), "met"),
        ("servo 4: 90 deg at 1 s", servo((5, 1600)), "not met"),
        ("servo 4: 180 deg at 1 s", servo((5, 2400)), "met"),
        ("servo 4: 0 deg at 1 s, 180 deg at 3 s", servo((5, 544), (2000, 2500)), "met"),
        ("servo 4: 2000 us +- 2 % at 1 s", servo((5, 2030)), "met"),
        ("servo 4: 2000 us +- 2 % at 1 s", servo((5, 2050)), "not met"),
        ("servo 4: 90 deg at 1 s", servo((5, 1500), hz=1000), "not met"),
        ("servo 4: off at 1 s", servo((5, 1500), (500, 0)), "met"),
        ("servo 4: off at 1 s", servo((5, 1500)), "not met"),
        ("servo 5: 90 deg at 1 s", servo((5, 1500)), "not met"),
        ("servo 4: 90 deg at 11 s", servo((5, 1500)), "untried"),
    ],
)
def test_a_line_of_lights_or_servos(line: str, seen: Observation, state: str) -> None:
    assert found(line, seen) == state


@pytest.mark.parametrize("color", [GREEN, RED])
def test_a_light_answers_a_button(color: Rgb) -> None:
    seen = Observation(
        10_000.0,
        edges=(Edge(1000, 4, 0), Edge(2000, 4, 1)),
        leds=(LedChange(1020, 48, (color,)), LedChange(2020, 48, (OFF,))),
        bursts={4: ((1000, 1000, 0), (2000, 2000, 1))},
    )
    lines = "when pin 4 falls: led 48 -> green within 50 ms\nwhen pin 4 rises: led 48 -> off within 50 ms"
    asked = parse_expectations(lines).checks
    assert [check(one, seen, asked).state for one in asked] == ["met" if color == GREEN else "not met", "met"]


def test_a_chain_is_sent_green_first() -> None:
    assert colors_of(bytes([1, 2, 3, 4, 5, 6])) == ((2, 1, 3), (5, 4, 6))
