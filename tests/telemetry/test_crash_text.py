"""The name of a crash, when two are one kind, and that a board's words are cleaned and cut."""

from __future__ import annotations

import pytest

from microclaw.telemetry.crash_text import MAX_TITLE_CHARS, Crash, clean_trace, crash_of, fingerprint, title_of
from microclaw.wire.link.values import ValueMap

TRACE = """Traceback (most recent call last):
  File "blink.py", line 4, in <module>
  File "blink.py", line 12, in measure
ValueError: 17 is over 16"""
WASM = "Exception: out of bounds memory access (line 5, in app_main)"


def kind(trace: str, program: str = "blink", version: str | None = "abc") -> str:
    crash = Crash("program", program, trace)
    return fingerprint(crash, version, title_of(crash))


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("app.crash", {"app": "blink", "reason": TRACE}, "ValueError: 17 is over 16 at blink.py line 12 in measure"),
        ("app.crash", {}, "no reason given"),
        ("reboot", {"reason": "watchdog", "boot": 3}, "reset: watchdog"),
        (
            "reboot",
            {"reason": "restart", "not_started": "the last starts ended within a minute"},
            "reset: restart; no program was started: the last starts ended within a minute",
        ),
        ("crash", {"reason": "Guru Meditation Error\nCore 1"}, "Guru Meditation Error"),
    ],
)
def test_crashes_are_told_in_a_line(name: str, data: ValueMap, title: str) -> None:
    crash = crash_of(name, data)
    assert crash is not None
    assert title_of(crash) == title


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("reboot", {"reason": "power_on"}),
        ("reboot", {}),
        ("app.exit", {"app": "blink"}),
        ("button", {"reason": "panic"}),
    ],
)
def test_what_is_no_crash_is_none(name: str, data: ValueMap) -> None:
    assert crash_of(name, data) is None


def test_other_numbers_in_the_words_are_the_same_kind() -> None:
    assert kind(TRACE) == kind(TRACE.replace("17", "99"))
    assert kind("Exception: index 58 at 0x3ffb1c is outside (line 5, in main)") == kind(
        "Exception: index 7 at 0x3ffb99 is outside (line 5, in main)"
    )


@pytest.mark.parametrize(
    "other",
    [
        kind(TRACE.replace("line 12", "line 13")),
        kind(TRACE.replace("ValueError", "KeyError")),
        kind(TRACE, "lamp"),
        kind(TRACE, version="def"),
        kind(TRACE, version=None),
    ],
)
def test_another_place_program_or_version_is_another_kind(other: str) -> None:
    assert other != kind(TRACE)


def test_errors_of_the_system_differ_by_their_number() -> None:
    assert kind("OSError: [Errno 19] ENODEV") != kind("OSError: [Errno 116] ETIMEDOUT")


def test_a_boards_words_steer_no_terminal_and_are_cut() -> None:
    evil = "\x1b]0;x\x07a\u202eb\x9b31m\r\n" + "x" * 9_000 + "\n" + "line\n" * 50
    trace = clean_trace(evil)
    assert len(trace.splitlines()) == 20
    assert max(map(len, clean_trace("x" * 9_000).splitlines())) <= 240
    assert all(char.isprintable() or char == "\n" for char in clean_trace("\x1b]0;x\x07a\u202eb\x9b31m\r\nc"))
    crash = crash_of("app.crash", {"app": "\x1b[31m" + "n" * 500, "reason": evil})
    assert crash is not None
    assert crash.program is not None
    assert len(crash.program) < 60
    assert crash.program.isprintable()
    assert len(title_of(crash)) <= MAX_TITLE_CHARS
