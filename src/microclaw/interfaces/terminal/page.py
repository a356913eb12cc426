"""The terminal channel's page: steps, answers and pin tracks in two columns, up to 80 wide; tables. Calls no host."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final, Literal, TextIO

from msgspec import Struct

from microclaw.errors import MicroclawError
from microclaw.events import (
    Answer,
    ApprovalAsked,
    ApprovalSettled,
    Delta,
    Edge,
    ScreenPicture,
    Stage,
    Step,
    ToolRun,
    TurnEvent,
)
from microclaw.programs.proof.pin_track import CELLS, draw_track
from microclaw.text import clean_text, count_text, format_duration, time_text, wrap_code, wrap_text

WIDTH = 80
STAGE_COLUMNS = 9
# The least width of a pin's track.
MIN_CELLS = 12
# A narrower terminal breaks the lines itself.
MIN_WIDTH = 40
# In the text of a step (events.Step) a side note follows, which is set flush right.
SIDE_NOTE = "   "
# These stages end with "ok" if they are done, unless the board only accepted.
PROVEN_STAGES = frozenset({"try", "verify"})

GAP: Final = "  "
MIN_CELL: Final = 8
"""The least width of a table's column; a table with many columns may be wider than the terminal."""

_GREEN = "\x1b[32m"
_RED = "\x1b[31m"
_CYAN = "\x1b[36m"
_RESET = "\x1b[0m"
_CLEAR_LINE = "\r\x1b[2K"


class Look(Struct, frozen=True):
    """The look of a page: `colour` allows colours, `live` redrawing of the last line; `columns` is the line's width."""

    colour: bool
    live: bool
    columns: int = WIDTH


def detect_look(out: TextIO, environ: Mapping[str, str] = os.environ) -> Look:
    """Return the look for a stream: colours and redrawing only on a real terminal.

    NO_COLOR (no-color.org) and TERM=dumb turn colour off.
    """
    is_live = out.isatty() and environ.get("TERM") != "dumb"
    columns = min(terminal_columns(out, environ) or WIDTH, WIDTH)
    return Look(colour=is_live and not environ.get("NO_COLOR"), live=is_live, columns=columns)


def terminal_columns(out: TextIO, environ: Mapping[str, str] = os.environ) -> int | None:
    """Return the width of the terminal, or None if `out` is not a terminal. COLUMNS overrides both."""
    override = environ.get("COLUMNS", "")
    if override.isascii() and override.isdigit() and int(override[:6]) > 0:
        return max(int(override[:6]), MIN_WIDTH)
    try:
        if not out.isatty():
            return None
        columns = os.get_terminal_size(out.fileno()).columns
    # The stream has no file behind it.
    except (OSError, ValueError):
        return None
    # Some terminals report the width 0.
    if columns == 0:
        return None
    return max(columns, MIN_WIDTH)


def table_lines(rows: Sequence[Sequence[str]], columns: int | None) -> list[str]:
    """Return the lines of a table. `columns` is the available width, None for a pipe or a file, which has no limit.

    Columns are as wide as their widest cell, or wrapped if the terminal is narrower. Nothing is cut off: a name that a
    user wants to copy is complete, if necessary on two lines.
    """
    if not rows:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if columns is not None:
        widths = _narrow(widths, columns)
    lines: list[str] = []
    for row in rows:
        cells = [_wrap_cell(cell, width) for cell, width in zip(row, widths, strict=True)]
        for pieces in zip_longest(*cells, fillvalue=""):
            padded = [piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)]
            lines.append(GAP.join(padded).rstrip())
    return lines


