"""Expectations of displays: whole words and numbers, when a text is shown, and what is untried."""

from __future__ import annotations

import time
from functools import cache

import pytest
from tests.hardware.screens.canvas import Canvas, screen_of

from microclaw.errors import ConfigError
from microclaw.events import Evidence
from microclaw.hardware.parts.wiring import Wiring, parse_wiring
from microclaw.hardware.screens.screen import Screen, ShownScreen, blank_pixels, text_screen
from microclaw.hardware.screens.text_reading import MAX_PICTURES
from microclaw.programs.proof.expectation_result import evaluate, seen_on_board
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.expectations import CheckResult, ScreenMoments
from microclaw.programs.proof.part_stimuli import with_settings
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.screen_checks import ScreenShows, ShownText, literal_text

BLANK = blank_pixels(128, 64)


@cache
def unknown_font() -> Screen:
    canvas = Canvas()
    for shift in (0, 1):
        canvas.text(3, 10 + shift, "Hello 42")
    return canvas.screen()


def record(*pictures: tuple[float, Screen], end_ms: float = 10_000.0) -> Record:
    return Record(board_ms=end_ms, screens=tuple(ShownScreen(t_ms, "oled1", screen) for t_ms, screen in pictures))


def finding(line: str, seen: Record) -> CheckResult:
    checks = parse_expectations(line).checks
    findings = [check.judge(seen, checks) for check in checks]
    return next((found for state in ("not met", "untried") for found in findings if found.state == state), findings[0])


def lines(*texts: str) -> Screen:
    return text_screen(20, texts)


@pytest.mark.parametrize(
    ("text", "line", "is_in"),
    [
        ("22", "22.5", False),
        ("22", "T 22", True),
        ("22", "122", False),
        ("12", "112", False),
        ("22", "-22", False),
        ("22", "22%", True),
        ("22", "22, 45", True),
        ("22", "It is 22.", True),
        ("5", "22.5", False),
        ("-22", "T -22", True),
        ("22.5", "22.5 C", True),
        ("world", "Hello, world!", True),
        ("Hello, world!", "Hello, world!", True),
        ("Hello, World!", "Hello, world!", False),
        ("ello", "Hello", False),
        ("ello", "�ello", False),
        ("on", "on:off", True),
        ("C", "22 °C", True),
        ("%", "22 %", True),
    ],
)
def test_words_and_numbers_are_whole(text: str, line: str, is_in: bool) -> None:
    assert literal_text(text).is_in(line) is is_in


@pytest.mark.parametrize(
    ("pattern", "line", "is_in"),
    [
        (r"\d+ °C", "Temp 22 °C", True),
        (r"\d+ °C", "Temp 22.5 °C", False),
        (r"\d+\.\d °C", "Temp 22.5 °C", True),
        (r"on|off", "lamp off", True),
        (r"on|off", "office", False),
        (r"\d+", "112", True),
    ],
)
def test_patterns_are_searched_as_whole_words_too(pattern: str, line: str, is_in: bool) -> None:
    assert ShownText(pattern).is_in(line) is is_in


@pytest.mark.parametrize(
    ("line", "state", "text"),
    [
        ('screen: "Hello" within 2 s', "met", "shown at 1 s"),
        ('screen: "Hello" within 500 ms', "not met", "sent nothing"),
        ('screen: "Hello"', "met", ""),
        ('screen: "HELLO" within 3 s', "not met", "the screen shows 'Hello, world! | count 2'"),
        ('screen: "count 2" at 2 s, 3 s', "met", ""),
        ('screen: "count 2" at 6 s', "not met", "the screen is blank then"),
        ('screen: "count" from 4 s until 5 s', "met", ""),
        ('screen: "count" from 6 s until 7 s', "not met", "blank"),
        ("screen: blank at 500 ms, 6 s", "met", ""),
        ("screen: blank at 2 s", "not met", "Hello"),
        ("screen: blank within 7 s", "met", ""),
        ('screen: never "Error"', "met", "never in 3 pictures"),
        ('screen: never "count 2"', "not met", "at 1 s"),
        ('screen: never "count 2" until 900 ms', "met", ""),
        ("screen: never blank", "not met", "blank"),
        ("screen: never blank until 4 s", "met", ""),
        ('screen: ~ "count \\d" every 3 s until 6 s', "met", ""),
        ('screen: ~ "count \\d" every 3 s', "not met", "from 5 s to 10 s the screen is blank"),
        ('screen: "Hello" at 20 s', "untried", "ends at 10 s"),
    ],
)
def test_a_text_is_shown_when_it_is_due(line: str, state: str, text: str) -> None:
    seen = record((1_000.0, lines("Hello, world!", "count 2")), (5_000.0, lines("", "")))
    found = finding(line, seen)
    assert (found.state, text in found.text) == (state, True), found


