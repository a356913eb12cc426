"""The events of a trial board, read in parts: its rings hold less than a long trial gives. Judges nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from microclaw.apps.colors import colors_of
from microclaw.apps.record import lines_left_out
from microclaw.apps.verdict import SHIM_SAYS
from microclaw.devices.calls import NEWEST, LedChange, LogLine, PwmChange
from microclaw.events import Edge
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.wire.board_replies import LedRow, PwmRow

TRAP_SAYS: Final = "Got exception running WASM code: "
_FIRMWARE_SAYS: Final = (TRAP_SAYS, "Cannot find function ", "warning: ", "W gpio: ", "microclaw: ")


class BoardEvents:
    """The board's edges since its start, PWM and LED changes, and its lines since `begin`."""

    def __init__(self, control: VirtualBoardTransport) -> None:
        self._control = control
        self.edges: list[Edge] = []
        self.pwm: list[PwmRow] = []
        self.leds: list[LedRow] = []
        self.lines: list[LogLine] = []
        self.now_ms = 0.0
        self.lost = False
        self.first_line = 0
        self._edge_cursor = self._pwm_cursor = self._led_cursor = self._log_cursor = 0

    @property
    def count(self) -> int:
        return len(self.edges) + len(self.pwm) + len(self.leds)

    @property
    def recorded(self) -> tuple[int, int]:
        """The numbers of lines, and of edges, PWM and LED changes, also of those that the board has no more."""
        return self._log_cursor - self.first_line, self._edge_cursor + self._pwm_cursor + self._led_cursor

    async def begin(self) -> None:
        """Leave out the lines until now."""
        self._log_cursor = self.first_line = (await self._control.log(NEWEST)).cursor

    async def read(self) -> None:
        edges = await self._control.edges(self._edge_cursor)
        changes, after = await self._control.pwm_changes(self._pwm_cursor)
        leds, led_after = await self._control.led_changes(self._led_cursor)
        log = await self._control.log(self._log_cursor)
        self.edges += edges.edges
        self.pwm += changes
        self.leds += leds
        self.lines += log.lines
        few = len(changes) < after - self._pwm_cursor or len(leds) < led_after - self._led_cursor
        self.lost = self.lost or bool(edges.dropped or log.dropped or few)
        self._edge_cursor, self._pwm_cursor = edges.cursor, after
        self._led_cursor, self._log_cursor = led_after, log.cursor
        self.now_ms = edges.now_ms

    def between(self, start_ms: float, end_ms: float, last_line_ms: float, outside: Collection[int]) -> dict[str, Any]:
        """The fields of a Record: what came in that time, but for edges on pins that the outside moves.

        The word of lines that were left out counts whenever it comes: it is about those before.
        """
        return {
            "lines": tuple(
                piece
                for line in self.lines
                if line.t_ms < last_line_ms or lines_left_out(line.text)[0]
                for piece in _console_lines(line, start_ms, min(line.t_ms, last_line_ms))
            ),
            "edges": tuple(
                Edge(e.t_ms - start_ms, e.pin, e.level)
                for e in self.edges
                if start_ms <= e.t_ms < end_ms and e.pin not in outside
            ),
            "pwm": tuple(
                PwmChange(c.t_ms - start_ms, c.pin, c.duty, c.frequency_hz, c.pulse_us)
                for c in self.pwm
                if start_ms <= c.t_ms < end_ms
            ),
            "leds": led_changes([c for c in self.leds if start_ms <= c.t_ms < end_ms], start_ms),
        }


def led_changes(rows: Iterable[LedRow], start_ms: float) -> tuple[LedChange, ...]:
    return tuple(LedChange(row.t_ms - start_ms, row.pin, colors_of(bytes.fromhex(row.data))) for row in rows)


def _console_lines(line: LogLine, start_ms: float, t_ms: float) -> list[LogLine]:
    """The board names the app also on lines that the firmware printed about it; those are not the app's own.

    What ends without a line feed stands on one line with what the shim says after it: that makes two.
    """
    text, said, end = line.text.partition(SHIM_SAYS)
    texts = [text, said + end] if said and text and line.app is not None else [line.text]
    return [LogLine(t_ms - start_ms, None if one.startswith(_FIRMWARE_SAYS) else line.app, one) for one in texts]
