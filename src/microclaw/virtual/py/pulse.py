"""machine.time_pulse_us: waits for the edges of a pin and takes their own times. Runs no interpreter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from microclaw.virtual.board import Board
from microclaw.wire.board_replies import EdgeRow

NO_PULSE: Final = -2
NO_END: Final = -1
"""What extmod/machine_pulse.c returns if the pulse does not begin, and if it does not end, within the timeout."""


class PulseTimer:
    """Measures one pulse. The program's `idle_until` returns at its time, and earlier if `wake` is called."""

    def __init__(self, board: Board, pin: int, wake: Callable[[], None], idle_until: Callable[[float], None]) -> None:
        self._board = board
        self._pin = pin
        self._wake = wake
        self._idle_until = idle_until
        self._edges: deque[EdgeRow] = deque()

    def measure_us(self, level: int, timeout_us: int) -> int:
        """Return the length of the next pulse of that level, or of the one that is there; NO_PULSE or NO_END."""
        board = self._board
        timeout_ms = timeout_us / 1000
        board.watch_edges(self._note)
        try:
            begin_ms: float | None = board.clock.now_ms()
            if board.read_pin(self._pin) != level:
                begin_ms = self._wait_for(level, timeout_ms)
            if begin_ms is None:
                return NO_PULSE
            end_ms = self._wait_for(1 - level, timeout_ms)
            if end_ms is None:
                return NO_END
            return max(1, round((end_ms - begin_ms) * 1000))
        finally:
            board.ignore_edges(self._note)

    def _note(self, edge: EdgeRow) -> None:
        """Under the board's lock."""
        if edge.pin == self._pin:
            self._edges.append(edge)
            self._wake()

    def _wait_for(self, level: int, timeout_ms: float) -> float | None:
        """Return the time of the next edge to that level; None if there is none within the timeout."""
        clock = self._board.clock
        until_ms = clock.now_ms() + timeout_ms
        while True:
            while self._edges:
                edge = self._edges.popleft()
                if edge.level == level:
                    return edge.t_ms
            if clock.now_ms() >= until_ms:
                return None
            self._idle_until(until_ms)