def test_other_pictures_are_counted_as_events() -> None:
    clock = record(*((1_000.0 * second, screen_of(f"12:00:{second:02}")) for second in range(1, 10)))
    assert finding("screen: changes every 1 s", clock).state == "met"
    assert finding("screen: changes every 2 s", clock).state == "not met"
    assert finding("screen: changes every 1 s", record((1_000.0, screen_of("12:00:01")))).state == "not met"


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ('screen: "Hello" within 2 s', "untried"),
        ('screen: "Hello" at 2 s', "untried"),
        ('screen: never "Hello"', "untried"),
        ('screen: "Hello" every 2 s', "untried"),
        ("screen: blank at 2 s", "not met"),
        ('screen: "Done" within 5 s', "untried"),
        ('screen: "Done" at 5 s', "met"),
        ('screen: "Done"', "met"),
    ],
)
def test_text_of_an_unknown_font_is_untried_with_the_reason(line: str, state: str) -> None:
    found = finding(line, record((100.0, unknown_font()), (4_500.0, screen_of("Done"))))
    if line.startswith('screen: "Done" within'):
        state = "met"
    assert found.state == state
    if state == "untried":
        assert "no text of a known font" in found.text
        assert found.next_step


def test_digits_are_read_as_a_display_shows_them() -> None:
    digits = record((100.0, Screen("digits", 4, 1, bytes([0, 0, 0x66, 0x5B]))))
    assert finding('display: "42"', digits).state == "met"
    assert finding('display: "4"', digits).text == "the screen shows '42' at 10 s"
    words = record((100.0, Screen("digits", 4, 1, bytes([0x3F, 0x54, 0x6D | 0x80, 0x3F]))))
    assert finding('display: "OnS.O"', words).state == "met"


def test_a_program_that_draws_nothing_does_not_show_a_text() -> None:
    assert finding('screen: "Hello" within 2 s', record()).text == "the display was sent nothing at 2 s"
    assert finding('screen: never "Hello"', record()).state == "untried"


def test_more_pictures_than_are_read_leave_a_check_untried() -> None:
    flicker = record(*((5.0 * number, lines(f"count {number}")) for number in range(10_000)), end_ms=50_000.0)
    began_s = time.process_time()
    assert finding('screen: "count 500" within 3 s', flicker).state == "met"
    assert finding('screen: "count 9999" at 49.998 s', flicker).state == "met"
    found = finding('screen: never "Error"', flicker)
    assert (found.state, str(MAX_PICTURES) in found.text, bool(found.next_step)) == ("untried", True, True)
    assert finding('screen: "never there"', flicker).state == "untried"
    assert time.process_time() - began_s < 10


def test_what_a_display_shows_is_accepted_on_a_board_or_reported_if_it_is_printed_too() -> None:
    expectations = parse_expectations('screen: "count 2"\nscreen: blank at 500 ms\npin 4: 1 edge')
    results = evaluate(expectations, record((1_000.0, lines("count 2"))))
    accepted = Evidence("accepted", "accepted only")
    answers = [result.answer for result in seen_on_board(results, accepted, frozenset(), ["x", "count 22"])[:2]]
    assert answers == ["met in the trial; accepted only", "met in the trial; accepted only"]
    reported = seen_on_board(results, accepted, frozenset(), ["now count 2!"])
    assert [result.board for result in reported] == ["reported", "accepted only", "accepted only"]


def wiring(*ids: str) -> Wiring:
    text = "".join(f"[{part_id}]\npart = 'ssd1306'\naddress = {0x3C + number}\n" for number, part_id in enumerate(ids))
    return parse_wiring(text)


def test_without_an_id_the_only_display_is_meant() -> None:
    expectations = parse_expectations('screen: "Hello"\nscreen: changes every 1 s')
    for check in with_settings(expectations, wiring("oled1")).checks:
        assert isinstance(check.subject, ScreenShows | ScreenMoments)
        assert check.subject.part == "oled1"


@pytest.mark.parametrize(
    ("ids", "line", "step"),
    [
        ((), 'screen: "Hello"', "none"),
        (("left", "right"), 'screen: "Hello"', "screen left: ...; wired displays: left, right"),
        (("left", "right"), 'screen oled1: "Hello"', "left, right"),
    ],
)
def test_a_display_that_is_not_clear_is_refused_with_the_displays(ids: tuple[str, ...], line: str, step: str) -> None:
    with pytest.raises(ConfigError) as refused:
        with_settings(parse_expectations(line), wiring(*ids))
    assert refused.value.message.startswith("expectations, line 1: ")
    assert step in str(refused.value.next_step)