def _wrap_cell(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    return textwrap.wrap(cell, width, break_on_hyphens=False) or [""]


class Terminal:
    """A page on one stream. All texts are stripped of control characters before they are printed."""

    def __init__(self, out: TextIO, look: Look) -> None:
        self._out = out
        self._look = look
        # The last column stays free: some terminals wrap when it is written.
        self._text_columns = look.columns - STAGE_COLUMNS - 1
        self._redrawing = False
        # The text of an answer whose line is not ended yet.
        self._streamed = ""
        self._column = 0
        # The text of a failed step, which the answer must not repeat.
        self._apology = ""

    def event(self, event: TurnEvent) -> None:
        """Show an event of a turn."""
        match event:
            case Step():
                self.step(event)
            case Delta(text):
                self._stream(text)
            case ToolRun() if self._streamed:
                self.end_redraw()
            case ApprovalSettled(_, "expired"):
                self.row("approve", "no decision in time: it is not done", bad=True)
            case ApprovalSettled(_, "withdrawn", None):
                self.row("approve", "no answer: it is not done", bad=True)
            case ApprovalSettled(_, outcome, str() as by):
                self.row("approve", f"{outcome} by {by}", bad=outcome != "approved")
            case Answer():
                self.answer(event)

    def step(self, step: Step) -> None:
        """Show a step: a passing line while it runs, then its result, its details and the next step."""
        self.end_redraw()
        if step.state == "running":
            self.passing(step.stage, step.text)
            return
        text, _, note = step.text.partition(SIDE_NOTE)
        is_failed = step.state == "failed"
        if is_failed:
            self._apology = step.text
        if is_failed and step.stage != "sorry":
            text = f"failed  {text}".rstrip()
        self.row(step.stage, text, right=note.strip() or self._right_text(step), bad=is_failed)
        details = step.detail
        # The first line of a diagnostic may be the step's text.
        if details[:1] == (step.text,):
            details = details[1:]
        self._show_details(details)
        for picture in step.screens:
            self._show_picture(picture)
        if step.next_step:
            self.row("next", step.next_step)

    def _show_picture(self, picture: ScreenPicture) -> None:
        """Show what a display showed last, if its lines fit into the width."""
        count = count_text(picture.count, "picture")
        self.row(picture.part, f"{count}, the last at {time_text(picture.t_ms)}")
        if max(map(len, picture.lines)) > self._text_columns:
            self.line(" " * STAGE_COLUMNS + "it is wider than this terminal")
            return
        for line in picture.lines:
            self.line(" " * STAGE_COLUMNS + clean_text(line))

    def _show_details(self, lines: Sequence[str]) -> None:
        for line in lines:
            for piece in wrap_code(line, self._text_columns):
                self.line(" " * STAGE_COLUMNS + piece)

    def answer(self, answer: Answer) -> None:
        """Show an answer: only the part that was not streamed yet, and nothing if a failed step said the same."""
        streamed = self._streamed.strip()
        self.end_redraw()
        is_streamed = bool(streamed) and answer.text.startswith(streamed)
        if is_streamed:
            rest = answer.text[len(streamed) :].strip()
            if rest:
                for line in wrap_text(rest, self._text_columns):
                    self.line(" " * STAGE_COLUMNS + line)
        is_repeated = not answer.text or self._apology.endswith(answer.text)
        if not is_streamed and not is_repeated:
            stage = _answer_stage(answer)
            self.row(stage, answer.text, bad=stage == "sorry")
        if answer.next_step and (is_streamed or not is_repeated):
            self.row("next", answer.next_step)
        self._apology = ""

    def approval(self, asked: ApprovalAsked) -> None:
        """Show an action that waits for a yes or a no, with every detail."""
        self.row("approve", asked.text)
        self._show_details(asked.detail)

    def prompt(self, text: str) -> None:
        """Print a question; the user types the answer on the same line."""
        self.end_redraw()
        self._write(" " * STAGE_COLUMNS + text)

    def row(self, stage: str, text: str, *, right: str = "", bad: bool = False) -> None:
        """Print a stage's name in the left column and its text beside it, wrapped; `right` is set flush right."""
        self.end_redraw()
        # A long name takes columns from the first line of the text.
        columns = self._text_columns - max(0, len(stage) + 1 - STAGE_COLUMNS)
        right = clean_text(right, one_line=True, limit=columns)
        lines = wrap_text(text, columns) or [""]
        if right and len(lines[-1]) + len(right) + 2 > columns:
            lines.append("")
        last = len(lines) - 1
        for index, line in enumerate(lines):
            body = line
            title = ""
            if index == 0:
                title = stage
                if bad:
                    body = self._paint(line, _RED)
            if index == last and right:
                # Only the first line is narrower because of a long name.
                width = self._text_columns if index else columns
                painted = self._paint(right, _GREEN) if right == "ok" else right
                body += " " * (width - len(line) - len(right)) + painted
            self.line(_join_columns(title, body))

    def passing(self, stage: str, text: str) -> None:
        """Print a line that the next one replaces; print nothing if the terminal is not live."""
        self.end_redraw()
        if self._look.live:
            self._write(_join_columns(stage, clean_text(text, one_line=True, limit=self._text_columns)))
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
        """Print a pin's track. A live terminal redraws it until it is `final`; another one prints only the final one.

        The full width stands for `window_ms`, or for the time from start to end if it is None.
        """
        if not final and not self._look.live:
            return
        full_width = max(CELLS - (WIDTH - self._look.columns), MIN_CELLS)
        cells = full_width
        if window_ms is not None:
            cells = min(full_width, round(full_width * (end_ms - start_ms) / window_ms))
        drawing = draw_track(edges, start_ms=start_ms, end_ms=end_ms, level=level, cells=cells)
        padding = " " * (full_width - len(drawing))
        text = f"{self._paint(drawing, _CYAN)}{padding}   {clean_text(note, one_line=True)}"
        if self._redrawing:
            self._write(_CLEAR_LINE)
        line = _join_columns(f"pin {pin}", text).rstrip()
        self._write(f"{line}\n" if final else line)
        self._redrawing = not final

    def _right_text(self, step: Step) -> str:
        """Return the text at the right end of a step: "ok" for a proof, else its duration."""
        if step.state == "failed":
            return ""
        if step.stage in PROVEN_STAGES and not step.text.startswith("accepted"):
            return "ok"
        if step.took_ms is None:
            return ""
        return format_duration(step.took_ms)

    def _stream(self, text: str) -> None:
        """Print a piece of an answer on a live terminal, wrapped; another one prints the whole answer at its end."""
        if not self._look.live:
            return
        if not self._streamed:
            self.end_redraw()
            self._write(_join_columns("answer", ""))
            self._column = 0
        self._streamed += text
        for piece in re.findall(r"\n|[^\S\n]+|\S+", clean_text(text)):
            if piece == "\n" or self._column + len(piece) > self._text_columns:
                self._write("\n" + " " * STAGE_COLUMNS)
                self._column = 0
            is_leading_space = piece.isspace() and self._column == 0
            if not is_leading_space:
                self._write(piece)
                self._column += len(piece)

    def end_redraw(self) -> None:
        """Begin the next line: clear a passing line, end a streamed one."""
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
    """Return the name beside an answer. A question back to the user is not a failure, though nothing was done."""
    if answer.error_code is None:
        return "answer"
    is_question = answer.error_code == "ambiguous" and "?" in answer.text
    if answer.waits_for_yes or is_question:
        return "asks"
    return "sorry"


def _join_columns(stage: str, text: str) -> str:
    if stage:
        return f"{stage:<{STAGE_COLUMNS - 1}} {text}"
    return f"{'':<{STAGE_COLUMNS}}{text}"


def _narrow(widths: list[int], columns: int) -> list[int]:
    """Return widths that fit into `columns`: the widest shrink by a character at a time, down to MIN_CELL."""
    widths = list(widths)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - columns
    while excess > 0 and max(widths) > MIN_CELL:
        widths[widths.index(max(widths))] -= 1
        excess -= 1
    return widths
