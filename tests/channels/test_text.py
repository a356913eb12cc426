"""Text from outside cannot steer a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.channels.text import clean, clean_line, duration, wrap, wrap_code


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGk=\x07", ""),
        ("\x9b2Jcleared", "cleared"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1bcreset", "reset"),
        ("over\rwritten", "overwritten"),
        ("back\x08\x08space", "backspace"),
        ("bell\x07", "bell"),
        ("safe\u202eevil\u2066", "safeevil"),
        ("two\r\nlines", "two\nlines"),
        ("tab\tstays", "tab\tstays"),
        ("lone \ud800 surrogate", "lone  surrogate"),
    ],
)
def test_what_would_steer_a_terminal_is_stripped(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=80))
def test_nothing_below_space_but_newline_and_tab_is_left(text: str) -> None:
    for char in clean(text):
        assert char in "\n\t" or (ord(char) >= 0x20 and not 0x7F <= ord(char) <= 0x9F)
    clean(text).encode()


def test_one_line_stays_one_line() -> None:
    assert clean_line("name\nwith\tbreaks\x1b[2J") == "name with breaks"


def test_long_text_is_wrapped_to_the_width() -> None:
    lines = wrap("word " * 40, 30)
    assert len(lines) > 5
    assert max(map(len, lines)) <= 30
    assert " ".join(lines).split() == ["word"] * 40


def test_a_word_longer_than_the_width_is_broken_and_not_lost() -> None:
    assert "".join(wrap("x" * 100, 30)) == "x" * 100


def test_parts_between_bars_stay_whole() -> None:
    assert wrap("MVP ok | 6 imports | pin 2 free", 20) == ["MVP ok | 6 imports", "pin 2 free"]


@pytest.mark.parametrize(
    ("took_ms", "shown"), [(0.4, "0 ms"), (51.2, "51 ms"), (999.4, "999 ms"), (1900, "1.9 s"), (125_000, "2 min 5 s")]
)
def test_times_are_shown_as_people_read_them(took_ms: float, shown: str) -> None:
    assert duration(took_ms) == shown


def test_long_line_of_code_hangs_below_its_text() -> None:
    rows = wrap_code("  1  /* Fade: the brightness rises and falls, for ever. */", 40)
    assert len(rows) == 2
    assert rows[1].startswith("     ")
    assert max(map(len, rows)) <= 40


def test_spaces_inside_a_short_line_of_code_stay() -> None:
    assert wrap_code("  7      for (;;)   x();", 40) == ["  7      for (;;)   x();"]
