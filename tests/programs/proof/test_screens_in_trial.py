"""Programs that draw on a display, tried: what they show is read from the pixels that their display has."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hardware.screens.canvas import Canvas

from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.framebuf_font import read_framebuf_font
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build

BOARD = load_board("virtual")
COUNTER = """
from machine import I2C, Pin
from time import sleep_ms
import ssd1306

oled = ssd1306.SSD1306_I2C(128, 64, I2C(0, scl=Pin(9), sda=Pin(8), freq=400000))
oled.text("Hello, world!", 3, 5)
for count in range(1000):
    oled.fill_rect(0, 30, 128, 8, 0)
    oled.text("count " + str(count), 3, 30)
    oled.show()
    sleep_ms(970)
"""
TWO = "[left]\npart = 'ssd1306'\n[right]\npart = 'ssd1306'\naddress = 0x3D\n"


async def try_counter(expect: str, cache: Path, wiring: str | None = None) -> Trial:
    build_cache = BuildCache(cache)
    image = await build(COUNTER, "counter", board=BOARD, cache=build_cache)
    own = parse_wiring(wiring) if wiring is not None else None
    options = TrialOptions(expectations=parse_expectations(f"{expect}\nfor 10 s\nsoak 0 s"), wiring=own)
    return await try_image(image, BOARD, options, cache=build_cache)


async def test_what_a_program_shows_is_met_and_what_it_does_not_is_said(tmp_path: Path) -> None:
    met = (
        'screen: "Hello, world!" within 2 s\nscreen ssd1306: ~ "count \\d+" every 2 s\nscreen: never "Error"\n'
        'screen: "count 3" at 3.5 s\nscreen: changes every 1 s from 500 ms\nscreen: blank at 10 ms'
    )
    trial = await try_counter(met, tmp_path)
    assert [result.line() for result in trial.expected if result.trial != "met"] == []
    wrong = await try_counter('screen: "Hello, World!" within 3.5 s', tmp_path)
    assert wrong.proof == "not met"
    assert "the screen shows 'Hello, world! | count 3'" in wrong.expected[0].found


async def test_of_two_displays_each_is_read_by_its_id(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which display"):
        await try_counter('screen: "Hello, world!"', tmp_path, TWO)
    trial = await try_counter('screen left: "Hello, world!"\nscreen right: "Hello, world!"', tmp_path, TWO)
    assert [result.trial for result in trial.expected] == ["met", "not met"]


async def test_framebufs_font_is_drawn_by_framebuf_itself(tmp_path: Path) -> None:
    font = await read_framebuf_font(BuildCache(tmp_path))
    # Those of framebuf, and the degree sign that microclaw.screen draws.
    assert len(font.glyphs) == 96
    assert font.height == 8
    assert not any("#" in row for row in font.glyphs[" "])
    assert len({glyph for character, glyph in font.glyphs.items()}) == 96
    canvas = Canvas()
    canvas.text(0, 0, "A", font)
    assert any(map(any, canvas.rows))
