"""Programs for character displays, as people write them, on the part that they name: what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image

WIRE = "#include <Wire.h>\n#include <LiquidCrystal_I2C.h>\n"
PINS = "#include <LiquidCrystal.h>\n"
LOOP = "void loop() { delay(100); }\n"
I2C = "from machine import I2C, Pin\nfrom time import sleep_ms\ni2c = I2C(0, scl=Pin(9), sda=Pin(8))\n"
FOREVER = "\nwhile True:\n    sleep_ms(100)\n"
NARROW = " " * 16
PROGRAMS: list[tuple[str, str, str, tuple[str, ...]]] = [
    (
        "begin.ino",
        WIRE + 'LiquidCrystal_I2C lcd(0x3F, 16, 2);\nvoid setup() { lcd.begin(); lcd.print("Hello"); }\n' + LOOP,
        "lcd1602",
        ("Hello           ", NARROW),
    ),
    (
        "rows.ino",
        WIRE + "LiquidCrystal_I2C lcd(0x27, 20, 4);\nvoid setup() { lcd.begin(20, 4); lcd.backlight();"
        ' lcd.setCursor(2, 3); lcd.printf("%d lines", 4); }\n' + LOOP,
        "lcd2004",
        (" " * 20, " " * 20, " " * 20, "  4 lines           "),
    ),
    (
        "other_names.ino",
        "#include <LiquidCrystal_PCF8574.h>\nLiquidCrystal_PCF8574 lcd(0x3F);\n"
        'void setup() { lcd.begin(20, 4); lcd.setBacklight(255); lcd.setCursor(0, 1); lcd.print("Hello"); }\n' + LOOP,
        "lcd2004",
        (" " * 20, "Hello" + " " * 15, " " * 20, " " * 20),
    ),
    (
        "found.ino",
        "#include <Wire.h>\n#include <hd44780.h>\n#include <hd44780ioClass/hd44780_I2Cexp.h>\nhd44780_I2Cexp lcd;\n"
        'void setup() { if (lcd.begin(20, 4) == 0) { lcd.setCursor(0, 3); lcd.print("found"); } }\n' + LOOP,
        "lcd2004",
        (" " * 20, " " * 20, " " * 20, "found" + " " * 15),
    ),
    (
        "scroll.ino",
        PINS + "const int rs = 4, rw = 5, en = 6, d4 = 7, d5 = 15, d6 = 16, d7 = 17;\n"
        "LiquidCrystal lcd(rs, rw, en, d4, d5, d6, d7);\nbyte heart[8] = {0, 10, 31, 31, 14, 4, 0, 0};\n"
        'void setup() { lcd.begin(16, 2); lcd.createChar(3, heart); lcd.home(); lcd.print("abc"); lcd.write(byte(3));'
        ' lcd.scrollDisplayLeft(); lcd.blink(); lcd.setCursor(2, 1); lcd.print("x"); }\n' + LOOP,
        "lcd1602",
        ("bc\ue003             ", " x              "),
    ),
    (
        "eight.ino",
        PINS + "LiquidCrystal lcd(4, 5, 6, 7, 15, 16, 17, 18, 10, 11);\n"
        'void setup() { lcd.begin(16, 2); lcd.rightToLeft(); lcd.setCursor(5, 0); lcd.print("eight"); }\n' + LOOP,
        "lcd1602",
        (" thgie          ", NARROW),
    ),
    (
        "wrap.py",
        I2C + "from machine_i2c_lcd import I2cLcd\nlcd = I2cLcd(i2c, 0x27, 2, 16)\n"
        'lcd.putstr("sixteen letters!\\nnext\\nfirst")' + FOREVER,
        "lcd1602",
        ("firsten letters!", "next            "),
    ),
    (
        "clear.py",
        I2C + "from lcd_api import LcdApi\nfrom i2c_lcd import I2cLcd\nlcd = I2cLcd(i2c, 0x3F, 4, 20)\n"
        'lcd.putstr("gone")\nlcd.clear()\nlcd.move_to(4, 2)\nlcd.putstr("here")\nlcd.backlight_off()' + FOREVER,
        "lcd2004",
        (" " * 20, " " * 20, "    here            ", " " * 20),
    ),
    (
        "pins.py",
        "from machine import Pin\nfrom time import sleep_ms\nfrom gpio_lcd import GpioLcd\n"
        "lcd = GpioLcd(Pin(4), Pin(5), Pin(6), Pin(7), Pin(15), Pin(16), Pin(17), Pin(18), Pin(11), Pin(12),"
        " backlight_pin=Pin(10))\n"
        'lcd.putstr("8 wires")' + FOREVER,
        "lcd1602",
        ("8 wires         ", NARROW),
    ),
]


async def try_program(file: str, source: str, cache: Path) -> Trial:
    board: BoardProfile = load_board("virtual")
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    if file.endswith(".py"):
        board = with_micropython(board)
        kinds = ("py",)
    image = await cached_compiler(BuildCache(cache))(source, board, "program", "O3", program_language(file), kinds)
    return await try_image(image, board, TrialOptions(for_ms=1000))


@pytest.mark.parametrize(("file", "source", "part", "lines"), PROGRAMS, ids=[row[0] for row in PROGRAMS])
async def test_a_display_shows_what_a_program_writes(
    file: str, source: str, part: str, lines: tuple[str, ...], build_cache: Path
) -> None:
    trial = await try_program(file, source, build_cache)
    assert (trial.error, trial.warnings) == (None, ())
    last = trial.screens[-1]
    assert (last.part, last.screen.lines) == (part, lines)


async def test_a_program_that_does_not_wait_for_clear_is_warned_of_the_lost_text(build_cache: Path) -> None:
    source = I2C + (
        "from i2c_lcd import I2cLcd\nlcd = I2cLcd(i2c, 0x27, 2, 16)\n"
        'i2c.writeto(0x27, bytes((8, 12, 8, 28, 24)))\nlcd.putstr("Hello")' + FOREVER
    )
    trial = await try_program("hasty.py", source, build_cache)
    assert trial.screens == ()
    assert any("is lost" in warning for warning in trial.warnings)
