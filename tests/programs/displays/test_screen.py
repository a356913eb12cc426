"""microclaw.screen: the same program on each display that a part stands for, in each size, shows what it is to show."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.reader import parts
from microclaw.hardware.parts.wiring import Wiring, make_part
from microclaw.hardware.screens import screen as screens
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.wasm.part_libraries import SHARED_LIBRARIES
from microclaw.programs.wasm.part_screens import PLACES, screen_functions, screen_headers
from microclaw.programs.wasm.source_text import read_source
from microclaw.programs.wasm.toolchain import HEADERS

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
C_ICON: Final = re.compile(r'\{"(\w+)", \{(0x[^}]+)\}\}')
C: Final = """
#include "microclaw.h"

static int display, step;
static screen_hour hour;

static void show(void) {{
    if (++step == 1) screen_number(display, 21.5, "°C", "Room");
    if (step == 2) screen_bar(display, 70, "Knob");
    if (step == 3) screen_graph(display, hour.values, hour.count, "°C", "Room");
    if (step == 4) screen_icon(display, "sun", "Sunny");
    if (step == 5) screen_clear(display);
}}

void on_init(void) {{
    screen_hour_add(&hour, 20.5f);
    screen_hour_add(&hour, 22.0f);
    display = screen_{display};
    screen_text(display, "Hello\\n7 cups");
    every(1000, show);
}}
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
C_DISPLAYS: Final = {
    "ssd1306": "ssd1306(8, 9, 128, 64, 0x3c)",
    "ssd1306 128x32": "ssd1306(8, 9, 128, 32, 0x3d)",
    "ssd1306 64x48": "ssd1306(8, 9, 64, 48, 0x3c)",
    "sh1106": "sh1106(8, 9, 128, 64, 0x3c)",
    "lcd1602": "lcd1602(8, 9, 16, 2, 0x27)",
    "lcd1602 on pins": "lcd1602_pins(4, 5, 6, 7, 15, 16, 16, 2)",
    "lcd2004": "lcd2004(8, 9, 20, 4, 0x3f)",
    "lcd2004 on pins": "lcd2004_pins(4, 5, 6, 7, 15, 16, 20, 4)",
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
C_DIGIT_DISPLAYS: Final = {
    "tm1637": ("tm1637(4, 5, 4, 1)", ('~ "----"', '"22"', '"22"')),
    "tm1637 with points": ("tm1637(4, 5, 6, 0)", ('~ "------"', '"21.5"', '"22.0"')),
    "max7219 digits": ("max7219(4, 5, 6, 1, 8, 0)", ('~ "--------"', '"21.5"', '"22.0"')),
    "max7219 digits in a chain": ("max7219(4, 5, 6, 2, 6, 0)", ('"7"', '"21.5"', '"22.0"')),
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


@pytest.mark.parametrize("name", C_DISPLAYS)
async def test_a_display_shows_the_same_in_c(name: str, build_cache: Path) -> None:
    source = C.format(display=C_DISPLAYS[name])
    await try_program(source, WORDS + LABELS, build_cache, ".c")


@pytest.mark.parametrize("name", C_DIGIT_DISPLAYS)
async def test_digits_show_the_same_in_c(name: str, build_cache: Path) -> None:
    display, words = C_DIGIT_DISPLAYS[name]
    source = C.format(display=display)
    await try_program(source, DIGIT_WORDS.format(words=words), build_cache, ".c")


MATRIX_PYTHON: Final = """
from microclaw import screen

screen.max7219(sck=4, mosi=5, cs=6, count=4, mirrored={mirrored}).number(42)
"""
MATRIX_C: Final = """
#include "microclaw.h"

void on_init(void) {{
    screen_number(screen_max7219(4, 5, 6, 4, 0, {mirrored}), 42, "", "");
}}
"""


@pytest.mark.parametrize("mirrored", [0, 1])
@pytest.mark.parametrize(("program", "ending"), [(MATRIX_PYTHON, ".py"), (MATRIX_C, ".c")])
async def test_matrices_of_both_kinds_show_a_number(
    program: str, ending: str, mirrored: int, build_cache: Path
) -> None:
    await try_program(program.format(mirrored=mirrored), 'screen: "42" within 900 ms\n', build_cache, ending)


SCROLL_PYTHON: Final = """
from time import sleep_ms
from microclaw import screen

display = screen.max7219(sck=4, mosi=5, cs=6, count=4)
while True:
    display.scroll("It has 1250 steps")
    sleep_ms(200)
"""
SCROLL_C: Final = """
#include "microclaw.h"

static int display;

static void step(void) { screen_scroll(display, "It has 1250 steps, and 37 rooms"); }

void on_init(void) {
    display = screen_lcd1602(8, 9, 16, 2, 0x27);
    every(200, step);
}
"""
SCROLLED: Final = """
screen: "has" within 5 s
screen: "1250" within 5 s
screen: never "250", never "125", never "50"
for 8 s
"""


@pytest.mark.parametrize(("program", "ending"), [(SCROLL_PYTHON, ".py"), (SCROLL_C, ".c")])
async def test_a_text_moves_and_no_number_is_cut(program: str, ending: str, build_cache: Path) -> None:
    await try_program(program, SCROLLED, build_cache, ending)


TWO_C: Final = """
#include "microclaw.h"

int main(void) {
    int oled = screen_ssd1306(8, 9, 128, 64, 0x3c);
    int lcd = screen_lcd1602(8, 9, 16, 2, 0x27);
    int other = screen_ssd1306(8, 9, 128, 64, 0x11);
    unsigned long way = 123456;
    screen_text(oled, "Hello");
    screen_number(lcd, way, "km", "Way");
    screen_text(other, "nobody sees it");
}
"""
TWO_PYTHON: Final = """
from microclaw import screen

oled = screen.ssd1306(sda=8, scl=9)
lcd = screen.lcd1602(sda=8, scl=9)
oled.text("Hello")
lcd.number(123456, "km", "Way")
print("nothing answers at 0x11")
"""
TWO: Final = """
screen ssd1306: "Hello" within 1 s
screen lcd1602: "123456 km" within 1 s
log ~ ".*nothing answers at 0x11" within 1 s
"""


@pytest.mark.parametrize(("program", "ending"), [(TWO_PYTHON, ".py"), (TWO_C, ".c")])
async def test_a_program_draws_on_two_displays(program: str, ending: str, build_cache: Path) -> None:
    board = load_board("virtual")
    if ending == ".py":
        board = with_micropython(board)
    compile_source = cached_compiler(BuildCache(build_cache))
    kinds: tuple[ProgramKind, ...] = ("wasm", "py")
    image = await compile_source(program, board, "screen", "O3", program_language(f"screen{ending}"), kinds)
    trial = await try_image(image, board, TrialOptions(expectations=parse_expectations(TWO)))
    assert {result.trial for result in trial.expected} == {"met"}, [result.line() for result in trial.expected]


NUMBERS_PYTHON: Final = """
from time import sleep
from microclaw import screen

display = screen.lcd1602(sda=8, scl=9, columns=8)
display.text("a 1234567890 b")
sleep(1)
display.number(12345678.5, "km")
sleep(1)
display.number(None, "km")
sleep(1)
display.text("Grüße")
"""
NUMBERS: Final = """
screen: never ~ "\\d"
screen: ~ "--------" at 900 ms, ~ "--------" at 1900 ms
screen: "-- km" at 2900 ms
screen: "Gr??e" at 3900 ms
for 4500 ms
"""


async def test_a_number_without_room_becomes_dashes(build_cache: Path) -> None:
    await try_program(NUMBERS_PYTHON, NUMBERS, build_cache)


HOUR: Final = """
from time import ticks_add, ticks_ms
from microclaw import screen

hour = screen.Hour()
hour.add(1)
hour._minute_ms = ticks_add(ticks_ms(), -60000)
hour.add(2)
hour.add(3)
print(hour.values)
"""


async def test_the_minutes_of_an_hour_are_counted_across_the_wrap_of_the_ticks(build_cache: Path) -> None:
    await try_program(HOUR, 'log ~ ".1, 3." within 900 ms', build_cache)


THREE_C: Final = """
#include "microclaw.h"

int main(void) {
    int oled = screen_ssd1306(8, 9, 128, 64, 0x3c);
    int lcd = screen_lcd1602(8, 9, 16, 2, 0x27);
    int clock = screen_tm1637(5, 6, 4, 1);
    screen_text(oled, "Hello");
    screen_text(lcd, "World");
    screen_number(clock, 42, "", "");
}
"""
THREE: Final = """
screen ssd1306: "Hello" within 1 s
screen lcd1602: "World" within 1 s
screen tm1637: "42" within 1 s
"""


async def test_a_program_opens_three_displays(build_cache: Path) -> None:
    await try_program(THREE_C, THREE, build_cache, ".c")


def test_the_header_has_a_place_for_each_display() -> None:
    every = "\n".join(f"int a{number} = {name}();" for number, name in enumerate(screen_functions()))
    headers = screen_headers(read_source(every, "all"))
    assert {"screen_ssd1306.h", "screen_lcd1602.h", "screen_tm1637.h"} < set(headers)
    assert len(headers) <= PLACES
    text = (HEADERS / "microclaw.h").read_text(encoding="utf-8")
    assert re.findall(r"#include MICROCLAW_SCREEN_(\d+)", text) == [str(place) for place in range(1, PLACES + 1)]


WRONG_SIZE: Final = """
from machine import I2C, Pin
import ssd1306

display = ssd1306.SSD1306_I2C(128, 32, I2C(0, sda=Pin(8), scl=Pin(9)))
display.text("Hello", 0, 0)
display.text("World", 0, 12)
display.show()
"""


async def test_a_driver_for_another_size_is_named(build_cache: Path) -> None:
    wiring = Wiring((make_part("oled1", "ssd1306", pins={}, address=0x3C),))
    expected = parse_expectations('screen: "Hello" within 1 s')
    compile_source = cached_compiler(BuildCache(build_cache))
    board = with_micropython(load_board("virtual"))
    image = await compile_source(WRONG_SIZE, board, "stripes", "O3", "python", ("py",))
    trial = await try_image(image, board, TrialOptions(expectations=expected, wiring=wiring))
    result = trial.expected[0]
    text = "the program sets up 32 rows, the wiring has 64"
    assert result.trial == "untried"
    assert str(result.found).startswith(text)
    assert any(warning.endswith(text) for warning in trial.warnings)


ICON_PYTHON: Final = """
from microclaw import screen

screen.ssd1306(sda=8, scl=9).icon("rocket", "Start")
"""
ICON_C: Final = """
#include "microclaw.h"

void on_init(void) {
    screen_icon(screen_ssd1306(8, 9, 128, 64, 0x3c), "rocket", "Start");
}
"""


@pytest.mark.parametrize(("program", "ending"), [(ICON_PYTHON, ".py"), (ICON_C, ".c")])
async def test_an_icon_that_is_not_there_is_its_label(program: str, ending: str, build_cache: Path) -> None:
    await try_program(program, 'screen: "Start" within 900 ms', build_cache, ending)


def test_both_languages_have_the_same_icons() -> None:
    python = (Path(screens.__file__).parent / "python/screen_icons.py").read_text(encoding="utf-8")
    icons = ast.literal_eval(python.partition("ICONS = ")[2])
    c = (SHARED_LIBRARIES / "screen/screen_pixels.cpp").read_text(encoding="utf-8")
    c_icons = {name: bytes(int(row, 16) for row in rows.split(", ")) for name, rows in C_ICON.findall(c)}
    assert c_icons == icons


def test_each_display_is_tried() -> None:
    displays = {part.name for part in parts().values() if part.kind == "display"}
    tried = {name.partition(" ")[0] for name in (*PIXEL_DISPLAYS, *DIGIT_DISPLAYS)}
    assert displays - tried == {"seven_segment", "seven_segment_595"}
