"""The HD44780 of character displays at register level, on I2C and on pins: what its data sheet says."""

from __future__ import annotations

import pytest
from tests.hardware.parts.desk_bench import DeskBench

from microclaw.errors import ConfigError
from microclaw.hardware.parts.character_display import CharacterDisplay
from microclaw.hardware.parts.hd44780 import CHARACTERS
from microclaw.hardware.parts.wiring import make_part
from microclaw.virtual.bench import load_model

RS, RW, E, LIGHT = 0x01, 0x02, 0x04, 0x08
FOUR_BITS = {"rs": 1, "e": 2, "d4": 14, "d5": 15, "d6": 16, "d7": 17}
EIGHT_BITS = {**FOUR_BITS, "rw": 3, "d0": 10, "d1": 11, "d2": 12, "d3": 13}
DATA_ROLES = tuple(f"d{number}" for number in range(8))


class PinBench(DeskBench):
    """A bench whose pins have levels that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.pin_levels: dict[int, int] = {}

    def level(self, gpio: int) -> int:
        return self.levels.get(gpio) or self.pin_levels.get(gpio, 0)

    def pwm(self, gpio: int) -> tuple[int, float]:
        return 0, 0.0


class Desk:
    """A display, and how it is talked to: over its PCF8574, or over pins if it is wired to some."""

    def __init__(self, name: str = "lcd1602", pins: dict[str, int] | None = None, **attributes: float) -> None:
        self.bench = PinBench()
        model_class = load_model(name)
        assert model_class is not None
        wired = make_part("lcd1", name, pins=pins or {}, attributes=attributes)
        display = model_class(wired, self.bench)
        assert isinstance(display, CharacterDisplay)
        display.reset()
        self.display = display
        self.pins = wired.pins
        self.light = LIGHT

    @property
    def lines(self) -> tuple[str, ...]:
        return self.display.screen().lines

    # Transfers of a byte, or of its upper half alone.
    def half(self, value: int, flags: int = 0) -> None:
        if self.pins:
            self._pulse_pins(value, flags)
        else:
            byte = value & 0xF0 | flags | self.light
            self.display.write(bytes([byte, byte | E, byte]))

    def byte(self, value: int, flags: int = 0, wait_ms: float = 0.04) -> None:
        self.half(value, flags)
        if "d0" not in self.pins:
            self.half(value << 4, flags)
        self.wait(wait_ms)

    def command(self, *values: int) -> None:
        for value in values:
            self.byte(value, wait_ms=2.0)

    def text(self, text: bytes) -> None:
        for code in text:
            self.byte(code, RS)

    def wait(self, ms: float) -> None:
        self.bench.t_ms += ms

    def start(self, function: int = 0x28) -> None:
        """Start it by instruction: figures 23 and 24."""
        self.wait(40)
        for _ in range(3):
            self.half(0x30)
            self.wait(5)
        if not function & 0x10:
            self.half(0x20)
            self.wait(1)
        self.command(function, 0x08, 0x01, 0x06, 0x0C)

    def set_pin(self, role: str, level: int) -> None:
        """Drive a pin, and bring the edge to the display as the board does."""
        if role not in self.pins or self.bench.pin_levels.get(self.pins[role], 0) == level:
            return
        self.bench.pin_levels[self.pins[role]] = level
        self.display.edge(role, level)

    def _pulse_pins(self, value: int, flags: int) -> None:
        self.set_pin("rs", flags & RS)
        self.set_pin("rw", int(bool(flags & RW)))
        for number, role in enumerate(DATA_ROLES):
            self.set_pin(role, value >> number & 1)
        self.set_pin("e", 1)
        self.set_pin("e", 0)


def started(name: str = "lcd1602", pins: dict[str, int] | None = None, function: int = 0x28, **size: float) -> Desk:
    desk = Desk(name, pins, **size)
    desk.start(function)
    return desk


WAYS = [({}, 0x28), (FOUR_BITS, 0x28), (EIGHT_BITS, 0x38)]


@pytest.mark.parametrize(("pins", "function"), WAYS, ids=["I2C", "4 bits", "8 bits"])
def test_text_comes_over_every_bus(pins: dict[str, int], function: int) -> None:
    desk = started(pins=pins, function=function)
    assert desk.lines == (" " * 16, " " * 16)
    desk.text(b"Hello")
    desk.command(0xC0 | 2)
    desk.text(b"world")
    assert desk.lines == ("Hello           ", "  world         ")
    assert desk.bench.warnings == []
    # Each character is a change of the screen.
    assert desk.bench.change_count == 10


@pytest.mark.parametrize("half_count", range(4))
def test_the_start_by_instruction_mends_a_transfer_that_was_cut_off(half_count: int) -> None:
    desk = started()
    for number in range(half_count):
        desk.half(0x10 * number)
        desk.wait(2)
    desk.start()
    desk.text(b"whole")
    assert desk.lines[0] == "whole           "


def test_without_a_start_nothing_is_shown() -> None:
    desk = Desk()
    desk.wait(40)
    desk.text(b"Hello")
    assert desk.display.screen().is_blank


def test_lines_of_four_rows_are_behind_those_of_the_first_two() -> None:
    desk = started("lcd2004")
    for row, address in enumerate((0x00, 0x40, 0x14, 0x54)):
        desk.command(0x80 | address)
        desk.text(b"row %d" % row)
    assert [line.strip() for line in desk.lines] == ["row 0", "row 1", "row 2", "row 3"]
    assert {len(line) for line in desk.lines} == {20}
    narrow = started("lcd2004", columns=16)
    narrow.command(0x80 | 0x10)
    narrow.text(b"third")
    assert narrow.lines[2] == "third           "


def test_behind_a_line_of_40_comes_the_other_one() -> None:
    desk = started("lcd2004")
    desk.command(0x80 | 0x26)
    desk.text(b"abcd")
    assert desk.lines[1] == "cd" + " " * 18
    assert desk.lines[2] == " " * 18 + "ab"
    desk.command(0x80 | 0x67)
    desk.text(b"ef")
    assert desk.lines[0] == "f" + " " * 19


def test_a_display_of_one_line_does_not_drive_the_second_one() -> None:
    desk = started(function=0x20)
    desk.text(b"one")
    desk.command(0x80 | 0x40)
    desk.text(b"two")
    assert desk.lines == ("one             ", " " * 16)


def test_text_moves_over_the_glass_with_all_40_characters_of_a_line() -> None:
    desk = started()
    desk.text(b"0123456789abcdefghij")
    assert desk.lines[0] == "0123456789abcdef"
    desk.command(0x18)
    assert desk.lines[0] == "123456789abcdefg"
    desk.command(0x1C, 0x1C)
    assert desk.lines[0] == " 0123456789abcde"
    desk.command(0x02)
    assert desk.lines[0] == "0123456789abcdef"
    for _ in range(40):
        desk.command(0x18)
    assert desk.lines[0] == "0123456789abcdef"


def test_the_entry_mode_says_where_text_goes_and_whether_the_glass_follows() -> None:
    desk = started()
    desk.command(0x80 | 5, 0x04)
    desk.text(b"abc")
    assert desk.lines[0] == "   cba          "
    # Cursor to the right of the glass, and the text moves to the left below it.
    desk.command(0x01, 0x80 | 16, 0x07)
    desk.text(b"xyz")
    assert desk.lines[0] == "             xyz"
    # Clear sets the direction, and leaves the moving.
    desk.command(0x04, 0x01, 0x06)
    desk.text(b"ab")
    assert desk.lines[0] == "ab              "


def test_the_cursor_moves_without_text() -> None:
    desk = started()
    desk.text(b"abc")
    desk.command(0x10, 0x10)
    desk.text(b"X")
    desk.command(0x14)
    desk.text(b"Y")
    assert desk.lines[0] == "aXcY            "


def test_characters_of_the_program_have_places_of_their_own_and_leave_the_text() -> None:
    desk = started()
    desk.text(b"\x00\x07\x08")
    desk.command(0x40)
    desk.text(bytes([0x04, 0x0E, 0x0E, 0x0E, 0x1F, 0x00, 0x04, 0x00]))
    assert desk.lines[0] == "\ue000\ue007\ue000             "
    desk.command(0x80)
    desk.text(b"A")
    assert desk.lines[0] == "A\ue007\ue000             "


def test_a_display_that_is_off_is_blank_and_keeps_its_text() -> None:
    desk = started()
    desk.text(b"text")
    desk.command(0x08)
    assert desk.display.screen().is_blank
    desk.command(0x0C)
    assert desk.lines[0] == "text            "


def test_the_flags_of_cursor_and_light_are_shown() -> None:
    desk = started()
    assert desk.bench.shown == [("backlight", 1.0), ("cursor", 0.0), ("blink", 0.0)]
    desk.bench.shown.clear()
    desk.command(0x0F)
    desk.light = 0
    desk.command(0x0C)
    assert desk.bench.shown == [("cursor", 1.0), ("blink", 1.0), ("backlight", 0.0), ("cursor", 0.0), ("blink", 0.0)]
    desk.text(b"dark")
    assert desk.lines[0] == "dark            "


def test_what_comes_before_a_command_is_over_is_lost_and_said() -> None:
    desk = started()
    desk.text(b"old")
    desk.byte(0x01, wait_ms=1.4)
    desk.text(b"x")
    desk.wait(0.2)
    desk.text(b"y")
    assert desk.lines[0] == "y               "
    assert len(set(desk.bench.warnings)) == 1
    desk.bench.warnings.clear()
    restarted = Desk()
    restarted.wait(5)
    restarted.half(0x30)
    assert restarted.bench.warnings != []


def test_bytes_of_one_transfer_take_time_too() -> None:
    desk = started()
    desk.display.write(bytes([LIGHT, LIGHT | E, LIGHT, 0x18, 0x18 | E, 0x18]))
    desk.wait(2)
    base = LIGHT | RS
    halves = (0x40, 0x10, 0x40, 0x20)
    desk.display.write(b"".join(bytes([half | base | E, half | base]) for half in halves))
    assert desk.lines[0] == "AB              "


def read_back(desk: Desk, flags: int) -> int:
    """Read a byte in two halves over the PCF8574, whose upper pins are high for it."""
    value = 0
    for _ in range(2):
        base = 0xF0 | LIGHT | RW | flags
        desk.display.write(bytes([base, base | E]))
        value = value << 4 | desk.display.read(1)[0] >> 4
        desk.display.write(bytes([base]))
    return value


def test_the_busy_flag_the_address_and_the_text_can_be_read() -> None:
    desk = started()
    desk.text(b"text")
    assert read_back(desk, 0) == 4
    desk.byte(0x02, wait_ms=0)
    assert read_back(desk, 0) == 0x80
    desk.wait(2)
    assert read_back(desk, 0) == 0
    assert read_back(desk, RS) == ord("t")
    desk.wait(1)
    assert read_back(desk, RS) == ord("e")
    # A PCF8574 alone: what was written is read.
    desk.display.write(b"\x5a")
    assert desk.display.read(2) == b"\x5a\x5a"


def test_eight_wires_are_driven_back_while_e_is_high() -> None:
    desk = started(pins=EIGHT_BITS, function=0x38)
    desk.command(0x80 | 0x25)
    desk.set_pin("rs", 0)
    desk.set_pin("rw", 1)
    desk.set_pin("e", 1)
    driven = [desk.bench.levels[EIGHT_BITS[role]] for role in DATA_ROLES]
    assert driven == [1, 0, 1, 0, 0, 1, 0, 0]
    desk.set_pin("e", 0)
    assert {desk.bench.levels[EIGHT_BITS[role]] for role in DATA_ROLES} == {None}


def test_the_light_has_a_pin_of_its_own_or_is_on_the_supply() -> None:
    assert Desk(pins=FOUR_BITS).bench.shown[0] == ("backlight", 1.0)
    desk = Desk(pins={**FOUR_BITS, "backlight": 21})
    assert desk.bench.shown.pop(0) == ("backlight", 0.0)
    desk.set_pin("backlight", 1)
    assert desk.bench.shown[-1] == ("backlight", 1.0)


def test_characters_are_those_of_the_rom_a00() -> None:
    assert len(CHARACTERS) == 256
    assert CHARACTERS[0x20:0x5C].encode() == bytes(range(0x20, 0x5C))
    assert CHARACTERS[0x5C] + CHARACTERS[0x7D:0x80] == "¥}→←"
    assert CHARACTERS[0xB1:0xB6] == "ｱｲｳｴｵ"
    assert (CHARACTERS[0xDF], CHARACTERS[0xE0], CHARACTERS[0xE4], CHARACTERS[0xF4]) == ("°", "α", "μ", "Ω")
    assert (CHARACTERS[0xF7], CHARACTERS[0xFD], CHARACTERS[0xFF]) == ("π", "÷", "█")


def test_a_display_is_on_i2c_or_on_pins() -> None:
    assert make_part("lcd1", "lcd1602", pins={"sda": 8, "scl": 9}).address == 0x27
    assert make_part("lcd1", "lcd1602", pins=FOUR_BITS).address is None
    with pytest.raises(ConfigError, match="which pin is its d7"):
        make_part("lcd1", "lcd1602", pins={role: pin for role, pin in FOUR_BITS.items() if role != "d7"})
    with pytest.raises(ConfigError, match="instead of I2C"):
        make_part("lcd1", "lcd1602", pins={**FOUR_BITS, "sda": 8, "scl": 9})
    with pytest.raises(ConfigError, match="has no I2C address"):
        make_part("lcd1", "lcd1602", pins=FOUR_BITS, address=0x27)
