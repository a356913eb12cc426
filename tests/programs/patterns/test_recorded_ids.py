"""A pattern's expectations have the ids of the board's recorded parts, and are met with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.library import fill
from microclaw.programs.patterns.recorded_ids import with_recorded_ids
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.py.compile import build

RECORD = parse_wiring(
    """
    [btn1]
    part = "button"
    pin = 4
    bounce_ms = 8
    [door-bell]
    part = "button"
    pin = 12
    [hall]
    part = "pir"
    out = 6
    hold_s = 8
    [dht22]
    part = "dht22"
    data = 7
    """
)
PATTERNS: list[tuple[str, dict[str, Value], str]] = [
    ("button_led", {"BUTTON_PIN": 12, "LED_PIN": 5}, "press door-bell at 2 s, 4 s for 200 ms"),
    ("button_led", {"BUTTON_PIN": 4, "LED_PIN": 5}, "press btn1 at 2 s, 4 s for 200 ms"),
    ("button_toggle", {"BUTTON_PIN": 10, "LED_PIN": 5}, "wired btn1-2 = button: pin 10"),
    ("motion_alarm", {"PIR_PIN": 6, "ALARM_PIN": 5}, "move hall at 2 s"),
    ("read_dht22", {"PIN": 7}, "wired dht22 = dht22: data 7"),
    ("read_dht22", {"PIN": 10}, "dht22-2.temperature = 31 at 0 s"),
]


@pytest.mark.parametrize(("name", "values", "line"), PATTERNS)
async def test_expectations_name_the_recorded_part_and_are_met(
    name: str, values: dict[str, Value], line: str, build_cache: Path
) -> None:
    program = fill(name, values, kind="py")
    expect = with_recorded_ids(program.expect, RECORD)
    assert line in expect
    board = load_board("virtual")
    image = await build(program.source, "pattern", board=board, cache=BuildCache(build_cache))
    options = TrialOptions(expectations=parse_expectations(f"{expect}soak 0 s"), record=RECORD)
    trial = await try_image(image, board, options)
    assert trial.ok, trial.error
