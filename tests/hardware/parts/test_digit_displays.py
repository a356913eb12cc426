"""What displays of digits and matrices show, after the edges and transfers that their data sheets describe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, make_part
from microclaw.hardware.screens.screen import Screen, unpack_screen
from microclaw.virtual.board import Board
from microclaw.virtual.virtual_clock import VirtualClock

CLK: Final = 4
DIO: Final = 5
SEGMENTS: Final = {"1": 0x06, "2": 0x5B, "3": 0x4F, "4": 0x66, " ": 0x00}


class Desk:
    """A board with one part, whose pins a test moves."""

    def __init__(self, part: str, pins: dict[str, int], **attributes: float) -> None:
        self.clock = VirtualClock()
        self.board = Board(load_board("virtual"), self.clock)
        self.board.parts.wire(Wiring((make_part("shown", part, pins=pins, attributes=attributes),)))

    def set(self, pin: int, level: int) -> None:
        self.board.set_output(pin, level)

    def wait(self, ms: float) -> None:
        self.clock.advance(ms)

    def screens(self) -> list[Screen]:
        rows = self.board.parts.screens().records
        return [unpack_screen(row.kind, row.width, row.height, row.data, row.mark) for row in rows]

    def last(self) -> Screen:
        self.wait(200)
        return self.screens()[-1]


class TwoWires(Desk):
    """A TM1637 that is sent bytes as its data sheet draws them; `acks` are the levels of DIO in the ninth clocks."""

    def __init__(self, **attributes: float) -> None:
        super().__init__("tm1637", {"clk": CLK, "dio": DIO}, **attributes)
        self.acks: list[int] = []

    def transfer(self, *data: int) -> None:
        self.set(CLK, 1)
        self.set(DIO, 1)
        self.set(DIO, 0)
        for byte in data:
            for bit in range(8):
                self.set(CLK, 0)
                self.set(DIO, byte >> bit & 1)
                self.set(CLK, 1)
            self.set(CLK, 0)
            self.board.configure_pin(DIO, reads=True, drives=False)
            self.set(CLK, 1)
            self.acks.append(self.board.read_pin(DIO))
            self.set(CLK, 0)
            assert self.board.read_pin(DIO) == 1
            self.set(DIO, 0)
        self.set(CLK, 1)
        self.set(DIO, 1)

    def write(self, text: str, address: int = 0) -> None:
        self.transfer(0x40)
        self.transfer(0xC0 | address, *(SEGMENTS[character] for character in text))


def digits(text: str, *, marked: Iterable[int] = ()) -> bytes:
    data = bytearray(SEGMENTS[character] for character in text)
    for place in marked:
        data[place] |= 0x80
    return bytes(data)


def test_a_tm1637_shows_its_registers_while_it_is_on() -> None:
    desk = TwoWires()
    desk.write("1234")
    desk.wait(100)
    assert desk.screens() == []
    desk.transfer(0x8F)
    assert desk.last() == Screen("digits", 4, 1, digits("1234"), ":")
    desk.transfer(0x80)
    assert desk.last().is_blank
    desk.transfer(0x88)
    assert desk.last().data == digits("1234")


def test_a_tm1637_acknowledges_each_byte() -> None:
    desk = TwoWires()
    desk.write("12")
    assert desk.acks == [0, 0, 0, 0]


def test_a_tm1637_writes_to_a_fixed_address_or_to_one_after_the_other() -> None:
    desk = TwoWires()
    desk.transfer(0x8F)
    desk.write("1234")
    desk.transfer(0x44)
    desk.transfer(0xC2, SEGMENTS["1"], SEGMENTS["2"])
    assert desk.last().data == digits("1224")
    desk.write("44", 3)
    assert desk.last().data == digits("1224")


def test_only_the_colon_of_a_clock_is_wired_to_bit_7() -> None:
    clock = TwoWires()
    clock.transfer(0x8F)
    clock.transfer(0xC0, *digits("1234", marked=(0, 1, 2, 3)))
    assert clock.last() == Screen("digits", 4, 1, digits("1234", marked=[1]), ":")
    points = TwoWires(colon=0)
    points.transfer(0x8F)
    points.transfer(0xC0, *digits("1234", marked=(2,)))
    assert points.last() == Screen("digits", 4, 1, digits("1234", marked=[2]), ".")


def test_digits_that_are_written_slowly_are_one_picture() -> None:
    desk = TwoWires()
    desk.transfer(0x8F)
    desk.set(CLK, 1)
    desk.set(DIO, 0)
    for byte in (0xC0, *digits("4321")):
        for bit in range(8):
            desk.set(CLK, 0)
            desk.set(DIO, byte >> bit & 1)
            desk.wait(1)
            desk.set(CLK, 1)
        desk.set(CLK, 0)
        desk.set(DIO, 0)
        desk.set(CLK, 1)
    desk.set(CLK, 0)
    desk.set(CLK, 1)
    desk.set(DIO, 1)
    desk.wait(200)
    assert [screen.data for screen in desk.screens()] == [digits("4321")]


def test_noise_on_the_lines_of_a_tm1637_changes_nothing() -> None:
    desk = TwoWires()
    desk.transfer(0x8F)
    desk.write("1234")
    before = desk.last()
    for number in range(2_000):
        desk.set((CLK, DIO)[number * number % 7 % 2], number % 3 % 2)
    desk.transfer()
    desk.write("1234")
    desk.transfer(0x8F)
    assert desk.last().data == before.data


SCK: Final = 4
MOSI: Final = 5
CS: Final = 6


class Chain(Desk):
    """A chain of MAX7219 on a bus of the chip, or on pins that are moved."""

    def __init__(self, **attributes: float) -> None:
        super().__init__("max7219", {"sck": SCK, "mosi": MOSI, "cs": CS}, **attributes)

    def load(self, *words: int) -> None:
        """Send words of 16 bits while CS is low, bit by bit."""
        self.set(CS, 0)
        for word in words:
            for bit in range(15, -1, -1):
                self.set(SCK, 0)
                self.set(MOSI, word >> bit & 1)
                self.set(SCK, 1)
        self.set(CS, 1)

    def switch_on(self, chips: int = 1) -> None:
        for word in (0x0B07, 0x0C01):
            self.load(*[word] * chips)


def test_a_max7219_is_shut_down_at_power_on_and_scans_one_digit() -> None:
    chain = Chain()
    for row in range(1, 9):
        chain.load(row << 8 | 0x81)
    chain.wait(200)
    assert chain.screens() == []
    chain.load(0x0C01)
    assert chain.last() == Screen("pixels", 8, 8, bytes((0x81, 0, 0, 0, 0, 0, 0, 0)))
    chain.load(0x0B07)
    assert chain.last().data == bytes([0x81] * 8)
    chain.load(0x0C00)
    assert chain.last().is_blank
    chain.load(0x0F01)
    assert chain.last().data == b"\xff" * 8


def test_the_last_word_of_a_chain_is_for_the_chip_on_the_right() -> None:
    chain = Chain(count=2)
    chain.switch_on(2)
    chain.load(0x0180, 0x0101)
    assert chain.last() == Screen("pixels", 16, 8, bytes((0x80, 0x01)) + bytes(14))
    # A no-op for the far chip leaves it as it is.
    chain.load(0x0000, 0x0103)
    assert chain.last().data[:2] == bytes((0x80, 0x03))


def test_words_of_a_chain_move_on_to_the_next_chip() -> None:
    chain = Chain(count=2)
    chain.switch_on(2)
    chain.load(0x01AA)
    chain.load(0x0155)
    assert chain.last().data[:2] == bytes((0xAA, 0x55))


def test_parola_modules_are_mirrored() -> None:
    chain = Chain(mirrored=1)
    chain.switch_on()
    chain.load(0x0103)
    assert chain.last().data[0] == 0xC0


def test_digits_are_decoded_as_code_b_or_as_segments() -> None:
    chain = Chain(digits=8)
    chain.switch_on()
    chain.load(0x097F)
    # Digit 7, on the left, is not decoded: A, B and C.
    for digit, code in enumerate((0x01, 0x02, 0x83, 0x0A, 0x0F, 0x0F, 0x0F, 0x70), 1):
        chain.load(digit << 8 | code)
    screen = chain.last()
    assert (screen.kind, screen.width, screen.height, screen.mark) == ("digits", 8, 1, ".")
    assert screen.data == bytes((0x07, 0, 0, 0, 0x40, 0x4F | 0x80, 0x5B, 0x06))


def test_a_max7219_takes_nothing_before_load_rises() -> None:
    chain = Chain()
    chain.switch_on()
    chain.load(0x01FF)
    before = chain.last()
    chain.set(CS, 0)
    for _ in range(16):
        chain.set(SCK, 0)
        chain.set(SCK, 1)
    assert chain.last() == before


SEGMENT_PINS: Final = {"a": 4, "b": 5, "c": 6, "d": 7, "e": 15, "f": 16, "g": 17, "dp": 8}
DIGIT_PINS: Final = {"dig1": 18, "dig2": 21, "dig3": 38, "dig4": 39}


class Multiplexed(Desk):
    """Digits on pins, which a test lights one after the other."""

    def __init__(self, digit_count: int, **attributes: float) -> None:
        self.digit_pins = list(DIGIT_PINS.values())[:digit_count]
        used = dict(list(DIGIT_PINS.items())[:digit_count])
        super().__init__("seven_segment", {**SEGMENT_PINS, **used}, digits=max(digit_count, 1), **attributes)
        is_anode = bool(attributes.get("common_anode"))
        has_transistors = bool(attributes.get("transistors"))
        self.on = int(not is_anode)
        self.digit_on = int(is_anode != has_transistors)
        for pin in self.digit_pins:
            self.set(pin, 1 - self.digit_on)

    def set_segments(self, segments: int) -> None:
        for bit, pin in enumerate(SEGMENT_PINS.values()):
            self.set(pin, self.on if segments >> bit & 1 else 1 - self.on)

    def turn(self, place: int, segments: int, ms: float, *, ghost_ms: float = 0.0) -> None:
        """Light a digit for a time; until `ghost_ms` of it the digit before shows these segments, too."""
        self.set_segments(segments)
        self.wait(ghost_ms)
        for other, pin in enumerate(self.digit_pins):
            self.set(pin, self.digit_on if other == place else 1 - self.digit_on)
        self.wait(ms - ghost_ms)

    def show(self, text: str, *, rounds: int, turn_ms: float, ghost_ms: float = 0.0) -> None:
        for _ in range(rounds):
            for place, segments in enumerate(digits(text)):
                self.turn(place, segments, turn_ms, ghost_ms=ghost_ms)


def pictures(desk: Desk) -> list[bytes]:
    desk.wait(200)
    return [screen.data for screen in desk.screens()]


def test_digits_that_are_lit_in_turn_are_seen_together() -> None:
    for attributes in ({}, {"common_anode": 1}, {"transistors": 1}, {"common_anode": 1, "transistors": 1}):
        desk = Multiplexed(4, **attributes)
        desk.show("1234", rounds=50, turn_ms=2)
        desk.show("1243", rounds=50, turn_ms=2)
        assert [screen.data for screen in desk.screens()] == [digits("1234"), digits("1243")]


def test_segments_that_are_lit_for_a_moment_by_mistake_are_not_seen() -> None:
    desk = Multiplexed(4)
    desk.show("1234", rounds=50, turn_ms=2, ghost_ms=0.3)
    assert [screen.data for screen in desk.screens()] == [digits("1234")]


def test_digits_that_come_back_too_late_are_seen_one_by_one() -> None:
    desk = Multiplexed(4)
    desk.show("1234", rounds=10, turn_ms=25)
    seen = {screen.data for screen in desk.screens()}
    assert seen == {digits("1   "), digits(" 2  "), digits("  3 "), digits("   4")}


def test_one_digit_stands_as_it_was_left() -> None:
    desk = Multiplexed(0, common_anode=1)
    for character in "1234":
        desk.set_segments(SEGMENTS[character])
        desk.wait(1_000)
    assert pictures(desk) == [digits(character) for character in "1234"]
    desk.set_segments(0)
    assert desk.last().is_blank


def test_a_multiplexed_display_that_goes_dark_is_blank() -> None:
    desk = Multiplexed(2)
    desk.show("12", rounds=20, turn_ms=5)
    for pin in desk.digit_pins:
        desk.set(pin, 1 - desk.digit_on)
    assert [screen.is_blank for screen in (desk.last(), desk.screens()[0])] == [True, False]


class Shifted(Desk):
    """Digits over shift registers."""

    def __init__(self, **attributes: float) -> None:
        super().__init__("seven_segment_595", {"ds": 4, "shcp": 5, "stcp": 6}, **attributes)

    def store(self, *data: int) -> None:
        for byte in data:
            for bit in range(7, -1, -1):
                self.set(4, byte >> bit & 1)
                self.set(5, 1)
                self.set(5, 0)
        self.set(6, 1)
        self.set(6, 0)


def test_each_digit_can_have_a_shift_register_of_its_own() -> None:
    desk = Shifted(digits=2)
    desk.store(SEGMENTS["1"], SEGMENTS["2"])
    assert pictures(desk) == [digits("12")]


def test_outputs_of_a_shift_register_can_switch_the_digits() -> None:
    segments = {role: 8 + place for place, role in enumerate(SEGMENT_PINS)}
    desk = Shifted(digits=4, common_anode=1, q1=0, q2=1, q3=2, q4=3, **segments)
    for _ in range(50):
        for place, character in enumerate("4321"):
            desk.store(~SEGMENTS[character] & 0xFF, 1 << place)
            desk.wait(2)
    assert [screen.data for screen in desk.screens()] == [digits("4321")]


def test_what_is_shifted_is_seen_when_it_is_stored() -> None:
    desk = Shifted()
    desk.store(SEGMENTS["3"])
    desk.wait(100)
    for _ in range(8):
        desk.set(5, 1)
        desk.set(5, 0)
    assert pictures(desk) == [digits("3")]
