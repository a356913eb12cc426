"""Text is read from pixels exactly and at its place; what is no text of a known font is not taken for one."""

from __future__ import annotations

import random

import pytest
from tests.hardware.screens.canvas import FONTS, Canvas, screen_of

from microclaw.hardware.screens.screen import Screen, blank_pixels, text_screen
from microclaw.hardware.screens.text_reading import MAX_PICTURES, ScreenReader, ScreenReading

TURNS = (0, 90, 180, 270)


def read(screen: Screen) -> ScreenReading:
    reading = ScreenReader().read(screen)
    assert reading is not None
    return reading


def texts(screen: Screen) -> list[str]:
    return [line.text for line in read(screen).lines]


@pytest.mark.parametrize(("size", "step"), [(1, 7), (2, 11), (3, 13), (4, 5)])
def test_a_text_is_found_once_and_at_its_place_wherever_it_stands(size: int, step: int) -> None:
    reader = ScreenReader()
    width = len("Hello") * 6 * size - size
    placements = [(x, y) for x in range(0, 129 - width, step) for y in range(0, 65 - 7 * size, step)]
    for x, y in placements[:MAX_PICTURES]:
        canvas = Canvas()
        canvas.text(x, y, "Hello", size=size)
        reading = reader.read(canvas.screen())
        assert reading is not None
        (line,) = reading.lines
        assert (line.text, line.x, line.y, line.size, line.font) == ("Hello", x, y, size, "5x7")
        assert reading.is_whole


@pytest.mark.parametrize("name", FONTS)
def test_every_character_of_a_font_is_read(name: str) -> None:
    font = FONTS[name]
    characters = "".join(character for character in font.glyphs if character != " ")
    for begin in range(0, len(characters), 10):
        piece = characters[begin : begin + 10]
        canvas = Canvas(160, 40)
        canvas.text(4, 7, f"A{piece}A", font)
        assert texts(canvas.screen()) == [f"A{piece}A"]


@pytest.mark.parametrize("name", FONTS)
def test_words_of_a_font_are_read_with_their_spaces(name: str) -> None:
    canvas = Canvas(200, 60)
    canvas.text(3, 11, "Gauge: 22.5 °C", FONTS[name])
    assert texts(canvas.screen()) == ["Gauge: 22.5 °C"]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("word", ["Hello, world!", "HELLO 501", "SOS"])
def test_a_turned_picture_is_read(turn: int, word: str) -> None:
    canvas = Canvas()
    canvas.text(9, 20, word)
    canvas.text(30, 40, "x 2", size=2)
    reading = read(canvas.turned(turn).screen())
    assert {line.text for line in reading.lines} == {word, "x 2"}
    assert reading.is_whole
    assert {(turn + line.turn) % 360 for line in reading.lines} == {0} or word == "SOS"


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("has_box", [True, False])
def test_dark_text_on_a_lit_ground_is_read(turn: int, has_box: bool) -> None:
    canvas = Canvas()
    if has_box:
        canvas.box(10, 8, 70, 20)
    canvas.text(16, 14, "MENU 7", color=0, behind=1)
    canvas.text(16, 40, "below")
    reading = read(canvas.turned(turn).screen())
    assert {(line.text, line.is_inverse) for line in reading.lines} == {("MENU 7", True), ("below", False)}
    assert reading.is_whole


def test_text_of_several_sizes_stands_beside_frames_rules_and_bars() -> None:
    canvas = Canvas()
    canvas.frame(0, 0, 128, 64)
    canvas.text(4, 4, "Temp")
    canvas.text(40, 20, "22.5", size=3)
    canvas.box(4, 15, 120, 1)
    canvas.box(4, 52, 60, 8)
    reading = read(canvas.screen())
    assert [line.text for line in reading.lines] == ["Temp", "22.5"]
    assert reading.is_whole


def test_a_bar_in_a_frame_of_its_own_is_no_text() -> None:
    canvas = Canvas()
    canvas.text(4, 4, "load 40 %")
    canvas.frame(2, 30, 60, 10)
    canvas.box(4, 32, 22, 6)
    reading = read(canvas.screen())
    assert [line.text for line in reading.lines] == ["load 40 %"]
    assert reading.is_whole


def test_a_single_character_is_read_if_nothing_touches_it() -> None:
    canvas = Canvas()
    canvas.text(50, 20, "7", size=4)
    assert texts(canvas.screen()) == ["7"]
    touched = Canvas()
    touched.text(50, 20, "-")
    touched.box(55, 23, 3, 3)
    assert texts(touched.screen()) == []


def test_snow_has_no_text() -> None:
    noise = random.Random(73)
    for _ in range(5):
        snow = Canvas().changed(lambda _x, _y: noise.randrange(2))
        reading = read(snow.screen())
        assert not reading.lines
        assert not reading.is_whole


