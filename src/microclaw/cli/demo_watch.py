"""Watches a pin of a virtual board and draws it as it moves. It counts only what the board itself counted."""

from __future__ import annotations

import time
from dataclasses import dataclass

from microclaw.cli.board_link import BoardLink
from microclaw.events import Edge
from microclaw.pin_track import Rhythm, rhythms
from microclaw.terminal.page import Terminal

LOOK_EVERY_S = 0.1
WINDOW_MS = 4200.0  # what a full track shows: 8 edges at half a second
TAIL_MS = 350.0  # the last level is shown, too


@dataclass(frozen=True, slots=True)
class Watched:
    """The edges of one pin that the board counted in a while; `cursor` is where the next look begins."""

    edges: tuple[Edge, ...]
    cursor: int
    dropped: int

    @property
    def rhythm(self) -> Rhythm | None:
        return next(iter(rhythms(self.edges)), None)


def watch_pin(
    board: BoardLink, terminal: Terminal, pin: int, *, cursor: int, edges: int, patience_s: float, plus: str = ""
) -> Watched:
    """Draw the pin until it had `edges` edges since `cursor`, or patience ends."""
    seen: list[Edge] = []
    dropped = 0
    start_ms = board.edges(cursor).now_ms
    give_up = time.monotonic() + patience_s
    while True:
        page = board.edges(cursor)
        cursor = page.next
        dropped += page.dropped
        seen += [Edge(*row) for row in page.edges if row.pin == pin and row.t_ms >= start_ms]
        enough = len(seen) >= edges and page.now_ms >= seen[edges - 1].t_ms + TAIL_MS
        final = enough or time.monotonic() >= give_up
        _draw(terminal, pin, seen, start_ms, page.now_ms, plus, final=final)
        if final:
            return Watched(tuple(seen), cursor, dropped)
        time.sleep(LOOK_EVERY_S)


def _draw(
    terminal: Terminal, pin: int, seen: list[Edge], start_ms: float, now_ms: float, plus: str, *, final: bool
) -> None:
    period = f"period {rhythms(seen)[0].period_s:.3f} s, " if len(seen) > 1 else ""
    note = f"{period}{plus}{len(seen)} edges"
    level = 1 - seen[0].level if seen else 0
    window_ms = max(WINDOW_MS, now_ms - start_ms)
    terminal.track(
        pin, seen, start_ms=start_ms, end_ms=now_ms, window_ms=window_ms, level=level, note=note, final=final
    )
