"""The live hosts of a cluster, and the recovery of work that another host left. A single host is its own fleet.

Work of a host (a turn, a run of a schedule, a change in progress) has the host's id in the store: `host`, NULL for a
single host. Another host recovers it only if that host is not alive, in one write that changes the id, so that only
one host gets it.
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
    """The hosts that share a store (microclaw.host.cluster.hosts), or `ALONE` for a single host."""

    @property
    def host_id(self) -> str | None:
        """The id of this host; None for a single host."""

    def is_live(self, host_id: str) -> bool:
        """Return False only if a host is certainly gone: True for this host, and if this host does not know."""

    def listen(self, changed: Callable[[], object]) -> object:
        """Call `changed` in the loop's thread when a host joins or its lease ends."""


class Alone:
    """The fleet of a single host."""

    host_id: None = None

    def is_live(self, host_id: str) -> bool:  # noqa: ARG002 - as Fleet has it
        """Return False: other ids are from a time when a cluster used the store."""
        return False

    def listen(self, changed: Callable[[], object]) -> None:
        """Do nothing: no host joins or leaves."""


ALONE: Final = Alone()


def dead_among(fleet: Fleet, hosts: Iterable[str | None], *, at_start: bool = False) -> tuple[str | None, ...]:
    """Return the hosts whose work is to be recovered.

    `at_start`: this host has not begun to work, so work with its own id, or without an id, is from an earlier run.
    """
    dead = []
    for host in hosts:
        if host is None or host == fleet.host_id:
            is_dead = at_start
        else:
            is_dead = not fleet.is_live(host)
        if is_dead:
            dead.append(host)
    return tuple(dead)


class LeftWork:
    """The recovery of work that other hosts left. `run` is for a supervised task; a single host needs none."""

    def __init__(
        self, fleet: Fleet, parts: Mapping[str, Callable[[], Awaitable[object]]], *, every_s: float = LOOK_S
    ) -> None:
        """Each of `parts` recovers the work of dead hosts that it finds in the store."""
        self._parts = parts
        self._every_s = every_s
        self._news = asyncio.Event()
        fleet.listen(self._news.set)

    async def run(self) -> None:
        """Recover work whenever a host leaves, and every `every_s` for hosts that died before this one joined.

        Runs until it is cancelled. If parts fail, the last failure is raised after all parts ran: run it again then.
        """
        while True:
            self._news.clear()
            failure: MicroclawError | None = None
            for name, take_up in self._parts.items():
                try:
                    await take_up()
                except MicroclawError as exc:
                    _log.warning("%s: the work of a dead host is not recovered yet: %s", name, exc.message)
                    failure = exc
            if failure is not None:
                raise failure
            try:
                async with asyncio.timeout(self._every_s):
                    await self._news.wait()
            except TimeoutError:
                continue
