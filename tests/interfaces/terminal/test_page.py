"""The terminal's page: columns, colour, redraws; tables wrap within their columns, and lose nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import DeviceUnreachable
from microclaw.events import (
    Answer,
    ApprovalAsked,
    ApprovalSettled,
    Delta,
    Edge,
    ScreenPicture,
    Step,
    ToolRun,
    TurnEvent,
)
from microclaw.interfaces.terminal.page import (
    MIN_CELL,
    WIDTH,
    Look,
    Terminal,
    detect_look,
    table_lines,
    terminal_columns,
)

PLAIN = Look(colour=False, live=False)
LIVE = Look(colour=True, live=True)


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def page(look: Look = PLAIN) -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    return Terminal(out, look), out


def test_a_long_name_leaves_a_space_before_its_text_and_the_line_on_the_page() -> None:
    terminal, out = page()
    terminal.row("telemetry", "lamp: 5 values not kept")
    terminal.row("telemetry", "lamp: 5 values " * 9, right="ok")
    first, *lines = out.getvalue().splitlines()
    assert first == "telemetry lamp: 5 values not kept"
    assert lines[0].startswith("telemetry lamp")
    assert lines[1].startswith(" " * 9 + "values")
    assert max(map(len, lines)) < WIDTH
    assert len(lines[-1]) == WIDTH - 1


def test_a_picture_of_a_display_stands_below_its_step_and_never_breaks_in_a_narrow_terminal() -> None:
    lines = (f"┌{'─' * 64}┐", f"│{'⣿' * 64}│", f"└{'─' * 64}┘")
    picture = ScreenPicture("oled1", 9_322.0, 12, "pixels", 128, 4, lines, "", b"")
    step = Step("try", "oled1: 12 pictures", screens=(picture,))
    terminal, out = page()
    terminal.step(step)
    assert out.getvalue().splitlines()[1:] == [
        "oled1    12 pictures, the last at 9.322 s",
        *(" " * 9 + line for line in lines),
    ]
    terminal, out = page(Look(colour=False, live=False, columns=60))
    terminal.step(step)
    assert "⣿" not in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) < 60


def test_what_a_board_only_accepted_is_not_called_ok() -> None:
    terminal, out = page()
    terminal.step(Step("verify", "accepted only: this board offers no read-back"))
    assert "ok" not in out.getvalue()


def test_side_note_cannot_steer_the_terminal() -> None:
    terminal, out = page()
    terminal.step(Step("tool", "gpio-set   \x1b]0;owned\x07\x1b[31mred\nline" + "x" * 500))
    assert not set(out.getvalue()) & {"\x1b", "\x07"}
    assert max(len(line) for line in out.getvalue().splitlines()) < WIDTH


STEP = Step("sorry", "I do not know this sentence", "failed", next_step="add a model")
SAME = Answer("I do not know this sentence", error_code="not_understood", next_step="add a model")
STREAMED = (Delta("it "), Delta("blinks"))


@pytest.mark.parametrize(
    ("look", "events", "shown"),
    [
        (PLAIN, [STEP, SAME], "sorry    I do not know this sentence\nnext     add a model\n"),
        (PLAIN, [Answer("Which?", error_code="ambiguous", next_step="name it")], "asks     Which?\nnext     name it\n"),
        (PLAIN, [Answer("That removes all.", error_code="confirm")], "asks     That removes all.\n"),
        (PLAIN, [Answer("No device yet.", error_code="ambiguous")], "sorry    No device yet.\n"),
        (PLAIN, [Answer("What is this?", error_code="not_understood")], "sorry    What is this?\n"),
        (PLAIN, STREAMED, ""),
        (PLAIN, [*STREAMED, Answer("it blinks")], "answer   it blinks\n"),
        (LIVE, [*STREAMED, Answer("it blinks")], "answer   it blinks\n"),
        (
            LIVE,
            [*STREAMED, Answer("it blinks\nNo read-back.", next_step="look")],
            "answer   it blinks\n         No read-back.\nnext     look\n",
        ),
        (
            Look(colour=False, live=True),
            [
                Delta("let me look"),
                ToolRun("gpio-get", "started"),
                Delta("it is"),
                Answer("over", error_code="cancelled"),
            ],
            "answer   let me look\nanswer   it is\nsorry    over\n",
        ),
    ],
)
def test_an_answer_is_shown_once_streamed_or_whole(look: Look, events: Sequence[TurnEvent], shown: str) -> None:
    terminal, out = page(look)
    for event in events:
        terminal.event(event)
    assert out.getvalue() == shown


def test_streamed_text_is_wrapped_as_it_comes() -> None:
    terminal, out = page(LIVE)
    text = "word " * 60
    for piece in text.split(" "):
        terminal.event(Delta(f"{piece} "))
    terminal.event(Answer(text.strip()))
    assert max(map(len, out.getvalue().splitlines())) < WIDTH
    assert " ".join(out.getvalue().split()) == f"answer {text.strip()}"


def test_a_question_shows_what_would_happen_and_how_it_ended() -> None:
    terminal, out = page()
    terminal.approval(ApprovalAsked("a1", "undo on virtual-1", ("stops blink", "pin 2 goes low"), 300.0))
    terminal.event(ApprovalSettled("a1", "expired"))
    terminal.event(ApprovalSettled("a1", "withdrawn"))
    terminal.event(ApprovalSettled("a1", "withdrawn", "ada"))
    assert out.getvalue().splitlines() == [
        "approve  undo on virtual-1",
        "         stops blink",
        "         pin 2 goes low",
        "approve  no decision in time: it is not done",
        "approve  no answer: it is not done",
        "approve  withdrawn by ada",
    ]


def test_no_line_is_wider_than_the_page() -> None:
    terminal, out = page()
    terminal.step(Step("check", "MVP ok | " + " | ".join(f"part {n} of the check" for n in range(12)), took_ms=5))
    terminal.row("sorry", "word " * 60)
    assert max(map(len, out.getvalue().splitlines())) < WIDTH


def test_hostile_text_reaches_no_terminal() -> None:
    terminal, out = page(LIVE)
    hostile = "\x1b]0;pwned\x07\x1b[2J"
    terminal.event(Step("tool", f"name {hostile}", detail=(hostile,), next_step=hostile))
    terminal.event(Delta(hostile))
    terminal.event(Answer(f"x{hostile}", next_step=hostile))
    terminal.error(DeviceUnreachable(hostile, next_step=hostile))
    assert "pwned" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_plain_page_has_no_escape_and_no_redraw() -> None:
    terminal, out = page()
    edges = [Edge(100, 2, 1), Edge(600, 2, 0)]
    for end in (300, 700):
        terminal.track(2, edges, start_ms=0, end_ms=end, level=0, note="going", final=False)
    terminal.step(Step("compile", "working", "running"))
    terminal.track(2, edges, start_ms=0, end_ms=1000, level=0, note="2 edges")
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert "2 edges" in out.getvalue()


def test_live_page_redraws_one_line_and_ends_it_once() -> None:
    terminal, out = page(LIVE)
    edges = [Edge(100, 2, 1)]
    terminal.track(2, edges, start_ms=0, end_ms=300, window_ms=1000, level=0, note="1 edge", final=False)
    terminal.track(2, edges, start_ms=0, end_ms=1000, window_ms=1000, level=0, note="1 edge")
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().count("\r") == 1


@pytest.mark.parametrize(
    ("environ", "look"),
    [
        ({}, Look(colour=True, live=True)),
        ({"NO_COLOR": "1"}, Look(colour=False, live=True)),
        ({"TERM": "dumb"}, Look(colour=False, live=False)),
    ],
)
def test_colour_and_redraws_follow_terminal_and_environment(environ: dict[str, str], look: Look) -> None:
    assert detect_look(Tty(), environ) == look
    assert detect_look(io.StringIO(), environ) == PLAIN


ROWS = [["NAME", "LINK", "NOTE"], ["kitchen", "wasmachine://10.0.0.5:8080", "does not answer since 10:00"]]


def test_a_pipe_has_each_row_on_one_line() -> None:
    assert table_lines(ROWS, None) == [
        "NAME     LINK                        NOTE",
        "kitchen  wasmachine://10.0.0.5:8080  does not answer since 10:00",
    ]


def test_the_widest_columns_are_wrapped() -> None:
    assert table_lines(ROWS, 40) == [
        "NAME     LINK            NOTE",
        "kitchen  wasmachine://1  does not answer",
        "         0.0.0.5:8080    since 10:00",
    ]


@given(
    st.lists(st.lists(st.text("abc -/", max_size=60), min_size=4, max_size=4), min_size=1, max_size=4),
    st.integers(4 * MIN_CELL + 6, 120),
)
def test_no_line_is_wider_than_the_terminal_and_no_letter_is_lost(rows: list[list[str]], columns: int) -> None:
    lines = table_lines(rows, columns)
    assert all(len(line) <= columns for line in lines)
    wanted = "".join("".join(row) for row in rows).replace(" ", "")
    assert sorted("".join(lines).replace(" ", "")) == sorted(wanted)


@pytest.mark.parametrize(("told", "columns"), [("60", 60), ("1", 40), ("", None), ("wide", None), ("0", None)])
def test_columns_are_told_by_the_environment_where_there_is_no_terminal(told: str, columns: int | None) -> None:
    assert terminal_columns(io.StringIO(), {"COLUMNS": told}) == columns


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "utf-8"])
def test_a_document_is_whole_in_every_locale(encoding: str) -> None:
    """JSON has escapes: nothing of it becomes a question mark."""
    code = "import sys\nfrom microclaw.interfaces.cli.main import main\nsys.exit(main(['--json', '\u732b\u2026']))"
    ran = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert ran.returncode == 2
    assert "\u732b\u2026" in json.loads(ran.stdout.decode(encoding))["error"]["message"]
