"""A contact between a GPIO and a level, which bounces when it moves. Parts with buttons or switches have one."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench

_REBOUND: Final = (0.34, 0.68)
_CLEAN: Final[tuple[float, ...]] = ()
_LONG_BOUNCE: Final = (0.15, 0.35, 0.6, 1.0)
_SHORT_BOUNCE: Final = (0.3, 1.0)
"""The edges of a bounce after the first, as shares of its time; every second one goes back for a moment."""
# No two moves of a contact bounce alike. With an odd number of edges at each press, a program without a debounce would
# toggle rightly; so the first press falls twice, for so long each that a loop which looks every millisecond sees it.
_BOUNCES: Final = (_REBOUND, _CLEAN, _LONG_BOUNCE, _SHORT_BOUNCE)


class Contact:
    """A contact that connects the GPIO with `closed_level`.

    Open, it lets go of the GPIO, or leaves it at `open_level` if something else on the board holds it there. A new one
    is open.
    """

    def __init__(
        self,
        bench: Bench,
        gpio: int,
        *,
        closed_level: int,
        open_level: int | None,
        bounce_ms: float,
    ) -> None:
        self._bench = bench
        self._gpio = gpio
        self._closed_level = closed_level
        self._open_level = open_level
        self._bounce_ms = bounce_ms
        self._is_closed = False
        self._move_count = 0
        self._bounce_count = 0
        self._bench.drive(gpio, open_level)

    def put(self, *, is_closed: bool) -> None:
        """Close or open it at once, as it is at power on. Its bounces begin with the first again."""
        self._bounce_count = 0
        self._begin_move(is_closed=is_closed)

    def move(self, *, is_closed: bool) -> None:
        """Close or open it with a bounce. Nothing happens if it is so already."""
        if is_closed == self._is_closed:
            return
        self._begin_move(is_closed=is_closed)
        if not self._bounce_ms:
            return
        begin_ms = self._bench.now_ms()
        bounce = _BOUNCES[self._bounce_count % len(_BOUNCES)]
        self._bounce_count += 1
        for number, share in enumerate(bounce, 1):
            is_back = number % 2 == 1
            self._flip_at(begin_ms + share * self._bounce_ms, is_closed=is_closed != is_back)

    def _begin_move(self, *, is_closed: bool) -> None:
        self._move_count += 1
        self._is_closed = is_closed
        self._drive(is_closed=is_closed)

    def _flip_at(self, t_ms: float, *, is_closed: bool) -> None:
        """Set the contact at that time, unless it moves again before."""
        move_number = self._move_count

        def flip() -> None:
            if self._move_count == move_number:
                self._drive(is_closed=is_closed)

        self._bench.call_at(t_ms, flip)

    def _drive(self, *, is_closed: bool) -> None:
        if is_closed:
            self._bench.drive(self._gpio, self._closed_level)
        else:
            self._bench.drive(self._gpio, self._open_level)
