"""The name of a crash, when two are one kind, and that a board's words are cleaned and cut."""

from __future__ import annotations

import pytest

from microclaw.telemetry.reported import MAX_TITLE_CHARS, Crash, clean_trace, crash_of, fingerprint, title_of
from microclaw.wire.link.values import ValueMap

TRACE = """Traceback (most recent call last):
  File "blink.py", line 4, in <module>
  File "blink.py", line 12, in measure
ValueError: 17 is over 16"""


def kind(trace: str, program: str = "blink", version: str | None = "abc") -> str:
    crash = Crash("program", program, trace)
    return fingerprint(crash, version, title_of(crash))


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("app.crash", {"app": "blink", "reason": TRACE}, "ValueError: 17 is over 16 at blink.py line 12 in measure"),
        ("reboot", {"reason": "watchdog", "boot": 3}, "reset: watchdog"),
        (
            "reboot",
            {"reason": "restart", "not_started": "the last starts ended within a minute"},
            "reset: restart; no program was started: the last starts ended within a minute",
        ),
        ("reboot", {"reason": "power_on"}, None),
        ("button", {"reason": "panic"}, None),
    ],
)
def test_crashes_are_told_in_a_line_and_nothing_else_is_one(name: str, data: ValueMap, title: str | None) -> None:
    crash = crash_of(name, data)
    assert (crash and title_of(crash)) == title


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (kind(TRACE), kind(TRACE.replace("17", "99")), True),
        (kind(TRACE), kind(TRACE.replace("line 12", "line 13")), False),
        (kind(TRACE), kind(TRACE, "lamp"), False),
        (kind(TRACE), kind(TRACE, version="def"), False),
        (kind("OSError: [Errno 19] ENODEV"), kind("OSError: [Errno 116] ETIMEDOUT"), False),
    ],
)
def test_a_kind_is_of_a_program_a_version_and_a_place_whatever_numbers_it_names(
    one: str, other: str, is_same: bool
) -> None:
    assert (one == other) is is_same


def test_a_boards_words_steer_no_terminal_and_are_cut() -> None:
    evil = "\x1b]0;x\x07a\u202eb\x9b31m\r\n" + "x" * 9_000 + "\n" + "line\n" * 50
    trace = clean_trace(evil)
    assert len(trace.splitlines()) == 20
    assert max(map(len, clean_trace("x" * 9_000).splitlines())) <= 240
    assert all(char.isprintable() or char == "\n" for char in trace)
    crash = crash_of("app.crash", {"app": "\x1b[31m" + "n" * 500, "reason": evil})
    assert crash is not None
    assert len(crash.program or "") < 60
    assert str(crash.program).isprintable()
    assert len(title_of(crash)) <= MAX_TITLE_CHARS
