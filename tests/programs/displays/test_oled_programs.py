"""Programs as people write them for OLEDs: what they draw is on the virtual display, pixel by pixel."""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, make_part
from microclaw.hardware.screens import screen as screens
from microclaw.hardware.screens.screen import Screen
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image

FONTS: Final = Path(screens.__file__).parent
ADAFRUIT: Final = """
#include <SPI.h>
#include <Wire.h>
#include <Adafruit_GFX.h>
#include <Adafruit_SSD1306.h>
#define SCREEN_WIDTH 128
#define SCREEN_HEIGHT {height}
Adafruit_SSD1306 display(SCREEN_WIDTH, SCREEN_HEIGHT, &Wire, -1);
void setup() {{
  Serial.begin(115200);
  if (!display.begin(SSD1306_SWITCHCAPVCC, {address})) {{
    Serial.println(F("SSD1306 allocation failed"));
    for (;;);
  }}
  display.clearDisplay();
  display.setTextColor(SSD1306_WHITE);
  {drawing}
}}
void loop() {{ {loop} }}
"""
U8G2: Final = """
#include <Arduino.h>
#include <U8g2lib.h>
{class_name} u8g2(U8G2_R0, U8X8_PIN_NONE);
void draw() {{
  {drawing}
}}
void setup() {{ u8g2.begin(); }}
void loop() {{
  u8g2.firstPage();
  do {{
    draw();
  }} while (u8g2.nextPage());
  delay(1000);
}}
"""
PYTHON: Final = """
from machine import I2C, Pin
import ssd1306
i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=400000)
display = ssd1306.SSD1306_I2C(128, 32, i2c)
{drawing}
display.show()
"""
OLED_64: Final = Wiring((make_part("oled1", "ssd1306", pins={}),))

Run: TypeAlias = Callable[..., Awaitable[Trial]]
Pixels: TypeAlias = set[tuple[int, int]]


@pytest.fixture
def run(build_cache: Path) -> Run:
    """Build a program and try it."""

    async def run_program(source: str, ending: str = ".ino", wiring: Wiring | None = None) -> Trial:
        board = load_board("virtual")
        kinds: tuple[ProgramKind, ...] = ("wasm",)
        if ending == ".py":
            board = with_micropython(board)
            kinds = ("py",)
        compile_source = cached_compiler(BuildCache(build_cache))
        image = await compile_source(source, board, "oled", "O3", program_language(f"oled{ending}"), kinds)
        assert image.warnings == ()
        return await try_image(image, board, TrialOptions(wiring=wiring))

    return run_program


