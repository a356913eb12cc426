"""The board as one of its parts sees it: its pins, its time, and what the part shows. Makes no models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from microclaw.virtual.board import Board  # it makes its parts

MAX_ALARMS_A_MS: Final = 10_000
"""Alarms of one part in a millisecond of board time. The fastest part here has fewer than ten."""
MAX_WARNINGS: Final = 8
"""Warnings of one part."""


class PartBench:
    """The board as one part sees it. After `detach` the part's alarms do nothing."""

    def __init__(self, board: Board, guard: Callable[[str, Callable[[], None]], None], part_id: str) -> None:
        self._board = board
        self._guard = guard
        self._part_id = part_id
        self._is_attached = True
        self._driven: set[int] = set()
        self._let_go: set[int] = set()
        self._warnings: set[str] = set()
        self._alarm_window_ms = 0.0
        self._alarm_count = 0

    def now_ms(self) -> float:
        return self._board.parts.clock.now_ms()

    def call_at(self, t_ms: float, fn: Callable[[], None]) -> None:
        """Call `fn` under the board's lock at that time, unless the power is cut or the part is removed before."""

        def act() -> None:
            if self._is_attached:
                self._guard(self._part_id, lambda: self._ring(fn))

        self._board.parts.clock.call_at(t_ms, act)

    def level(self, gpio: int) -> int:
        return self._board.level(gpio)

    def _ring(self, fn: Callable[[], None]) -> None:
        """Call `fn`. Raises RuntimeError if the part's alarms come so often that the board's time stands still."""
        now_ms = self.now_ms()
        if now_ms >= self._alarm_window_ms + 1:
            self._alarm_window_ms = now_ms
            self._alarm_count = 0
        self._alarm_count += 1
        if self._alarm_count > MAX_ALARMS_A_MS:
            raise RuntimeError(f"more than {MAX_ALARMS_A_MS:,} alarms in a millisecond")
        fn()

    def drive(self, gpio: int, level: int | None) -> None:
        if level is None:
            self._let_go.add(gpio)
        else:
            self._driven.add(gpio)
        self._board.set_input(gpio, level)

    def lets_go(self, gpio: int) -> bool:
        """Return True if the part does not drive a GPIO of its own at all times, as an open contact does not."""
        return gpio in self._let_go or gpio not in self._driven

    def pull(self, gpio: int, level: int | None) -> None:
        self._board.set_resistor(gpio, level)

    def join(self, gpio: int, other: int | None) -> None:
        self._board.join(gpio, other)

    def set_volts(self, gpio: int, volts: float) -> None:
        self._board.adc.set(gpio, volts)

    def pwm(self, gpio: int) -> tuple[int, float]:
        return self._board.pwm_signal(gpio)

    def warn(self, text: str) -> None:
        if text not in self._warnings and len(self._warnings) < MAX_WARNINGS:
            self._warnings.add(text)
            self._board.parts.warn(self._part_id, text)

    def show(self, name: str, value: float) -> None:
        self._board.parts.show(self._part_id, name, value)

    def screen_changed(self) -> None:
        self._board.parts.screen_changed(self._part_id)

    def detach(self) -> None:
        self._is_attached = False
