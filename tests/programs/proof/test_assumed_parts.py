"""Parts that expectations take as wired: they are joined with the board's own, and refused if these contradict."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, parse_wiring, soldered_parts
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.assumed_parts import with_assumed
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.py.compile import build

BOARD = load_board("virtual")
LINE = "wired btn1 = button: pin 6, bounce_ms 0, active high\n"
CHECK = 'log ~ "x"\n'
PROGRAM = """
from machine import Pin
from time import sleep_ms

button = Pin(6, Pin.IN, Pin.PULL_DOWN)
while not button.value():
    sleep_ms(5)
print("x")
"""


def test_a_line_has_the_keys_of_a_wiring() -> None:
    (assumed,) = parse_expectations(LINE + CHECK).wired
    part = assumed.wired
    assert (part.id, part.part, dict(part.pins), part.active) == ("btn1", "button", {"pin": 6}, "high")
    assert dict(part.attributes) == {"bounce_ms": 0}


@pytest.mark.parametrize(
    "line",
    [
        "wired btn1 = button",
        "wired btn1 = button:",
        "wired btn1 = buttom: pin 6",
        "wired btn1 = button: pin 6, pin 7",
        "wired btn1 = button: data 6",
        "wired btn1 = button: active high",
        "wired btn1 = button: pin 6.5",
    ],
)
def test_a_line_that_is_no_part_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ConfigError, match="expectations, line 2"):
        parse_expectations(CHECK + line)


def test_a_part_of_the_board_at_the_same_place_gets_the_id() -> None:
    wiring = parse_wiring('[bell]\npart = "button"\npin = 6\nactive = "high"\n[lamp]\npart = "led"\npin = 5\n')
    line = "wired btn1 = button: pin 6, bounce_ms 0\n"
    joined = with_assumed(wiring, parse_expectations(line + CHECK).wired, BOARD)
    assert [part.id for part in joined.parts] == ["lamp", "btn1"]
    btn1 = joined.find("btn1")
    assert btn1 is not None
    # The board says how it is wired; an attribute that only the line gives is added.
    assert (btn1.active, dict(btn1.attributes)) == ("high", {"bounce_ms": 0})


BELL = '[bell]\npart = "button"\npin = 6\nactive = "low"\nbounce_ms = 2\n'


def test_a_level_that_the_board_contradicts_is_refused() -> None:
    assumed = parse_expectations(f"wired btn1 = button: pin 6, active high\n{CHECK}").wired
    with pytest.raises(ConfigError, match="active is low on the board, not high"):
        with_assumed(parse_wiring(BELL), assumed, BOARD)


def test_a_recorded_part_is_tried_with_the_attributes_of_the_expectations() -> None:
    assumed = parse_expectations(f"wired btn1 = button: pin 6, bounce_ms 0\n{CHECK}").wired
    bell = with_assumed(parse_wiring(BELL), assumed, BOARD).find("btn1")
    assert bell is not None
    assert (bell.active, dict(bell.attributes)) == ("low", {"bounce_ms": 0})


def test_a_part_on_the_pins_of_the_boards_own_bus_is_the_soldered_one() -> None:
    assert BOARD.i2c is not None
    line = f"wired s = bme280: sda {BOARD.i2c.sda}, scl {BOARD.i2c.scl}\n"
    joined = with_assumed(soldered_parts(BOARD), parse_expectations(line + CHECK).wired, BOARD)
    check_wiring(joined, BOARD)
    assert [part.id for part in joined.parts] == ["ina219", "s"]


@pytest.mark.parametrize("address", ["0x77", "119"])
def test_an_address_can_be_hexadecimal(address: str) -> None:
    (assumed,) = parse_expectations(f"wired air = bme280: sda 4, scl 5, address {address}\n{CHECK}").wired
    assert assumed.wired.address == 0x77


def test_a_part_of_the_same_id_elsewhere_is_refused() -> None:
    wiring = parse_wiring('[btn1]\npart = "button"\npin = 7\n')
    with pytest.raises(ConfigError, match="btn1"):
        with_assumed(wiring, parse_expectations(LINE + CHECK).wired, BOARD)


async def test_a_trial_has_the_part_and_refuses_it_on_a_pin_that_has_another(build_cache: Path) -> None:
    expectations = parse_expectations(f"{LINE}press btn1 at 2 s\n{CHECK}soak 0 s")
    program = await build(PROGRAM, "premise", board=BOARD, cache=BuildCache(build_cache))
    trial = await try_image(program, BOARD, TrialOptions(expectations=expectations))
    assert trial.ok, trial.error
    taken: Wiring = parse_wiring('[lamp]\npart = "led"\npin = 6\n')
    with pytest.raises(ConfigError, match="lamp and btn1"):
        await try_image(program, BOARD, TrialOptions(expectations=expectations, wiring=taken))
