"""Sketches for color displays on SPI: what they draw is read from the virtual display's pixels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from microclaw.errors import BuildError
from microclaw.hardware.boards.firmware import parse_firmware
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, make_part
from microclaw.hardware.screens.screen import Screen
from microclaw.programs.building import cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image

STOCK: Final = load_board("virtual")
WITH_SPI: Final = parse_firmware(("nodes=+spi",)).applied(STOCK)
ST7789: Final = """
#include <Adafruit_GFX.h>
#include <Adafruit_ST7789.h>
Adafruit_ST7789 tft({pins});
void setup() {{
  tft.init({width}, {height});
  tft.setRotation({rotation});
  tft.setTextColor(ST77XX_WHITE, ST77XX_RED);
  tft.setCursor(2, 3);
  tft.print("Hi 42");
  tft.drawPixel(0, 0, ST77XX_GREEN);
  tft.drawPixel(tft.width() - 1, tft.height() - 1, ST77XX_BLUE);
  tft.fillRect(-5, -5, 4, 4, ST77XX_YELLOW);
}}
void loop() {{ delay(1000); }}
"""
ILI9341: Final = """
#include <Adafruit_ILI9341.h>
#include <Adafruit_GFX.h>
Adafruit_ILI9341 tft(5, 6);
const uint16_t dot[4] = {ILI9341_GREEN, ILI9341_RED, ILI9341_WHITE, ILI9341_BLUE};
void setup() {
  SPI.begin(12, 13, 11, 10);
  tft.begin();
  tft.setRotation(3);
  tft.setTextSize(2);
  tft.println("Hello");
  tft.drawRGBBitmap(100, 50, dot, 2, 2);
  tft.drawRGBBitmap(319, 239, dot, 2, 2);
}
void loop() { delay(1000); }
"""
OWN_PINS: Final = """
#include <Adafruit_ST7789.h>
Adafruit_ST7789 tft(7, 5, 15, 16, -1);
void setup() {
  tft.init(8, 8);
  tft.drawPixel(3, 6, ST77XX_GREEN);
}
void loop() { delay(1000); }
"""
GREEN: Final = 0x07E0
BLUE: Final = 0x001F
Run: TypeAlias = Callable[..., Awaitable[Trial]]


@pytest.fixture
def run(build_cache: Path) -> Run:
    """Build a sketch for firmware with or without SPI, and try it."""

    async def run_sketch(
        source: str, expected: str = "", *, has_spi: bool = True, wiring: Wiring | None = None
    ) -> Trial:
        board = WITH_SPI if has_spi else STOCK
        compile_source = cached_compiler(BuildCache(build_cache))
        image = await compile_source(source, board, "tft", "O3", "sketch", ("wasm",))
        expectations = parse_expectations(expected) if expected else None
        options = TrialOptions(expectations=expectations, wiring=wiring)
        return await try_image(image, board, options)

    return run_sketch


def color_at(screen: Screen, x: int, y: int) -> int:
    start = y * screen.row_bytes + 2 * x
    return int.from_bytes(screen.data[start : start + 2], "big")


@pytest.mark.parametrize("rotation", range(4))
@pytest.mark.parametrize("size", [(240, 240), (135, 240), (240, 320)])
async def test_an_st7789_shows_what_a_sketch_draws_in_each_rotation(
    run: Run, size: tuple[int, int], rotation: int
) -> None:
    width, height = size
    sketch = ST7789.format(pins="10, 5, 4", width=width, height=height, rotation=rotation)
    trial = await run(sketch, 'screen: "Hi 42" within 2 s')
    assert trial.proof == "met in the trial", [result.line() for result in trial.expected]
    screen = trial.screens[-1].screen
    if rotation % 2:
        width, height = height, width
    assert (screen.width, screen.height) == (width, height)
    assert color_at(screen, 0, 0) == GREEN
    assert color_at(screen, width - 1, height - 1) == BLUE


async def test_a_display_on_any_pins_needs_no_bus_of_the_firmware(run: Run) -> None:
    """The panel is tiny: bit by bit a whole picture takes longer than a trial."""
    pins = {"sck": 16, "mosi": 15, "dc": 5, "cs": 7}
    wiring = Wiring((make_part("tft1", "st7789", pins=pins, attributes={"width": 8, "height": 8}),))
    trial = await run(OWN_PINS, has_spi=False, wiring=wiring)
    assert trial.ok, trial.error
    assert color_at(trial.screens[-1].screen, 3, 6) == GREEN


async def test_an_ili9341_beside_the_pin_that_the_bus_selects_with(run: Run) -> None:
    trial = await run(ILI9341, 'screen: "Hello" within 2 s')
    assert trial.proof == "met in the trial", [result.line() for result in trial.expected]
    screen = trial.screens[-1].screen
    assert (screen.width, screen.height) == (320, 240)
    assert [color_at(screen, x, y) for y in (50, 51) for x in (100, 101)] == [GREEN, 0xF800, 0xFFFF, BLUE]
    assert color_at(screen, 319, 239) == GREEN


async def test_stock_firmware_refuses_a_display_on_its_bus(run: Run) -> None:
    with pytest.raises(BuildError) as caught:
        await run(ILI9341, has_spi=False)
    assert "/dev/spi" in caught.value.diagnostics[0].message