def test_text_of_an_unknown_font_is_not_read_and_the_picture_is_not_whole() -> None:
    canvas = Canvas()
    for shift in (0, 1):
        canvas.text(3, 10 + shift, "Hello 42")
    reading = read(canvas.screen())
    assert not reading.lines
    assert not reading.is_whole


def test_a_word_of_which_only_a_part_is_read_is_marked() -> None:
    canvas = Canvas()
    canvas.text(3, 10, "Hello")
    canvas.put(4, 12, 1)
    (line,) = read(canvas.screen()).lines
    assert line.text == "�ello"


def test_dark_text_of_an_unknown_font_in_a_box_leaves_a_picture_that_is_not_whole() -> None:
    canvas = Canvas()
    canvas.box(2, 6, 80, 20)
    for shift in (0, 1):
        canvas.text(6, 10 + shift, "Hello 42", color=0)
    reading = read(canvas.screen())
    assert not reading.lines
    assert not reading.is_whole


@pytest.mark.parametrize("color", [0xF800, 0])
def test_colors_that_are_not_read_leave_a_picture_that_is_not_whole(color: int) -> None:
    canvas = Canvas(100, 60)
    canvas.box(0, 0, 100, 40, 0x07E0)
    for shift in (0, 1):
        canvas.text(6, 10 + shift, "Hello 42", color=color)
    assert not read(canvas.color_screen()).is_whole
    photo = Canvas(60, 60).changed(lambda x, y: (x * 7 + y * 13) % 500)
    assert not read(photo.color_screen()).is_whole


def test_text_turned_by_45_degrees_is_not_read() -> None:
    canvas = Canvas()
    canvas.text(40, 28, "Hello, world", size=1)
    reading = read(canvas.turned_by_45().screen())
    assert not [line for line in reading.lines if line.text.strip("�").isalnum()]
    assert not reading.is_whole


def test_curves_and_icons_leave_a_picture_that_is_not_whole() -> None:
    curve = Canvas().changed(lambda x, y: int(abs(32 + 20 * ((x % 64) / 32 - 1) ** 3 - y) < 1))
    curve.text(0, 0, "graph")
    reading = read(curve.screen())
    assert [line.text for line in reading.lines] == ["graph"]
    assert not reading.is_whole


def test_text_in_colors_is_read_on_any_ground() -> None:
    canvas = Canvas(120, 80)
    canvas.box(0, 0, 120, 80, 0x1234)
    canvas.box(10, 10, 100, 20, 0xF800)
    canvas.text(14, 14, "Alarm", color=0xFFE0)
    canvas.text(14, 40, "22.5 C", size=2, color=0x07E0)
    canvas.text(60, 14, "dark", color=0x1234)
    reading = read(canvas.color_screen())
    assert {line.text for line in reading.lines} == {"Alarm", "22.5 C", "dark"}
    assert reading.is_whole


def test_characters_and_digits_are_read_exactly() -> None:
    reading = read(text_screen(16, ("Hello, world!   ", "  count 2       ")))
    assert reading.text == "Hello, world! | count 2"
    assert [(line.x, line.y) for line in reading.lines] == [(0, 0), (2, 1)]
    assert texts(Screen("digits", 4, 1, bytes([0x06, 0x5B | 0x80, 0x4F, 0x66]), ":")) == ["12:34"]
    assert texts(Screen("digits", 4, 1, bytes([0, 0x40, 0x6D | 0x80, 0x3F]))) == ["-5.0"]
    odd = read(Screen("digits", 2, 1, bytes([0x06, 0x49])))
    assert (odd.lines[0].text, odd.text) == ("1�", "1…")
    assert not odd.is_whole
    assert read(Screen("digits", 2, 1, bytes([0x49, 0x49]))).text == ""


def test_a_dark_display_says_nothing() -> None:
    for screen in (blank_pixels(128, 64), text_screen(4, ("    ", "    ")), Screen("digits", 4, 1, bytes(4))):
        reading = read(screen)
        assert not reading.lines
        assert reading.is_whole


def test_of_ten_thousand_pictures_the_first_ones_are_read() -> None:
    reader = ScreenReader()
    screens = [Screen("digits", 4, 1, number.to_bytes(4, "big")) for number in range(10_000)]
    readings = [reader.read(screen) for screen in screens]
    assert all(readings[:MAX_PICTURES])
    assert not any(readings[MAX_PICTURES:])
    assert reader.read(screens[5]) is readings[5]


def test_of_a_long_line_of_one_row_each_character_is_read() -> None:
    assert texts(screen_of("count 12,345 of 6.7k")) == ["count 12,345 of 6.7k"]


@pytest.mark.parametrize("name", [name for name, font in FONTS.items() if font.height <= 10])
@pytest.mark.parametrize("word", ["40", "HE", "LIT"])
def test_the_strokes_of_letters_on_a_small_display_are_no_lines(name: str, word: str) -> None:
    canvas = Canvas(32, 10)
    canvas.text(0, 0, word, FONTS[name])
    reading = read(canvas.screen())
    assert [line.text for line in reading.lines] == [word]
    assert reading.is_whole
