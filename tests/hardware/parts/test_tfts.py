"""Color displays at register level: windows, rotations, colors, and what is seen; and matrices of LEDs."""

from __future__ import annotations

import json

import pytest

from microclaw.errors import ConfigError
from microclaw.hardware.boards import load_board
from microclaw.hardware.parts.diagram import read_diagram
from microclaw.hardware.parts.models import Display, SpiBus
from microclaw.hardware.parts.wiring import Wiring, make_part
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.hardware.screens.screen import Screen
from microclaw.virtual.board import Board
from microclaw.virtual.virtual_clock import VirtualClock

PINS = {"sck": 12, "mosi": 11, "dc": 5, "cs": 10, "bl": 6}
BUS = SpiBus(12, 11, cs=10)
RED = b"\xf8\x00"
GREEN = b"\x07\xe0"
BLUE = b"\x00\x1f"
ON = ((0x11,), (0x29,), (0x3A, 0x55))


class Desk:
    """A display on a board, and a program that sends to it."""

    def __init__(self, board: Board, part: str, **attributes: float) -> None:
        self.board = board
        board.parts.wire(Wiring((make_part("tft", part, pins=PINS, attributes=attributes),)))
        board.configure_pin(PINS["dc"], reads=False, drives=True)

    def send(self, command: int, *arguments: int) -> None:
        self.board.write_pin(PINS["dc"], 0)
        self.board.parts.spi_transfer(BUS, bytes([command]))
        if arguments:
            self.data(bytes(arguments))

    def data(self, data: bytes) -> None:
        self.board.write_pin(PINS["dc"], 1)
        self.board.parts.spi_transfer(BUS, data)

    def fill(self, x: int, y: int, width: int, height: int, color: bytes) -> None:
        self.send(0x2A, *x.to_bytes(2, "big"), *(x + width - 1).to_bytes(2, "big"))
        self.send(0x2B, *y.to_bytes(2, "big"), *(y + height - 1).to_bytes(2, "big"))
        self.send(0x2C)
        self.data(color * width * height)

    def screen(self) -> Screen:
        model = self.board.parts.model("tft")
        assert isinstance(model, Display)
        return model.screen()


@pytest.fixture
def board() -> Board:
    return Board(load_board("virtual"), VirtualClock())


def start(board: Board, part: str, access: int, *, is_inverse: bool = False, **attributes: float) -> Desk:
    """Return a display that is on and black."""
    desk = Desk(board, part, **attributes)
    for command in (*ON, (0x36, access)):
        desk.send(*command)
    if is_inverse:
        desk.send(0x21)
    desk.fill(0, 0, 320 if access & 0x20 else 240, 240 if access & 0x20 else 320, b"\0\0")
    return desk


def pixel(screen: Screen, x: int, y: int) -> bytes:
    place = y * screen.row_bytes + 2 * x
    return screen.data[place : place + 2]


def test_at_power_on_it_is_dark_and_its_ram_has_snow(board: Board) -> None:
    desk = Desk(board, "ili9341")
    assert desk.screen().is_blank
    for command in ON:
        desk.send(*command)
    first = desk.screen()
    assert len(set(first.data)) == 256
    board.configure_pin(PINS["bl"], reads=False, drives=True)
    board.write_pin(PINS["bl"], 0)
    assert desk.screen().is_blank
    board.write_pin(PINS["bl"], 1)
    desk.send(0x28)
    assert desk.screen().is_blank


@pytest.mark.parametrize("access", [0x48, 0x28, 0x88, 0xE8])
def test_a_picture_stands_as_it_is_drawn_in_each_rotation(board: Board, access: int) -> None:
    desk = start(board, "ili9341", access)
    desk.fill(3, 5, 4, 2, RED)
    screen = desk.screen()
    assert (screen.width, screen.height) == ((320, 240) if access & 0x20 else (240, 320))
    lit = {(x, y) for y in range(10) for x in range(10) if pixel(screen, x, y) == RED}
    assert lit == {(x, y) for x in range(3, 7) for y in range(5, 7)}
    assert screen.data.count(RED) == 8


def test_a_mirror_is_seen_and_the_order_of_the_colors(board: Board) -> None:
    desk = start(board, "ili9341", 0x08)
    desk.fill(3, 5, 1, 1, RED)
    assert pixel(desk.screen(), 236, 5) == RED
    desk.send(0x36, 0x00)
    assert pixel(desk.screen(), 236, 5) == BLUE


