"""The living hosts of a cluster, and the work that one of the others left. A host that runs alone is its own fleet.

What belongs to a host for a time (a turn, a run of a schedule, a change that is being made) carries its id in the
store: `host`, NULL for a host that runs alone. It is taken up by another only when that host is not alive, in one write
that changes the id, so that one host gets it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

from microclaw.errors import MicroclawError

LOOK_S: Final = 10.0

_log = logging.getLogger(__name__)


class Fleet(Protocol):
    """The hosts that share a store (microclaw.cluster.hosts), or `ALONE`."""

    @property
    def host_id(self) -> str | None:
        """This host's; None for one that runs alone."""

    def is_live(self, host_id: str) -> bool:
        """False only for a host that is surely gone: true while this host does not know, and for this host itself."""

    def listen(self, changed: Callable[[], object]) -> object:
        """Call `changed` when a host comes, or its lease ends, in the loop's thread."""


class Alone:
    """The fleet of a host that shares its store with nobody."""

    host_id: None = None

    def is_live(self, host_id: str) -> bool:  # noqa: ARG002 - as Fleet has it
        """Other ids are of a time when the store was a cluster's."""
        return False

    def listen(self, changed: Callable[[], object]) -> None:
        """Nobody comes or leaves."""


ALONE: Final = Alone()


def dead_among(fleet: Fleet, hosts: Iterable[str | None], *, at_start: bool = False) -> tuple[str | None, ...]:
    """Those whose work is to be taken up. `at_start`: before this host works, what is in its name is of before, and
    what is in nobody's of a store that was a single host's.
    """
    return tuple(
        host for host in hosts if (at_start if host is None or host == fleet.host_id else not fleet.is_live(host))
    )


class LeftWork:
    """`run` is for a supervised task; a host that runs alone needs none."""

    def __init__(
        self, fleet: Fleet, parts: Mapping[str, Callable[[], Awaitable[object]]], *, every_s: float = LOOK_S
    ) -> None:
        """Each part takes up what hosts left that are not alive, as it finds it in the store."""
        self._parts = parts
        self._every_s = every_s
        self._news = asyncio.Event()
        fleet.listen(self._news.set)

    async def run(self) -> None:
        """Look when a host leaves, and now and then: a host that died before this one came leaves without a word.

        Until it is cancelled. Raises the last part's failure, after the others had their turn: run it again then.
        """
        while True:
            self._news.clear()
            failure: MicroclawError | None = None
            for name, take_up in self._parts.items():
                try:
                    await take_up()
                except MicroclawError as exc:
                    _log.warning("%s: what a host left is not taken up yet: %s", name, exc.message)
                    failure = exc
            if failure is not None:
                raise failure
            try:
                async with asyncio.timeout(self._every_s):
                    await self._news.wait()
            except TimeoutError:
                continue
