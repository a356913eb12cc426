"""All drivers of one simulated chip behind one call: `perform(name, arguments)` in JSON. Runs no interpreter."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from pathlib import Path
from typing import Final

from microclaw.errors import MicroclawError
from microclaw.virtual.board import Board
from microclaw.virtual.py.buses import Buses
from microclaw.virtual.py.chip import Chip
from microclaw.virtual.py.drivers import EINVAL, Driver, DriverError, Hooks, Json
from microclaw.virtual.py.pins import Pins

MAX_EVENTS: Final = 256
MIN_ANSWER_BYTES: Final = 1024
MAX_ANSWER_BYTES: Final = 65_536
_FRAME_BYTES: Final = 32
_log = logging.getLogger(__name__)


class Peripherals:
    """One run of an interpreter's; the flash `folder` and `rtc` outlive it. `owners`: which program has which pin."""

    def __init__(self, board: Board, folder: Path, rtc: dict[str, int], hooks: Hooks) -> None:
        self.owners: dict[int, str] = {}
        self._hooks = hooks
        self._events: deque[list[Json]] = deque()
        self._room = MAX_ANSWER_BYTES
        self._lock = threading.Lock()
        self._pins = Pins(board, self.owners, self.post, hooks.wait_ms)
        self._chip = Chip(board, hooks, folder, rtc)
        self._drivers: dict[str, Driver] = {
            **self._pins.drivers(),
            **Buses(board).drivers(),
            **self._chip.drivers(),
            "events": self._take_events,
        }

    def add(self, name: str, driver: Driver) -> None:
        """Another call, of those around the chip."""
        self._drivers[name] = driver

    def perform(self, name: str, arguments: str, most: int | None = None) -> str:
        """[value, error, pending] in JSON, of at most so many bytes; never raises for what a program asks."""
        value: Json = None
        error: Json = None
        try:
            value = self._drivers[name](*json.loads(arguments))
        except DriverError as exc:
            error = exc.row
        except MicroclawError as exc:
            error = ["RuntimeError", exc.message]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as exc:
            error = ["TypeError", f"{name}: {exc}"[:200]]
        except OSError as exc:
            _log.warning("the simulated chip: %s", exc)
            error = ["OSError", exc.errno or 5]
        answer = json.dumps([value, error, 1 if self._events else 0])
        if most is not None and len(answer) > most:
            return json.dumps([None, ["OSError", EINVAL, "the answer is too long"], 0])
        return answer

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def close(self) -> None:
        self._pins.close()
        self._chip.close()

    def post(self, event: list[Json]) -> None:
        """Have the event handled between two bytecodes. From any thread; does not block."""
        with self._lock:
            if len(self._events) < MAX_EVENTS:
                self._events.append(event)
        self._hooks.wake()

    def make_room(self) -> int:
        """The length that the next answer may have, the first event that waits included."""
        with self._lock:
            self._room = MIN_ANSWER_BYTES + (_size(self._events[0]) if self._events else 0)
        return self._room

    def _take_events(self) -> Json:
        """The first events that wait, as many as there is room for in the answer."""
        events: list[Json] = []
        with self._lock:
            left = self._room - _FRAME_BYTES
            while self._events and _size(self._events[0]) <= left:
                left -= _size(self._events[0])
                events.append(self._events.popleft())
        for event in events:
            assert isinstance(event, list)
            self._pins.handed_over(event)
        return events


def _size(event: list[Json]) -> int:
    return len(json.dumps(event)) + 2
