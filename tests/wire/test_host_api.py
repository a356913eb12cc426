"""Stream lines: what is encoded is decoded, anything else is refused."""

from __future__ import annotations

import pytest

from microclaw.errors import BuildError, Diagnostic, ProtocolError
from microclaw.events import Action, Answer, Delta, Edge, Evidence, ScreenPicture, Step, Usage
from microclaw.wire.host_api import (
    MAX_LINE_BYTES,
    MAX_SHOWN_ARGUMENTS,
    Keepalive,
    StreamEvent,
    StreamFailure,
    StreamResult,
    decode_event,
    encode_event,
    failure_of,
)

SEEN = (Evidence("counted", "8 edges", (Edge(1.5, 2, 1),)),)
ACT = Action("deploy-wasm-app", '{"appName":"blink"}', "once", "done", (Evidence("counted", "8 edges"),), "")
SCREEN = ScreenPicture("oled1", 7.25, 3, "pixels", 8, 4, ("┌┐", "└┘"), "22", b"\x89PNG\xff\x00")
EVENTS: list[StreamEvent] = [
    Step("compile", "zig -> 756 B", took_ms=51.5),
    Step("code", "x", "failed", ("  1  a\tb", "ü\u2028"), next_step="mend it"),
    Delta("a piece\nof text"),
    Answer("it blinks", (ACT,), SEEN, Usage(10, 20, None), "cancelled", "look"),
    Step("try", "oled1: 3 pictures", screens=(SCREEN,)),
    Answer("it is shown", screens=(SCREEN,)),
    StreamResult({"a": [1, None, {"b": "c"}]}),
    StreamFailure("build_error", "no", "yes", ({"text": "d1", "line": 3}, {"text": "d2", "line": None}), 4),
    failure_of(BuildError((Diagnostic("error", "expected ';'", "blink.c", 5, 31, "int x = 1", "add it"),))),
    Keepalive(),
]
NO_EVENTS = (
    b"", b"null\n", b'{"type":"unknown"}\n', b'{"type":"step"}\n', b'{"type":"result","result":7}\n', b"\xff\xfe\n",
    b" " * (MAX_LINE_BYTES + 1),
)  # fmt: skip


def test_an_event_survives_its_one_line() -> None:
    for event in EVENTS:
        line = encode_event(event)
        assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
        assert decode_event(line) == event
    assert decode_event(encode_event(Delta("a\ud800b"))) == Delta("a?b")


def test_an_event_without_pictures_is_as_it_was() -> None:
    for event in (Step("try", "20 edges"), Answer("done")):
        assert b"screens" not in encode_event(event)


def test_a_line_that_is_no_event_is_refused() -> None:
    for line in NO_EVENTS:
        with pytest.raises(ProtocolError):
            decode_event(line)


def test_a_turn_of_the_largest_calls_fits_one_line() -> None:
    euros = "\u20ac" * (MAX_SHOWN_ARGUMENTS + 1)
    act = Action("deploy-wasm-app", euros, "once", "failed", (Evidence("counted", "x" * 300),), "y" * 300)
    shown = decode_event(encode_event(Answer("done", (act,) * 80)))
    assert isinstance(shown, Answer)
    assert len(shown.actions) == 80
    assert shown.actions[0].arguments.endswith("\u20ac...")
