"""The terminal channel's page: steps, answers, pin tracks in two columns, 80 wide or less; tables. It knows no host."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final, Literal, TextIO

from msgspec import Struct

from microclaw.errors import MicroclawError
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Delta, Edge, Stage, Step, ToolRun, TurnEvent
from microclaw.pin_track import CELLS, draw_track
from microclaw.text import clean_text, format_duration, wrap_code, wrap_text

WIDTH = 80
STAGE_COLUMNS = 9
MIN_CELLS = 12  # of a pin's track
MIN_WIDTH = 40  # a narrower terminal breaks the lines itself
SIDE_NOTE = "   "  # events.Step: what follows is a side note, set flush right
PROVEN_STAGES = frozenset({"try", "verify"})  # done ones end with "ok", unless the board only accepted

GAP: Final = "  "
MIN_CELL: Final = 8
"""No column is made narrower; a table with many of them is wider than the terminal then."""

_GREEN = "\x1b[32m"
_RED = "\x1b[31m"
_CYAN = "\x1b[36m"
_RESET = "\x1b[0m"
_CLEAR_LINE = "\r\x1b[2K"


class Look(Struct, frozen=True):
    """The look of a page: `colour` paints, `live` may redraw the line it is on, `columns` is how wide a line may be."""

    colour: bool
    live: bool
    columns: int = WIDTH


def look_for(out: TextIO, environ: Mapping[str, str] = os.environ) -> Look:
    """Colour and redraws only on a real terminal; NO_COLOR (no-color.org) and TERM=dumb turn colour off."""
    tty = out.isatty() and environ.get("TERM") != "dumb"
    columns = min(columns_of(out, environ) or WIDTH, WIDTH)
    return Look(colour=tty and not environ.get("NO_COLOR"), live=tty, columns=columns)


def columns_of(out: TextIO, environ: Mapping[str, str] = os.environ) -> int | None:
    """The width of the terminal; None where `out` is none. COLUMNS says it for both."""
    told = environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told[:6]) > 0:
        return max(int(told[:6]), MIN_WIDTH)
    try:
        columns = os.get_terminal_size(out.fileno()).columns if out.isatty() else 0
    except (OSError, ValueError):  # a stream without a file behind it
        columns = 0
    if columns:
        return max(columns, MIN_WIDTH)
    return None


def table_lines(rows: Sequence[Sequence[str]], columns: int | None) -> list[str]:
    """`columns` is the width there is; None for a pipe or a file, which has no end of a line.

    Columns are as wide as their widest cell, or wrapped where the terminal is narrower. Nothing is cut off: a name that
    a person wants to copy is whole, if need be on two lines.
    """
    if not rows:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if columns is not None:
        widths = _narrowed(widths, columns)
    lines: list[str] = []
    for row in rows:
        cells = [
            [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
            for cell, width in zip(row, widths, strict=True)
        ]
        for pieces in zip_longest(*cells, fillvalue=""):
            line = GAP.join(f"{piece:<{width}}" for piece, width in zip(pieces, widths, strict=True))
            lines.append(line.rstrip())
    return lines


class Terminal:
    """Prints to one stream. Everything shown is stripped of control characters first."""

    def __init__(self, out: TextIO, look: Look) -> None:
        self._out = out
        self._look = look
        # The last column stays free: some terminals wrap when it is written.
        self._text_columns = look.columns - STAGE_COLUMNS - 1
        self._redrawing = False
        self._streamed = ""  # of an answer whose line is not ended yet
        self._column = 0
        self._apology = ""  # what a failed step said is not said again by the answer

    def event(self, event: TurnEvent) -> None:
        """Show a turn's events as they come."""
        match event:
            case Step():
                self.step(event)
            case Delta(text):
                self._stream(text)
            case ToolRun() if self._streamed:
                self.end_redraw()
            case ApprovalSettled(_, "expired"):
                self.row("approve", "nobody decided in time: it is not done", bad=True)
            case ApprovalSettled(_, "withdrawn", None):
                self.row("approve", "nobody answered: it is not done", bad=True)
            case ApprovalSettled(_, outcome, str() as by):
                self.row("approve", f"{outcome} by {by}", bad=outcome != "approved")
            case Answer():
                self.answer(event)

    def step(self, step: Step) -> None:
        self.end_redraw()
        if step.state == "running":
            self.passing(step.stage, step.text)
            return
        what, _, note = step.text.partition(SIDE_NOTE)
        failed = step.state == "failed"
        if failed:
            self._apology = step.text
        if failed and step.stage != "sorry":
            what = f"failed  {what}".rstrip()
        self.row(step.stage, what, right=note.strip() or self._right(step), bad=failed)
        repeated = step.detail[:1] == (step.text,)  # a diagnostic's first line is the step's text already
        for line in step.detail[repeated:]:
            for piece in wrap_code(line, self._text_columns):
                self.line(" " * STAGE_COLUMNS + piece)
        if step.next_step:
            self.row("next", step.next_step)

    def answer(self, answer: Answer) -> None:
        streamed = self._streamed.strip()
        self.end_redraw()
        if streamed and answer.text.startswith(streamed):
            rest = answer.text[len(streamed) :].strip()
            for line in wrap_text(rest, self._text_columns) if rest else ():
                self.line(" " * STAGE_COLUMNS + line)
            if answer.next_step:
                self.row("next", answer.next_step)
        elif answer.text and not self._apology.endswith(answer.text):
            stage = _answer_stage(answer)
            self.row(stage, answer.text, bad=stage == "sorry")
            if answer.next_step:
                self.row("next", answer.next_step)
        self._apology = ""

    def approval(self, asked: ApprovalAsked) -> None:
        """Show an action that waits for a yes or a no, with every detail."""
        self.row("approve", asked.text)
        for line in asked.detail:
            for piece in wrap_code(line, self._text_columns):
                self.line(" " * STAGE_COLUMNS + piece)

    def prompt(self, text: str) -> None:
        """Print a question; the person types behind it on the same line."""
        self.end_redraw()
        self._write(" " * STAGE_COLUMNS + text)

    def row(self, stage: str, text: str, *, right: str = "", bad: bool = False) -> None:
        """A stage's name in the left column and its text beside it, wrapped; `right` is set flush right."""
        self.end_redraw()
        columns = self._text_columns - max(0, len(stage) + 1 - STAGE_COLUMNS)  # a long name takes of the text's
        right = clean_text(right, one_line=True, limit=columns)
        lines = wrap_text(text, columns) or [""]
        if right and len(lines[-1]) + len(right) + 2 > columns:
            lines.append("")
        for index, line in enumerate(lines):
            end = right if index == len(lines) - 1 else ""
            if end:
                gap = " " * ((self._text_columns if index else columns) - len(line) - len(end))
            else:
                gap = ""
            if bad and index == 0:
                body = self._paint(line, _RED)
            else:
                body = line
            if end == "ok":
                painted = self._paint(end, _GREEN)
            else:
                painted = end
            self.line(_columns(stage if index == 0 else "", body + gap + painted))

    def passing(self, stage: str, text: str) -> None:
        """A line that the next one takes the place of, on a live terminal; another prints nothing."""
        self.end_redraw()
        if self._look.live:
            self._write(_columns(stage, clean_text(text, one_line=True, limit=self._text_columns)))
            self._redrawing = True

    def line(self, text: str = "") -> None:
        self.end_redraw()
        self._write(text.rstrip() + "\n")

    def error(self, error: MicroclawError) -> None:
        self.row("sorry", error.message, bad=True)
        if error.next_step:
            self.row("next", error.next_step)

    def track(
        self,
        pin: int,
        edges: Sequence[Edge],
        *,
        start_ms: float,
        end_ms: float,
        level: int,
        note: str,
        window_ms: float | None = None,
        final: bool = True,
    ) -> None:
        """A pin's track; a live terminal redraws it until `final`, any other prints only the final one.

        The full width stands for `window_ms`, which is the time from start to end when it is not given.
        """
        if not final and not self._look.live:
            return
        full = max(CELLS - (WIDTH - self._look.columns), MIN_CELLS)
        if window_ms is None:
            cells = full
        else:
            cells = min(full, round(full * (end_ms - start_ms) / window_ms))
        drawn = draw_track(edges, start_ms=start_ms, end_ms=end_ms, level=level, cells=cells)
        text = f"{self._paint(drawn, _CYAN)}{' ' * (full - len(drawn))}   {clean_text(note, one_line=True)}"
        if self._redrawing:
            self._write(_CLEAR_LINE)
        self._write(_columns(f"pin {pin}", text).rstrip() + ("\n" if final else ""))
        self._redrawing = not final

    def _right(self, step: Step) -> str:
        if step.state == "failed":
            return ""
        if step.stage in PROVEN_STAGES and not step.text.startswith("accepted"):
            return "ok"
        if step.took_ms is None:
            return ""
        return format_duration(step.took_ms)

    def _stream(self, text: str) -> None:
        """A piece of an answer on a live terminal, wrapped as it comes; another prints the whole answer at its end."""
        if not self._look.live:
            return
        if not self._streamed:
            self.end_redraw()
            self._write(_columns("answer", ""))
            self._column = 0
        self._streamed += text
        for piece in re.findall(r"\n|[^\S\n]+|\S+", clean_text(text)):
            if piece == "\n" or self._column + len(piece) > self._text_columns:
                self._write("\n" + " " * STAGE_COLUMNS)
                self._column = 0
            if not (piece.isspace() and self._column == 0):
                self._write(piece)
                self._column += len(piece)

    def end_redraw(self) -> None:
        """Begin the next line: what was passing is gone, what was streamed has ended."""
        if self._streamed:
            self._streamed = ""
            self._write("\n")
        if self._redrawing:
            self._redrawing = False
            self._write(_CLEAR_LINE)

    def _paint(self, text: str, colour: str) -> str:
        if self._look.colour and text:
            return f"{colour}{text}{_RESET}"
        return text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _answer_stage(answer: Answer) -> Stage | Literal["answer"]:
    """A question back to the person is no failure, though nothing was done."""
    if answer.error_code is None:
        return "answer"
    asks = answer.waits_for_yes or (answer.error_code == "ambiguous" and "?" in answer.text)
    return "asks" if asks else "sorry"


def _columns(stage: str, text: str) -> str:
    if stage:
        return f"{stage:<{STAGE_COLUMNS - 1}} {text}"
    return f"{'':<{STAGE_COLUMNS}}{text}"


def _narrowed(widths: list[int], columns: int) -> list[int]:
    """The widest columns give, one character at a time, until all fit or none has more to give."""
    widths = list(widths)
    over = sum(widths) + len(GAP) * (len(widths) - 1) - columns
    while over > 0 and max(widths) > MIN_CELL:
        widths[widths.index(max(widths))] -= 1
        over -= 1
    return widths
