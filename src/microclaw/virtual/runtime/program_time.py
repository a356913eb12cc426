"""Board time as one program spends it: it reads the clock, sleeps, computes and calls the firmware."""

from __future__ import annotations

from typing import Final

from microclaw.virtual.clock import Clock, Task

LITTLE_MS: Final = 0.1
CALL_MS: Final = 0.01
"""An estimate for a call from WAMR's interpreter into the firmware and what it does there, on an ESP32-S3."""
FREE_CALLS: Final = 5_000


class ProgramTime:
    """No time passes before `begin`: a module is instantiated outside of its app's thread."""

    def __init__(self, clock: Clock, task: Task) -> None:
        self.task = task
        self._clock = clock
        self._has_begun = False
        self._free_calls: float = FREE_CALLS
        self._freed_ms = 0.0

    def begin(self) -> None:
        """Let time pass from now on; called in the app's thread."""
        self._has_begun = True

    def now_ms(self) -> float:
        """Read the time as a program does, which costs time on the virtual clock."""
        if self._has_begun:
            return self._clock.read_ms(self.task)
        return self._clock.now_ms()

    def sleep(self, ms: float) -> None:
        """Wait for `ms` of board time. Raises Interrupted if the app is ended."""
        if self._has_begun:
            self._clock.sleep(self.task, ms)

    def spend(self, ms: float) -> None:
        """Let the time of a transfer on a bus pass. Raises Interrupted if the app is ended."""
        if self._has_begun:
            self._clock.spend(self.task, ms)

    def compute(self, ms: float) -> None:
        """Spend the time that the program computed between two calls.

        A little takes no time, so that a blink keeps round times.
        """
        if self._has_begun and ms >= LITTLE_MS:
            self._clock.compute(ms)

    def count_call(self) -> None:
        """Spend the time of one call of the firmware.

        FREE_CALLS at once take no time, so that edges keep round times; more take some.
        """
        if not self._has_begun:
            return
        now_ms = self._clock.now_ms()
        self._free_calls = min(FREE_CALLS, self._free_calls + (now_ms - self._freed_ms) / CALL_MS) - 1
        self._freed_ms = now_ms
        if self._free_calls < 0:
            self._clock.work(self.task, CALL_MS)

    def note_act(self) -> None:
        """Make the next readings cheap: a program that acts does not only wait."""
        self.task.reads = 0
