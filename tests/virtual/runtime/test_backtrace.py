"""The functions named by a trap's text."""

from __future__ import annotations

from microclaw.virtual.runtime.backtrace import Frame, call_place, read_frames

TRAP = """error while executing at wasm backtrace:
    0:    0x10d - microclaw_here
    1:    0x120 - strcat
                    at /x/wasm/headers/libc/string.c:30:12
    2:    0x16a - flash
                    at /tmp/tr/main.c:2:56
                - main.c!__original_main
                    at /tmp/tr/main.c:3:31
    3:    0x1ff - on_init

Caused by:
    wasm trap: wasm `unreachable` instruction executed
"""


def test_lines_are_told_of_the_programs_own_text_only() -> None:
    frames = read_frames(TRAP)
    assert frames == (Frame("strcat", None), Frame("flash", 2), Frame("main", 3), Frame("on_init", None))
    assert call_place(frames) == "line 2, in flash"
