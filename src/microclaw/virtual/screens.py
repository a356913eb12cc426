"""The pictures that the displays on a virtual board show. Knows no controller; models of parts draw.

A program draws in many transfers, and a picture between two of them is torn. So a picture is taken when its display
was left alone for SETTLED_MS after the last change; of one that is never left alone, every MAX_UNSETTLED_MS. Its time
is that of the last change. All but `_look` is called under the board's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from microclaw.hardware.screens.screen import Screen, pack_data
from microclaw.virtual.clock import Clock
from microclaw.wire.board_replies import ScreenRow
from microclaw.wire.fair_ring import FairPage, FairRing

SETTLED_MS: Final = 2.0
"""Within a refresh there is no such pause between the end of a transfer and the begin of the next one."""
MAX_UNSETTLED_MS: Final = 100.0
RING_BYTES: Final = 4_194_304
_ROW_BYTES: Final = 100


class _Refresh:
    """The changes of a display since its last picture. `busy_until_ms`: until then a transfer to it is on the way."""

    def __init__(self, take: Callable[[], Screen | None], now_ms: float) -> None:
        self.take = take
        self.first_ms = now_ms
        self.last_ms = now_ms
        self.busy_until_ms = now_ms

    @property
    def due_ms(self) -> float:
        """The time at which its picture is to be taken."""
        settled_ms = max(self.last_ms, self.busy_until_ms) + SETTLED_MS
        return min(settled_ms, self.first_ms + MAX_UNSETTLED_MS)


class BoardScreens:
    """The pictures of each display, by the part's id; of two equal ones in a row the first is kept."""

    def __init__(self, clock: Clock, lock: threading.RLock) -> None:
        self._clock = clock
        self._lock = lock
        self._refreshes: dict[str, _Refresh] = {}
        self._last: dict[str, Screen] = {}
        self._first: dict[str, Screen] = {}  # what a display shows of which no picture was taken yet
        self._rows: FairRing[ScreenRow] = FairRing(RING_BYTES, lambda row: row.part, _size)

    def changed(self, part_id: str, take: Callable[[], Screen | None]) -> None:
        """Note that a display shows something else now. `take` returns what it shows, None if its model failed."""
        now_ms = self._clock.now_ms()
        refresh = self._refreshes.get(part_id)
        if refresh is None:
            refresh = _Refresh(take, now_ms)
            self._refreshes[part_id] = refresh
            self._look_at(part_id, refresh)
        refresh.last_ms = now_ms

    def expect_transfer(self, part_id: str, until_ms: float) -> None:
        """Note that a transfer to a display is on the way until that time."""
        refresh = self._refreshes.get(part_id)
        if refresh is not None:
            refresh.busy_until_ms = until_ms

    def forget(self, part_id: str) -> None:
        """Leave out what is not settled: the part is gone, or the power."""
        self._refreshes.pop(part_id, None)
        self._last.pop(part_id, None)
        self._first.pop(part_id, None)

    def present(self, part_id: str, take: Callable[[], Screen | None]) -> Screen | None:
        """Return the last picture of a display, or what it showed when this was first asked; None if it failed."""
        screen = self._last.get(part_id) or self._first.get(part_id)
        if screen is None:
            screen = take()
            if screen is not None:
                self._first[part_id] = screen
        return screen

    def take_all(self) -> None:
        """Take the pictures that are due later now: the clock is about to begin again."""
        refreshes = list(self._refreshes.items())
        self._refreshes.clear()
        for part_id, refresh in refreshes:
            self._keep(part_id, refresh)

    def since(self, number: int, limit: int | None = None) -> FairPage[ScreenRow]:
        """Return the pictures from `number` on."""
        return self._rows.since(number, limit)

    def _look_at(self, part_id: str, refresh: _Refresh) -> None:
        """Look at the display when its picture is due."""
        # A timer: it changes nothing that a program can see.
        self._clock.call_at(refresh.due_ms, lambda: self._look(part_id, refresh), is_timer=True)

    def _look(self, part_id: str, refresh: _Refresh) -> None:
        with self._lock:
            if self._refreshes.get(part_id) is not refresh:
                return
            if self._clock.now_ms() < refresh.due_ms:
                self._look_at(part_id, refresh)
                return
            del self._refreshes[part_id]
            self._keep(part_id, refresh)

    def _keep(self, part_id: str, refresh: _Refresh) -> None:
        """Keep what the display shows, if it is another picture than its last one."""
        screen = refresh.take()
        if screen is None or screen == self._last.get(part_id):
            return
        self._last[part_id] = screen
        data = pack_data(screen)
        row = ScreenRow(refresh.last_ms, part_id, screen.kind, screen.width, screen.height, data, screen.mark)
        self._rows.append(row)


def _size(row: ScreenRow) -> int:
    return _ROW_BYTES + len(row.data)
