"""Displays in patterns: the call of a program that opens a wired display, and what its expectations name.

The value of such a parameter is the display's line of a wiring: "oled1=ssd1306 sda=8 scl=9".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.errors import ConfigError
from microclaw.events import PROGRAM_KINDS, ProgramKind
from microclaw.hardware.parts.named_parts import parse_part_line, part_line
from microclaw.hardware.parts.wiring import WiredPart

PYTHON_BOARDS: Final = "microclaw flash, or a virtual one: microclaw virtual --join"
"""The commands that give a board which takes programs in Python."""
_CHARACTER_PIXELS: Final = 8
"""The width and the height of the smallest characters."""
_ILI9341_CHARACTERS: Final = (30, 40)
_I2C_PIXELS: Final = ("sda", "scl", "width", "height", "address")
_CHARACTERS: Final = ("sda", "scl", "columns", "rows", "address")
_CHARACTERS_ON_PINS: Final = ("rs", "e", "d4", "d5", "d6", "d7", "columns", "rows")
_SPI: Final = ("sck", "mosi", "dc", "cs", "rst")
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ssd1306": _I2C_PIXELS,
    "sh1106": _I2C_PIXELS,
    "ssd1306_spi": (*_SPI, "width", "height"),
    "st7789": (*_SPI, "bl", "width", "height"),
    "ili9341": (*_SPI, "bl"),
    "lcd1602": _CHARACTERS,
    "lcd2004": _CHARACTERS,
    "lcd1602_pins": _CHARACTERS_ON_PINS,
    "lcd2004_pins": _CHARACTERS_ON_PINS,
    "tm1637": ("clk", "dio", "digits", "colon"),
    "max7219": ("sck", "mosi", "cs", "count", "digits", "mirrored"),
}
"""The arguments of the calls of microclaw.screen, in the order that they have in C."""
_ONLY_IN_PYTHON: Final = frozenset({"ssd1306_spi", "st7789", "ili9341"})
_PUNCTUATION: Final = ".,;:!?()'"
_MAX_WORDS: Final = 8
_NO_PIN: Final = -1


def parse_display(text: str) -> WiredPart:
    """Read a display's line. Raises ConfigError if it is no display that programs can open by microclaw.screen."""
    part = parse_part_line(text)
    if part.facts.kind != "display":
        raise ConfigError(f"{part.id} is a {part.part}, which is no display", next_step="as in: oled1=ssd1306")
    if _call_name(part) not in _ARGUMENTS:
        step = f"displays with ready programs: {', '.join(name for name in _ARGUMENTS if not name.endswith('_pins'))}"
        raise ConfigError(f"no ready program draws on a {part.part}", next_step=step)
    if part.address is not None and "sda" not in part.pins:
        step = f"as in: {part_line(part)} sda=8 scl=9"
        raise ConfigError(f"{part.id}: which pins are its sda and scl?", next_step=step)
    return part


def opening_call(part: WiredPart, kind: ProgramKind) -> str:
    """Return the call of microclaw.screen that opens the display: `screen.ssd1306(sda=8, scl=9)`.

    Raises ConfigError if a program of this kind cannot open it.
    """
    name = _call_name(part)
    if kind not in display_kinds(part):
        step = f"use a board with our firmware: {PYTHON_BOARDS}"
        raise ConfigError(f"only programs in Python draw on a {part.part}", next_step=step)
    arguments: list[str] = []
    for argument in _ARGUMENTS[name]:
        if kind == "py":
            value = _python_value(part, argument)
            if value is not None:
                arguments.append(f"{argument}={value}")
        else:
            arguments.append(_c_value(part, argument))
    joined = ", ".join(arguments)
    if kind == "py":
        return f"screen.{name}({joined})"
    return f"screen_{name}({joined})"


def display_kinds(part: WiredPart) -> tuple[ProgramKind, ...]:
    """Return the kinds of programs that can open the display."""
    if _call_name(part) in _ONLY_IN_PYTHON:
        return ("py",)
    return PROGRAM_KINDS


def display_words(name: str, part: WiredPart) -> dict[str, int | str]:
    """Return the holes of expectations for a parameter: NAME_ID, and NAME_WIRED after `wired ID =`."""
    keys = [f"{role} {gpio}" for role, gpio in part.pins.items()]
    if part.address is not None:
        keys.append(f"address 0x{part.address:02x}")
    for attribute, value in part.attributes.items():
        if attribute in part.facts.attributes:
            keys.append(f"{attribute} {value:g}")
    return {f"{name}_ID": part.id, f"{name}_WIRED": f"{part.part}: {', '.join(keys)}"}


def text_words(name: str, text: str) -> dict[str, int | str]:
    """Return the holes of expectations for a text: its words, which a display may have in several lines.

    NAME_SHOWN: each of them within 2 s. NAME_PASSING: within 28 s, as they move across it. NAME_LONG: 1 if it surely
    moves.
    """
    words = dict.fromkeys(word.strip(_PUNCTUATION) for word in text.split())
    words.pop("", None)
    shown = list(words)[:_MAX_WORDS] or [text.strip()]
    return {
        f"{name}_SHOWN": ", ".join(f'"{word}" within 2 s' for word in shown),
        f"{name}_PASSING": ", ".join(f'"{word}" within 28 s' for word in shown),
        f"{name}_LONG": int(len(text) > 32),
    }


def shows_only_numbers(part: WiredPart) -> bool:
    """Return True for a display of seven segments."""
    return "digits" in part.facts.attributes and _attribute(part, "digits") > 0


def size_in_characters(part: WiredPart) -> tuple[int, int]:
    """Return how many characters fit into a line of the display, and how many lines."""
    if shows_only_numbers(part):
        return int(_attribute(part, "digits")), 1
    if "columns" in part.facts.attributes:
        return int(_attribute(part, "columns")), int(_attribute(part, "rows"))
    if part.part == "max7219":
        return int(_attribute(part, "count")), 1
    if "width" in part.facts.attributes:
        columns = int(_attribute(part, "width")) // _CHARACTER_PIXELS
        return columns, int(_attribute(part, "height")) // _CHARACTER_PIXELS
    return _ILI9341_CHARACTERS


def _call_name(part: WiredPart) -> str:
    if part.facts.i2c is not None and part.address is None:
        return f"{part.part}_pins"
    return part.part


def _attribute(part: WiredPart, name: str) -> float:
    """Return an attribute of the part, or its usual value."""
    return part.attributes.get(name, part.facts.attributes[name].default)


def _python_value(part: WiredPart, argument: str) -> str | None:
    """Return the value of an argument, or None if it is its usual one, or a pin that is not wired."""
    facts = part.facts
    if argument == "address":
        if facts.i2c is None or part.address is None or part.address == facts.i2c.addresses[0]:
            return None
        return f"0x{part.address:02x}"
    if argument in part.pins:
        return str(part.pins[argument])
    if argument in part.attributes:
        return f"{part.attributes[argument]:g}"
    return None


def _c_value(part: WiredPart, argument: str) -> str:
    if argument == "address":
        return f"0x{part.address:02x}"
    if argument in part.facts.attributes:
        return f"{_attribute(part, argument):g}"
    return str(part.pins.get(argument, _NO_PIN))
