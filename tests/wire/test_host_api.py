"""Stream lines: what is encoded is decoded, anything else is refused."""

from __future__ import annotations

import pytest

from microclaw.errors import BuildError, Diagnostic, ProtocolError
from microclaw.events import Action, Answer, Delta, Edge, Evidence, Step, Usage
from microclaw.wire.host_api import Failure, Keepalive, Result, StreamEvent, decode_event, encode_event, failure_of


def test_half_a_surrogate_is_sent_as_a_question_mark() -> None:
    assert decode_event(encode_event(Delta("a\ud800b"))) == Delta("a?b")


def test_a_turn_of_the_largest_calls_fits_one_line() -> None:
    calls = tuple(
        Action(
            "deploy-wasm-app", "\u20ac" * (512 << 10), "once", "failed", (Evidence("counted", "x" * 300),), "y" * 300
        )
        for _ in range(80)
    )
    shown = decode_event(encode_event(Answer("done", calls)))
    assert isinstance(shown, Answer)
    assert len(shown.actions) == 80
    assert shown.actions[0].arguments.endswith("\u20ac...")


EVENTS: list[StreamEvent] = [
    Step("compile", "zig -> 756 B", took_ms=51.5),
    Step("code", "x", "failed", ("  1  a\tb", "ü\u2028"), next_step="mend it"),
    Delta("a piece\nof text"),
    Answer("done"),
    Answer(
        "it blinks",
        (Action("deploy-wasm-app", '{"appName":"blink"}', "once", "done", (Evidence("counted", "8 edges"),), ""),),
        (Evidence("counted", "8 edges", (Edge(1.5, 2, 1),)),),
        Usage(10, 20, None),
        "cancelled",
        "look",
    ),
    Result({"a": [1, None, {"b": "c"}]}),
    Failure("build_error", "no", "yes", ({"text": "d1", "line": 3}, {"text": "d2", "line": None}), 4),
    Failure("failed", "no"),
    Keepalive(),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_event_survives_the_line(event: StreamEvent) -> None:
    line = encode_event(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_event(line) == event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null\n",
        b'{"type":"unknown"}\n',
        b'{"type":"step"}\n',
        b'{"type":"result","result":7}\n',
        b"\xff\xfe\n",
        b"x" * ((1 << 20) + 1),
    ],
)
def test_line_that_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_event(line)


def test_build_error_keeps_its_diagnostics() -> None:
    error = BuildError((Diagnostic("error", "expected ';'", "blink.c", 5, 31, "int x = 1", "add it"),))
    failure = failure_of(error)
    assert failure.code == "build_error"
