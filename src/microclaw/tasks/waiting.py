"""The queue of tasks that wait: the next turn, and the most of one asker. It runs and stores nothing.

One asker has at most half of the places and all devices together three quarters, so that somebody else can always
come in. Of those who wait, whoever has the fewest running goes first, then who was served longest ago; each one's own
tasks keep their order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from microclaw.auth.people import person_behind
from microclaw.errors import Overloaded
from microclaw.tasks.live import LiveTask

DEVICE: Final = "device:"  # how the id of an asker begins that is a device
MAX_SERVED: Final = 1_000  # askers whose last turn is known
_STEP: Final = "wait for some to end, or cancel one: microclaw task list"


class WaitingTasks:
    def __init__(self, places: int) -> None:
        self._places = places
        self._tasks: deque[LiveTask] = deque()
        self._taking: Counter[str] = Counter()  # orders that are being written to the disk: they have their place
        self._served: dict[str, None] = {}  # who was served longest ago is first

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[LiveTask]:
        return iter(tuple(self._tasks))

    def check_room(self, person_id: str) -> None:
        """Raises Overloaded when all places, or all that this asker may have, are taken."""
        asker = person_behind(person_id)
        taken = self._taking + Counter(_asker(live) for live in self._tasks)
        if taken.total() >= self._places:
            raise Overloaded(f"{taken.total()} tasks wait already, {self._places} is the limit", next_step=_STEP)
        own = (self._places + 1) // 2
        if taken[asker] >= own:
            text = (
                f"{taken[asker]} tasks of the same asker wait already; one has at most {own} of {self._places} places"
            )
            raise Overloaded(text, next_step=_STEP)
        of_devices = sum(count for one, count in taken.items() if one.startswith(DEVICE))
        share = (3 * self._places + 3) // 4
        if asker.startswith(DEVICE) and of_devices >= share:
            text = f"{of_devices} tasks of devices wait already; they have at most {share} of {self._places} places"
            raise Overloaded(text, next_step=_STEP)

    @contextmanager
    def taking(self, person_id: str) -> Iterator[None]:
        """Inside, a place is held for what is not added yet."""
        asker = person_behind(person_id)
        self._taking[asker] += 1
        try:
            yield
        finally:
            self._taking[asker] -= 1

    def add(self, live: LiveTask) -> None:
        self._tasks.append(live)

    def remove(self, live: LiveTask) -> None:
        self._tasks.remove(live)

    def next(self, running: Iterable[LiveTask]) -> LiveTask:
        """Take out the one whose turn it is. IndexError when none waits."""
        busy = Counter(map(_asker, running))
        first: dict[str, LiveTask] = {}
        for live in self._tasks:
            first.setdefault(_asker(live), live)
        if not first:
            raise IndexError("no task waits")
        turns = {asker: turn for turn, asker in enumerate(self._served)}
        asker = min(first, key=lambda one: (busy[one], turns.get(one, -1)))
        self._served.pop(asker, None)
        self._served[asker] = None
        while len(self._served) > MAX_SERVED:
            del self._served[next(iter(self._served))]
        self._tasks.remove(first[asker])
        return first[asker]


def _asker(live: LiveTask) -> str:
    return person_behind(live.row.person_id)
