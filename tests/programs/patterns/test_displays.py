"""Patterns that draw, on every display that microclaw.screen opens: what is shown is read from the trial's pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.events import PROGRAM_KINDS, ProgramKind
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.named_parts import parse_part_line
from microclaw.hardware.parts.wiring import Wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.patterns.displays import (
    display_kinds,
    opening_call,
    parse_display,
    size_in_characters,
    text_words,
)
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.library import fill
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.py.compile import build
from microclaw.programs.wasm.compile import compile_module

BOARD = load_board("virtual")
DISPLAYS = (
    "oled1=ssd1306 sda=8 scl=9",
    "oled1=ssd1306 sda=8 scl=9 height=48 width=64 address=0x3d",
    "oled1=sh1106 sda=8 scl=9",
    "oled1=ssd1306_spi sck=12 mosi=11 dc=5 cs=10 rst=6",
    "lcd1=lcd1602 sda=8 scl=9",
    "lcd1=lcd2004 sda=8 scl=9",
    "lcd1=lcd1602 rs=14 e=5 d4=6 d5=7 d6=15 d7=16",
    "digits1=tm1637 clk=6 dio=5",
    "digits1=max7219 sck=12 mosi=11 cs=10 digits=8",
    "matrix1=max7219 sck=12 mosi=11 cs=10 count=4",
    "tft1=st7789 sck=12 mosi=11 dc=5 cs=10 rst=6",
    "tft1=ili9341 sck=12 mosi=11 dc=5 cs=10 rst=6",
)


@pytest.mark.parametrize("kind", PROGRAM_KINDS)
@pytest.mark.parametrize("line", DISPLAYS)
async def test_presses_are_counted_on_each_display(line: str, kind: ProgramKind, build_cache: Path) -> None:
    values: dict[str, Value] = {"DISPLAY": line, "BUTTON_PIN": 4}
    if kind not in display_kinds(parse_display(line)):
        with pytest.raises(ConfigError):
            fill("display_counter", values, kind=kind)
        return
    program = fill("display_counter", values, kind=kind)
    record = Wiring((parse_part_line(line),))
    cache = BuildCache(build_cache)
    options = TrialOptions(expectations=parse_expectations(f"{program.expect}\nsoak 0 s"), record=record)
    if kind == "py":
        trial = await try_image(await build(program.source, "display", board=BOARD, cache=cache), BOARD, options)
    else:
        image = await compile_module(program.source, BOARD, name="display", cache=cache)
        trial = await try_image(image, BOARD, options)
    assert trial.ok, trial.error


def test_a_display_is_opened_with_its_pins_and_with_what_is_unusual() -> None:
    small = parse_display("oled1=ssd1306 sda=8 scl=9 height=32 address=0x3d")
    assert opening_call(small, "py") == "screen.ssd1306(sda=8, scl=9, height=32, address=0x3d)"
    assert opening_call(small, "wasm") == "screen_ssd1306(8, 9, 128, 32, 0x3d)"
    on_pins = parse_display("lcd1=lcd1602 rs=14 e=5 d4=6 d5=7 d6=15 d7=16")
    assert opening_call(on_pins, "py") == "screen.lcd1602_pins(rs=14, e=5, d4=6, d5=7, d6=15, d7=16)"
    assert opening_call(on_pins, "wasm") == "screen_lcd1602_pins(14, 5, 6, 7, 15, 16, 16, 2)"
    color = parse_display("tft1=st7789 sck=12 mosi=11 dc=5")
    assert opening_call(color, "py") == "screen.st7789(sck=12, mosi=11, dc=5)"
    assert display_kinds(color) == ("py",)
    assert size_in_characters(small) == (16, 4)
    assert size_in_characters(parse_display("digits1=tm1637 clk=6 dio=5")) == (4, 1)


@pytest.mark.parametrize(
    "line", ["lamp=led pin=5", "oled1=ssd1306", "digits1=seven_segment_595 data=4 clock=5 latch=6", "oled1"]
)
def test_what_no_program_can_draw_on_is_refused(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fill("show_text", {"DISPLAY": line})
    assert caught.value.next_step


@pytest.mark.parametrize("text", ["", 'a "quote"', "back\\slash", "grün", "two\nlines", "x" * 101, 42])
def test_a_text_that_might_become_code_is_refused(text: Value) -> None:
    with pytest.raises(ConfigError):
        fill("show_text", {"TEXT": text})


def test_each_word_of_a_text_is_expected() -> None:
    words = text_words("TEXT", "Good, good morning!")
    assert words["TEXT_SHOWN"] == '"Good" within 2 s, "good" within 2 s, "morning" within 2 s'
    assert text_words("TEXT", "!?")["TEXT_SHOWN"] == '"!?" within 2 s'