def lit_pixels(screen: Screen) -> Pixels:
    """Return the places of the lit pixels, from the upper left corner."""
    pixels = set()
    for y in range(screen.height):
        row = screen.data[y * screen.row_bytes : (y + 1) * screen.row_bytes]
        for x in range(screen.width):
            if row[x // 8] >> (7 - x % 8) & 1:
                pixels.add((x, y))
    return pixels


def text_pixels(font_name: str, text: str, x: int, y: int, size: int = 1) -> Pixels:
    """Return the pixels of a text whose upper left corner is x, y."""
    font = tomllib.loads((FONTS / f"font_{font_name}.toml").read_text(encoding="utf-8"))
    pixels = set()
    for character in text:
        rows = font["glyphs"][character].split()
        for row, digits in enumerate(rows):
            for column, digit in enumerate(digits):
                if digit == "#":
                    pixels |= square(x + column * size, y + row * size, size)
        x += (len(rows[0]) + font["gap"]) * size
    return pixels


def square(x: int, y: int, size: int) -> Pixels:
    return {(x + column, y + row) for column in range(size) for row in range(size)}


def last_pixels(trial: Trial) -> Pixels:
    assert trial.error is None
    return lit_pixels(trial.screens[-1].screen)


def adafruit(drawing: str, *, height: int = 64, address: str = "0x3C", loop: str = "delay(100);") -> str:
    return ADAFRUIT.format(drawing=drawing, height=height, address=address, loop=loop)


async def test_a_sketch_writes_texts_in_sizes_wrapped_inverse_and_with_degrees(run: Run) -> None:
    drawing = """
      display.setCursor(0, 0);
      display.println("Hello, world!");
      display.print(22.5, 1);
      display.print("°C");
      display.setTextSize(2);
      display.setCursor(100, 16);
      display.print("ABC");
      display.setTextSize(1);
      display.setTextColor(SSD1306_BLACK, SSD1306_WHITE);
      display.setCursor(0, 50);
      display.write('x');
      display.display();
    """
    trial = await run(adafruit(drawing))
    expected = text_pixels("5x7", "Hello, world!", 0, 0)
    expected |= text_pixels("5x7", "22.5°C", 0, 8)
    expected |= text_pixels("5x7", "AB", 100, 16, 2)
    expected |= text_pixels("5x7", "C", 0, 32, 2)
    cell = {(x, y) for x in range(6) for y in range(50, 58)}
    expected |= cell - text_pixels("5x7", "x", 0, 50)
    assert last_pixels(trial) == expected


async def test_a_sketch_draws_shapes(run: Run) -> None:
    drawing = """
      display.drawCircle(10, 10, 8, WHITE);
      display.fillCircle(40, 10, 8, WHITE);
      display.fillRoundRect(60, 2, 20, 16, 5, WHITE);
      display.drawRoundRect(60, 2, 20, 16, 5, INVERSE);
      display.drawLine(0, 63, 20, 43, WHITE);
      display.fillTriangle(40, 40, 60, 60, 40, 60, WHITE);
      display.drawTriangle(40, 40, 60, 60, 40, 60, INVERSE);
      const unsigned char logo[] = {0b10100000, 0b01000000};
      display.drawBitmap(100, 0, logo, 3, 2, WHITE);
      display.setRotation(1);
      display.drawPixel(0, 0, WHITE);
      display.display();
    """
    pixels = last_pixels(await run(adafruit(drawing)))
    circle = {(x, y) for x, y in pixels if x < 20 and y < 20}
    disc = {(x - 30, y) for x, y in pixels if 30 <= x < 50 and y < 20}
    assert {(10, 2), (10, 18), (2, 10), (18, 10)} <= circle <= disc
    assert circle == {(y, x) for x, y in circle} == {(20 - x, y) for x, y in circle}
    assert len(disc) == pytest.approx(3.14 * 8.5**2, rel=0.05)
    # What an outline takes away of the shape that is filled is its border, each pixel once.
    box = {(x, y) for x, y in pixels if 58 <= x < 82 and y < 20}
    assert {(65, 3), (74, 16), (61, 9), (78, 9)} <= box
    assert not box & {(60, 9), (79, 9), (70, 2), (70, 17), (60, 2), (79, 17)}
    assert {(x, 63 - x) for x in range(21)} <= pixels
    triangle = {(x, y) for x, y in pixels if 40 <= x < 62 and y >= 40}
    assert (42, 55) in triangle
    assert not triangle & {(50, 50), (40, 50), (50, 60)}
    assert {(100, 0), (102, 0), (101, 1)} <= pixels
    assert (127, 0) in pixels


ROTATIONS: Final[tuple[Callable[[int, int], tuple[int, int]], ...]] = (
    lambda x, y: (x, y),
    lambda x, y: (127 - y, x),
    lambda x, y: (127 - x, 63 - y),
    lambda x, y: (y, 63 - x),
)


@pytest.mark.parametrize("quarters", range(4))
async def test_a_picture_is_turned_by_quarters_clockwise(run: Run, quarters: int) -> None:
    drawing = f"""
      display.setRotation({quarters});
      display.setCursor(2, 3);
      display.print("Up");
      display.fillRect(-3, 30, 13, 11, WHITE);
      display.drawFastVLine(20, 13, 20, WHITE);
      display.fillRect(4, 34, 3, 3, INVERSE);
      display.display();
    """
    drawn = text_pixels("5x7", "Up", 2, 3)
    drawn |= {(x, y) for x in range(10) for y in range(30, 41)}
    drawn |= {(20, y) for y in range(13, 33)}
    drawn -= {(x, y) for x in range(4, 7) for y in range(34, 37)}
    turn = ROTATIONS[quarters]
    assert last_pixels(await run(adafruit(drawing))) == {turn(x, y) for x, y in drawn}


async def test_u8g2_mirrors_a_picture(run: Run) -> None:
    drawing = 'u8g2.setFont(u8g2_font_6x10_tf); u8g2.drawStr(3, 20, "left"); u8g2.drawBox(10, 30, 5, 3);'
    source = U8G2.format(class_name="U8G2_SSD1306_128X64_NONAME_2_HW_I2C", drawing=drawing)
    drawn = text_pixels("6x10", "left", 3, 13) | {(x, y) for x in range(10, 15) for y in range(30, 33)}
    trial = await run(source.replace("U8G2_R0", "U8G2_MIRROR"))
    assert last_pixels(trial) == {(127 - x, y) for x, y in drawn}


async def test_a_display_is_on_the_pins_of_the_bus_that_a_sketch_opens(run: Run) -> None:
    drawing = 'display.print("Pins"); display.display();'
    source = adafruit(drawing).replace("Serial.begin(115200);", "Wire.begin(4, 5);")
    assert last_pixels(await run(source)) == text_pixels("5x7", "Pins", 0, 0)


@pytest.mark.parametrize("bus", ["SW_I2C u8g2(U8G2_R0, 5, 4", "HW_I2C u8g2(U8G2_R0, U8X8_PIN_NONE, 5, 4"])
async def test_u8g2_takes_the_pins_of_its_bus(run: Run, bus: str) -> None:
    drawing = 'u8g2.setFont(u8g2_font_6x10_tf); u8g2.drawStr(0, 7, "Pins");'
    source = U8G2.format(class_name="CLASS", drawing=drawing)
    source = source.replace("CLASS u8g2(U8G2_R0, U8X8_PIN_NONE", f"U8G2_SSD1306_128X64_NONAME_F_{bus}")
    assert last_pixels(await run(source)) == text_pixels("6x10", "Pins", 0, 0)


async def test_a_canvas_is_drawn_as_a_bitmap(run: Run) -> None:
    drawing = """
      GFXcanvas1 canvas(50, 10);
      canvas.setCursor(0, 0);
      canvas.print("canvas");
      display.drawBitmap(10, 20, canvas.getBuffer(), 50, 10, WHITE, BLACK);
      int16_t x, y;
      uint16_t w, h;
      display.getTextBounds("four\\nlines", 3, 5, &x, &y, &w, &h);
      Serial.printf("bounds %d %d %d %d\\n", x, y, w, h);
      display.display();
    """
    trial = await run(adafruit(drawing))
    assert last_pixels(trial) == text_pixels("5x7", "canvas", 10, 20)
    assert trial.log == ("bounds 0 5 30 16",)


@pytest.mark.parametrize("class_name", ["U8G2_SSD1306_128X64_NONAME_F_HW_I2C", "U8G2_SH1106_128X64_NONAME_1_HW_I2C"])
async def test_u8g2_writes_in_its_three_fonts(run: Run, class_name: str) -> None:
    drawing = """
      u8g2.setFont(u8g2_font_ncenB08_tr);
      u8g2.drawStr(0, 10, "Hello");
      u8g2.setFont(u8g2_font_6x10_tf);
      u8g2.setCursor(60, 10);
      u8g2.print("jumpy ");
      u8g2.print(42);
      u8g2.setFont(u8g2_font_10x20_tf);
      u8g2.drawStr(0, 40, "10x20");
      u8g2.drawBox(80, 30, 40, 20);
      u8g2.setDrawColor(0);
      u8g2.setFont(u8g2_font_6x10_tf);
      u8g2.drawStr(128 - u8g2.getStrWidth("right"), 45, "right");
      u8g2.setDrawColor(1);
    """
    trial = await run(U8G2.format(class_name=class_name, drawing=drawing))
    expected = text_pixels("bold_8", "Hello", 0, 3)
    expected |= text_pixels("6x10", "jumpy 42", 60, 3)
    expected |= text_pixels("10x20", "10x20", 0, 27)
    expected |= {(x, y) for x in range(80, 120) for y in range(30, 50)}
    right = last_pixels(trial) ^ expected
    ink = text_pixels("6x10", "right", 98, 38)
    assert right & {(x, y) for x, y in expected if x >= 80} == {(x, y) for x, y in ink if x < 120}


async def test_a_class_of_u8g2_says_how_large_the_panel_is(run: Run) -> None:
    drawing = 'u8g2.setFont(u8g2_font_6x10_tf); u8g2.drawStr(0, 7, "small");'
    trial = await run(U8G2.format(class_name="U8G2_SSD1306_72X40_ER_F_HW_I2C", drawing=drawing))
    screen = trial.screens[-1].screen
    assert (screen.width, screen.height) == (72, 40)
    assert lit_pixels(screen) == text_pixels("6x10", "small", 0, 0)


async def test_a_sketch_with_a_wrong_address_says_so_and_shows_nothing(run: Run) -> None:
    trial = await run(adafruit("display.display();", address="0x3D"), wiring=OLED_64)
    assert trial.log == ("SSD1306 allocation failed",)
    assert all(shown.screen.is_blank for shown in trial.screens)


async def test_a_program_with_a_wrong_address_gets_an_error(run: Run) -> None:
    source = PYTHON.format(drawing="display.text('x', 0, 0)").replace("32, i2c", "32, i2c, addr=0x3D")
    trial = await run(source, ".py", OLED_64)
    assert trial.state == "trapped"
    assert "OSError: [Errno 19] ENODEV" in str(trial.trap)
    assert "no I2C device at 0x3d; the wiring has oled1 (ssd1306) at 0x3c" in str(trial.error)


async def test_what_is_drawn_and_never_sent_is_not_seen(run: Run) -> None:
    trial = await run(adafruit('display.println("Hello");', loop='display.println("again"); delay(50);'))
    assert all(shown.screen.is_blank for shown in trial.screens)


async def test_a_sketch_for_32_rows_on_a_panel_of_64_draws_on_every_second_row(run: Run) -> None:
    drawing = 'display.println("Hello"); display.display();'
    trial = await run(adafruit(drawing, height=32), wiring=OLED_64)
    hello = text_pixels("5x7", "Hello", 0, 0)
    assert last_pixels(trial) == {(x, 2 * y + 1) for x, y in hello}


async def test_a_program_for_32_rows_shows_them_on_its_own_panel(run: Run) -> None:
    trial = await run(PYTHON.format(drawing="display.rect(0, 0, 128, 32, 1)"), ".py")
    border = {(x, y) for x in range(128) for y in range(32) if x in (0, 127) or y in (0, 31)}
    assert last_pixels(trial) == border


async def test_a_display_that_is_switched_on_uncleared_shows_snow(run: Run) -> None:
    source = """
#include <Wire.h>
void setup() {
  Wire.begin();
  Wire.beginTransmission(0x3C);
  for (int step : {0x00, 0x8D, 0x14, 0xAF}) Wire.write((uint8_t)step);
  Wire.endTransmission();
}
void loop() { delay(100); }
"""
    pixels = last_pixels(await run(source, wiring=OLED_64))
    assert 3000 < len(pixels) < 5000


@pytest.mark.parametrize(("clock_hz", "least_ms"), [(100_000, 94.0), (400_000, 23.5)])
async def test_a_refresh_takes_the_time_of_its_bytes(run: Run, clock_hz: int, least_ms: float) -> None:
    """The chip's time: 1,024 bytes in 9 transfers and 6 bytes of the window, 9 clocks each."""
    drawing = """
      unsigned long before = micros();
      display.display();
      Serial.println(micros() - before);
    """
    source = adafruit(drawing).replace("&Wire, -1)", f"&Wire, -1, {clock_hz}, {clock_hz})")
    trial = await run(source)
    took_ms = int(trial.log[0]) / 1000
    assert least_ms < took_ms < least_ms * 1.15
