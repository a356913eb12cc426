"""A screen as a PNG and as lines of text: every dot at its place, and never larger than its bounds."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from microclaw.hardware.screens.braille import MAX_LINE_CHARS, MAX_LINES, braille_lines, screen_lines
from microclaw.hardware.screens.picture import MAX_PNG_BYTES, draw_png
from microclaw.hardware.screens.screen import Screen, blank_pixels, text_screen

FRAME = 2


def decoded(png: bytes) -> tuple[int, int, list[bytes]]:
    """The width, the height and the rows of a PNG that our own encoder made; each chunk's checksum is right."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    place = 8
    packed = b""
    while place < len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        body = png[place + 4 : place + 8 + size]
        (checksum,) = struct.unpack(">I", png[place + 8 + size : place + 12 + size])
        assert checksum == zlib.crc32(body)
        if body.startswith(b"IDAT"):
            packed += body[4:]
        place += 12 + size
    data = zlib.decompress(packed)
    row_bytes = len(data) // height
    rows = [data[begin + 1 : begin + row_bytes] for begin in range(0, len(data), row_bytes)]
    return width, height, rows


def noise(size_bytes: int) -> bytes:
    return random.Random(5).randbytes(size_bytes)


def test_each_pixel_is_a_square_of_the_picture() -> None:
    screen = Screen("pixels", 128, 64, noise(1024))
    width, height, rows = decoded(draw_png(screen))
    scale = width // (128 + 2 * FRAME)
    assert (width, height) == (132 * 4, 68 * 4)
    for y in range(64):
        for x in range(128):
            lit = screen.data[y * 16 + x // 8] >> (7 - x % 8) & 1
            for corner in (0, scale - 1):
                assert rows[(y + FRAME) * scale + corner][(x + FRAME) * scale + corner] == lit


def test_colors_keep_their_red_green_and_blue() -> None:
    red, green, blue, white = b"\xf8\x00", b"\x07\xe0", b"\x00\x1f", b"\xff\xff"
    width, height, rows = decoded(draw_png(Screen("colors", 2, 2, red + green + blue + white)))
    assert (width, height) == (16, 16)
    assert (rows[0][:3], rows[0][-3:]) == (b"\xff\x00\x00", b"\x00\xfc\x00")
    assert (rows[-1][:3], rows[-1][-3:]) == (b"\x00\x00\xff", b"\xff\xfc\xff")


@pytest.mark.parametrize(
    "screen",
    [
        Screen("colors", 240, 320, noise(240 * 320 * 2)),
        Screen("colors", 512, 512, noise(512 * 512 * 2)),
        Screen("pixels", 512, 512, noise(512 * 64)),
        Screen("digits", 512, 1, noise(512), ":"),
        text_screen(512, ("W" * 512,) * 512),
        blank_pixels(1, 1),
        Screen("pixels", 5, 3, b"\xf8\x00\xf8"),
    ],
)
def test_no_screen_gives_a_picture_or_lines_beyond_their_bounds(screen: Screen) -> None:
    png = draw_png(screen)
    assert len(png) <= MAX_PNG_BYTES
    decoded(png)
    lines = screen_lines(screen)
    assert len(lines) <= MAX_LINES + FRAME
    assert max(map(len, lines)) <= MAX_LINE_CHARS + FRAME
    assert len({*map(len, lines)}) == 1


def test_a_picture_of_128_by_64_is_64_by_16_cells_of_braille() -> None:
    data = bytearray(1024)
    data[0] = 0x80
    data[3 * 16] = 0x40
    data[-1] = 0x01
    lines = braille_lines(Screen("pixels", 128, 64, bytes(data)))
    assert [len(line) for line in lines] == [64] * 16
    assert lines[0][0] == chr(0x2800 + 0x01 + 0x80)
    assert lines[-1][-1] == chr(0x2800 + 0x80)
    assert {*lines[1]} == {"\u2800"}


def test_text_on_a_coloured_ground_is_lit_and_the_ground_is_not() -> None:
    blue, white = b"\x00\x1f", b"\xff\xff"
    (line,) = braille_lines(Screen("colors", 4, 4, blue + white + blue + blue + blue * 12))
    assert line == chr(0x2800 + 0x08) + chr(0x2800)
    (lit,) = braille_lines(Screen("colors", 2, 4, blue * 8))
    assert lit == chr(0x28FF)


def test_characters_stand_in_a_frame_and_what_has_no_printed_form_is_a_box() -> None:
    screen = text_screen(6, ("Hi \ue000\x1b!", "21.5\u00b0C"))
    assert screen_lines(screen) == ("┌──────┐", "│Hi ▯▯!│", "│21.5°C│", "└──────┘")
    width, height, _rows = decoded(draw_png(screen))
    assert width > height > 100


def test_digits_are_drawn_by_their_segments() -> None:
    twelve_thirty = Screen("digits", 4, 1, bytes([0x06, 0x5B | 0x80, 0x4F, 0x3F]), ":")
    lines = [line.rstrip() for line in screen_lines(twelve_thirty)]
    assert lines == [
        "     _   _   _",
        "  |  _|. _| | |",
        "  | |_ . _| |_|",
    ]
    decoded(draw_png(twelve_thirty))
