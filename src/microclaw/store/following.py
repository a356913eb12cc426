"""What a part does when another host changed rows that it keeps in memory: it reads them anew, soon and one at a time.

It knows no table and no log: who hears of changes calls `changed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

Refresh: TypeAlias = Callable[[], Awaitable[object]]
GATHER_S: Final = 0.05  # between two refreshes, at least: for the changes that come meanwhile
AGAIN_S: Final = 1.0  # after a refresh that failed

_log = logging.getLogger(__name__)


class Followers:
    """Those of one database; in the loop's thread alone."""

    def __init__(self) -> None:
        self._followers: list[_Follower] = []

    def add(self, tables: Iterable[str], refresh: Refresh) -> None:
        """Run `refresh` after each change of one of these tables: never twice at once, and again after a change that
        came meanwhile. One that fails is logged, and done again."""
        self._followers.append(_Follower(frozenset(tables), refresh))

    def changed(self, tables: frozenset[str]) -> None:
        for follower in self._followers:
            if follower.tables & tables:
                follower.news.set()
                follower.done.clear()

    async def until_done(self, tables: frozenset[str]) -> None:
        """Return when what changed in these tables so far is read."""
        for follower in self._followers:
            if follower.tables & tables:
                await follower.done.wait()

    async def close(self) -> None:
        """End what runs."""
        for follower in self._followers:
            await follower.close()


class _Follower:
    def __init__(self, tables: frozenset[str], refresh: Refresh) -> None:
        self.tables = tables
        self.news = asyncio.Event()
        self.done = asyncio.Event()
        self.done.set()
        self._refresh = refresh
        self._task = asyncio.create_task(self._run(), name=f"store: follow {', '.join(sorted(tables))}")

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.news.wait()
            self.news.clear()
            began_s = loop.time()
            try:
                await self._refresh()
                if not self.news.is_set():
                    self.done.set()
                pause_s = max(GATHER_S, loop.time() - began_s)  # where there is much to read, half of the time at most
            except Exception:  # what is in memory is old until the next time
                _log.exception("what another host changed in %s could not be read", ", ".join(sorted(self.tables)))
                self.news.set()
                pause_s = AGAIN_S
            await asyncio.sleep(pause_s)
