"""When a picture of a display is taken, and what the board keeps of it."""

from __future__ import annotations

import threading

import pytest

from microclaw.errors import ProtocolError
from microclaw.hardware.screens.screen import Screen, blank_pixels, pack_data, text_screen, unpack_screen
from microclaw.virtual.screens import BoardScreens
from microclaw.virtual.virtual_clock import VirtualClock


class Display:
    """A display of 8 x 1 pixels that is drawn at given times, and the pictures that were taken of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.screens = BoardScreens(self.clock, threading.RLock())
        self.pixels = 0

    def draw(self, pixels: int) -> None:
        self.pixels = pixels
        self.screens.changed("oled1", lambda: Screen("pixels", 8, 1, bytes([self.pixels])))

    def draw_at(self, t_ms: float, pixels: int) -> None:
        self.clock.call_at(t_ms, lambda: self.draw(pixels))

    def pictures(self) -> list[tuple[float, int]]:
        rows = self.screens.since(0).records
        screens = [unpack_screen(row.kind, row.width, row.height, row.data, row.mark) for row in rows]
        return [(row.t_ms, screen.data[0]) for row, screen in zip(rows, screens, strict=True)]


def test_a_refresh_in_pieces_is_one_picture_at_its_last_change() -> None:
    display = Display()
    for t_ms, pixels in ((10, 1), (11, 3), (12.5, 7), (100, 7), (200, 0)):
        display.draw_at(t_ms, pixels)
    display.clock.advance(1_000)
    assert display.pictures() == [(12.5, 7), (200, 0)]


def test_a_picture_waits_for_the_transfer_that_is_on_the_way() -> None:
    display = Display()
    display.draw_at(10, 1)
    display.clock.call_at(11, lambda: display.screens.expect_transfer("oled1", 23.0))
    display.draw_at(23, 3)
    display.clock.advance(1_000)
    assert display.pictures() == [(23.0, 3)]


def test_a_display_that_is_never_left_alone_is_looked_at_ten_times_a_second() -> None:
    display = Display()
    for t_ms in range(1_000):
        display.draw_at(t_ms, t_ms % 251)
    display.clock.advance(2_000)
    assert len(display.pictures()) in (10, 11)


def test_a_part_that_went_leaves_no_picture_behind() -> None:
    display = Display()
    display.draw(1)
    display.screens.forget("oled1")
    display.clock.advance(100)
    assert display.pictures() == []


@pytest.mark.parametrize(
    "screen",
    [
        blank_pixels(128, 64),
        Screen("colors", 3, 2, bytes(range(12))),
        text_screen(3, ("abc", "d° ")),
        Screen("digits", 4, 1, b"abcd", ":"),
    ],
)
def test_a_screen_comes_back_from_the_wire_as_it_was(screen: Screen) -> None:
    assert unpack_screen(screen.kind, screen.width, screen.height, pack_data(screen), screen.mark) == screen


@pytest.mark.parametrize(
    ("width", "data"), [(0, ""), (513, ""), (8, "no base64!"), (16, pack_data(blank_pixels(8, 1)))]
)
def test_a_screen_of_another_size_than_it_says_is_refused(width: int, data: str) -> None:
    with pytest.raises(ProtocolError):
        unpack_screen("pixels", width, 1, data, ".")


def test_a_screen_is_blank_if_nothing_is_lit() -> None:
    assert blank_pixels(128, 64).is_blank
    assert text_screen(2, ("  ", "  ")).is_blank
    assert not Screen("digits", 1, 1, b"\x80").is_blank
