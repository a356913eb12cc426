"""microclaw.screen: the same program on each display that a part stands for, in each size, shows what it is to show."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.reader import parts
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

PYTHON: Final = """
from time import sleep
from microclaw import screen

display = screen.{display}
display.text("Hello", "7 cups")
sleep(1)
display.number(21.5, "°C", "Room")
sleep(1)
display.bar(70, "Knob")
sleep(1)
display.graph([20.5, 21.0, 23.5, 22.0], "°C", "Room")
sleep(1)
display.icon("sun", "Sunny")
sleep(1)
display.clear()
"""
WORDS: Final = """
screen: "Hello" at 900 ms, "7 cups" at 900 ms
screen: "21.5" at 1900 ms
screen: "70 %" at 2900 ms
screen: "22.0" at 3900 ms
screen: "Sunny" at 4900 ms
screen: blank at 6500 ms
"""
LABELS: Final = """
screen: "Room" at 1900 ms
screen: "Knob" at 2900 ms
"""
PIXEL_DISPLAYS: Final = {
    "ssd1306": "ssd1306(sda=8, scl=9)",
    "ssd1306 128x32": "ssd1306(sda=8, scl=9, height=32)",
    "ssd1306 64x48": "ssd1306(sda=8, scl=9, width=64, height=48)",
    "ssd1306 72x40": "ssd1306(8, 9, 72, 40, 0x3D)",
    "ssd1306_spi": "ssd1306_spi(sck=12, mosi=11, dc=5, cs=10, rst=4)",
    "ssd1306_spi 128x32": "ssd1306_spi(sck=12, mosi=11, dc=5, width=128, height=32)",
    "sh1106": "sh1106(sda=8, scl=9)",
    "st7789": "st7789(sck=12, mosi=11, dc=5, cs=10, rst=4, bl=6)",
    "st7789 240x320": "st7789(sck=12, mosi=11, dc=5, cs=10, height=320)",
    "st7789 135x240": "st7789(sck=12, mosi=11, dc=5, width=135)",
    "ili9341": "ili9341(sck=12, mosi=11, dc=5, cs=10, rst=4, bl=6)",
    "lcd1602": "lcd1602(sda=8, scl=9)",
    "lcd1602 on pins": "lcd1602_pins(rs=4, e=5, d4=6, d5=7, d6=15, d7=16)",
    "lcd2004": "lcd2004(sda=8, scl=9, address=0x3F)",
    "lcd2004 on pins": "lcd2004_pins(rs=4, e=5, d4=6, d5=7, d6=15, d7=16)",
}
DIGIT_WORDS: Final = """
display: {words[0]} at 900 ms
display: {words[1]} at 1900 ms
display: "70" at 2900 ms
display: {words[2]} at 3900 ms
display: blank at 6500 ms
"""
DIGIT_DISPLAYS: Final = {
    "tm1637": ("tm1637(clk=4, dio=5)", ('~ "----"', '"22"', '"22"')),
    "tm1637 with points": ("tm1637(clk=4, dio=5, digits=6, colon=0)", ('~ "------"', '"21.5"', '"22.0"')),
    "max7219 digits": ("max7219(sck=4, mosi=5, cs=6, digits=8)", ('~ "--------"', '"21.5"', '"22.0"')),
    "max7219 digits in a chain": ("max7219(sck=4, mosi=5, cs=6, count=2, digits=6)", ('"7"', '"21.5"', '"22.0"')),
}
MATRICES: Final = {
    "max7219": "max7219(sck=4, mosi=5, cs=6, count={count})",
    "max7219 mirrored": "max7219(sck=4, mosi=5, cs=6, count={count}, mirrored=1)",
}


async def try_program(source: str, expected: str, build_cache: Path, ending: str = ".py") -> None:
    board = load_board("virtual")
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    if ending == ".py":
        board = with_micropython(board)
        kinds = ("py",)
    compile_source = cached_compiler(BuildCache(build_cache))
    image = await compile_source(source, board, "screen", "O3", program_language(f"screen{ending}"), kinds)
    assert image.warnings == ()
    trial = await try_image(image, board, TrialOptions(expectations=parse_expectations(expected)))
    assert trial.ok, f"{trial.error}; {trial.log}"
    assert trial.proof == "met in the trial", [result.line() for result in trial.expected]


@pytest.mark.parametrize("name", PIXEL_DISPLAYS)
async def test_a_display_shows_text_numbers_bars_graphs_and_icons(name: str, build_cache: Path) -> None:
    source = PYTHON.format(display=PIXEL_DISPLAYS[name])
    await try_program(source, WORDS + LABELS, build_cache)


@pytest.mark.parametrize("name", DIGIT_DISPLAYS)
async def test_digits_show_what_they_can(name: str, build_cache: Path) -> None:
    display, words = DIGIT_DISPLAYS[name]
    source = PYTHON.format(display=display)
    await try_program(source, DIGIT_WORDS.format(words=words), build_cache)


def test_each_display_is_tried() -> None:
    displays = {part.name for part in parts().values() if part.kind == "display"}
    tried = {name.partition(" ")[0] for name in (*PIXEL_DISPLAYS, *DIGIT_DISPLAYS)}
    assert displays - tried == {"seven_segment", "seven_segment_595"}
