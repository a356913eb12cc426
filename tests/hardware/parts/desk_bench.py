"""The bench of a model that a test tries alone, without a board."""

from __future__ import annotations

from collections.abc import Callable


class DeskBench:
    """A bench whose time a test sets, or lets go on to the next alarm."""

    def __init__(self) -> None:
        self.t_ms = 0.0
        self.levels: dict[int, int | None] = {}
        self.shown: list[tuple[str, float]] = []
        self.alarms: list[tuple[float, Callable[[], None]]] = []
        self.change_count = 0
        self.warnings: list[str] = []

    def now_ms(self) -> float:
        return self.t_ms

    def call_at(self, t_ms: float, fn: Callable[[], None]) -> None:
        self.alarms.append((t_ms, fn))

    def pass_alarm(self) -> None:
        """Let the time go on to the alarm that was asked for first."""
        self.t_ms, fn = self.alarms.pop(0)
        fn()

    def level(self, gpio: int) -> int:
        raise NotImplementedError

    def drive(self, gpio: int, level: int | None) -> None:
        self.levels[gpio] = level

    def pull(self, gpio: int, level: int | None) -> None:
        raise NotImplementedError

    def join(self, gpio: int, other: int | None) -> None:
        raise NotImplementedError

    def set_volts(self, gpio: int, volts: float) -> None:
        raise NotImplementedError

    def pwm(self, gpio: int) -> tuple[int, float]:
        raise NotImplementedError

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def show(self, name: str, value: float) -> None:
        self.shown.append((name, value))

    def screen_changed(self) -> None:
        """Count the changes of a display's screen."""
        self.change_count += 1