@pytest.mark.parametrize(
    ("width", "height", "access", "left", "top"),
    [
        (240, 240, 0x00, 0, 0),
        (240, 240, 0x60, 0, 0),
        (240, 240, 0xC0, 0, 80),
        (240, 240, 0xA0, 80, 0),
        (240, 320, 0xA0, 0, 0),
        (135, 240, 0x00, 52, 40),
        (135, 240, 0x60, 40, 53),
        (135, 240, 0xC0, 53, 40),
        (135, 240, 0xA0, 40, 52),
        (172, 320, 0x00, 34, 0),
    ],
)
def test_the_panels_of_modules_have_their_offsets(
    board: Board, width: int, height: int, access: int, left: int, top: int
) -> None:
    desk = start(board, "st7789", access, is_inverse=True, width=width, height=height)
    shown = (height, width) if access & 0x20 else (width, height)
    desk.fill(left, top, *shown, GREEN)
    screen = desk.screen()
    assert (screen.width, screen.height) == shown
    assert screen.data == GREEN * width * height
    desk.send(0x20)
    assert desk.screen().data == b"\xf8\x1f" * width * height


def test_pixels_of_18_bits_and_pieces_of_pixels(board: Board) -> None:
    desk = start(board, "ili9341", 0x48)
    desk.send(0x3A, 0x66)
    desk.send(0x2A, 0, 0, 0, 1)
    desk.send(0x2B, 0, 0, 0, 1)
    desk.send(0x2C)
    for piece in (b"\xfc", b"\0\0\0\xfc\0\0", b"\0\xfc"):
        desk.data(piece)
    screen = desk.screen()
    assert [pixel(screen, x, y) for x, y in ((0, 0), (1, 0), (0, 1), (1, 1))] == [RED, GREEN, BLUE, b"\0\0"]
    desk.send(0x3A, 0x55)
    desk.send(0x3C)
    desk.data(RED + GREEN)
    assert pixel(desk.screen(), 1, 1) == RED
    assert pixel(desk.screen(), 0, 0) == GREEN


def test_lines_scroll_between_fixed_ones(board: Board) -> None:
    desk = start(board, "ili9341", 0x48)
    desk.fill(0, 12, 240, 1, RED)
    desk.send(0x33, 0, 10, 1, 44, 0, 10)
    desk.send(0x37, 0, 12)
    assert pixel(desk.screen(), 0, 10) == RED
    assert pixel(desk.screen(), 0, 12) == b"\0\0"


def test_a_matrix_of_leds_is_a_screen(board: Board) -> None:
    board.parts.wire(Wiring((make_part("m", "ws2812", pins={"data": 4}, attributes={"width": 3, "height": 2}),)))
    assert board.parts.lit(4, b"\x00\xff\x00" + b"\x02\x00\x00" * 4) == b"\x00\xff\x00" + b"\x02\x00\x00" * 4
    matrix = board.parts.model("m")
    assert isinstance(matrix, Display)
    dim = b"\x00\x20"
    assert matrix.screen() == Screen("colors", 3, 2, RED + dim * 4 + b"\0\0")
    assert len(board.parts.lit(4, bytes(30))) == 18
    assert matrix.screen().is_blank


def test_every_second_row_of_a_serpentine_goes_back_and_matrices_in_a_chain_are_below(board: Board) -> None:
    attributes = {"width": 2, "height": 1, "count": 4, "serpentine": 1}
    board.parts.wire(Wiring((make_part("m", "ws2812", pins={"data": 4}, attributes=attributes),)))
    board.parts.lit(4, b"\x00\x00\xff\x00\xff\x00\xff\x00\x00\x00\x00\x00")
    matrix = board.parts.model("m")
    assert isinstance(matrix, Display)
    assert matrix.screen() == Screen("colors", 2, 2, BLUE + RED + b"\0\0" + GREEN)


def test_a_matrix_of_a_diagram_is_one(board: Board) -> None:
    parts = [
        {"id": "esp", "type": "board-esp32-devkit-c-v4"},
        {"id": "m1", "type": "wokwi-neopixel-matrix", "attrs": {"rows": "4", "cols": "8"}},
        {"id": "d1", "type": "wokwi-ili9341", "attrs": {}},
    ]
    pairs = (("4", "m1:DIN"), ("18", "d1:SCK"), ("23", "d1:MOSI"), ("2", "d1:D/C"), ("15", "d1:CS"))
    connections = [[f"esp:{pin}", end, "", []] for pin, end in pairs]
    wiring = read_diagram(json.dumps({"version": 1, "parts": parts, "connections": connections}))
    assert wiring.not_simulated == {}
    matrix, display = wiring.parts
    assert matrix.attributes == {"width": 8, "height": 4, "count": 32}
    assert display.pins == {"sck": 18, "mosi": 23, "dc": 2, "cs": 15}


def test_parts_on_one_spi_bus_need_a_cs(board: Board) -> None:
    first = make_part("a", "st7789", pins={"sck": 12, "mosi": 11, "dc": 4})
    second = make_part("b", "st7789", pins={"sck": 12, "mosi": 11, "dc": 5, "cs": 10})
    with pytest.raises(ConfigError) as caught:
        check_wiring(Wiring((first, second)), board.profile)
    assert caught.value.message == "a and b are on one SPI bus, and one of them has no cs"
