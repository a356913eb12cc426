"""Duties: tasks that one host does for all (a bot's messages, rollouts), while its lease is valid.

A duty is a row: its holder, and a fence that grows each time a host takes it. It has no lease of its own: it belongs to
its holder while that host's lease is valid (hosts.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from microclaw.errors import StoreError
from microclaw.host.cluster.hosts import Hosts
from microclaw.host.cluster.results import ClusterDuty
from microclaw.host.store.postgres import SharedDatabase
from microclaw.host.store.rows import exists, scalar, select

POLL_S: Final = 1.0
_TAKE: Final = """INSERT INTO duties (name, holder, fence)
    SELECT ?1, host_id, 1 FROM hosts WHERE host_id = ?2 AND ended IS NULL
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = duties.fence + 1
    WHERE duties.holder IS NULL OR duties.holder = excluded.holder
        OR NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.host_id = duties.holder AND hosts.ended IS NULL)
    RETURNING fence"""

_log = logging.getLogger(__name__)


class Duties:
    """The duties of this host. It has none after a newer host has upgraded the database."""

    def __init__(self, database: SharedDatabase, hosts: Hosts) -> None:
        self._database = database
        self._hosts = hosts
        self.here: set[str] = set()
        """The duties that this host has."""

    async def held(self) -> tuple[ClusterDuty, ...]:
        """Return every duty."""
        return await self._database.read(lambda sql: select(sql, ClusterDuty, "duties ORDER BY name"))

    async def hold(self, name: str, work: Callable[[int], Awaitable[object]]) -> None:
        """Run `work(fence)` while this host has the duty; return when the work ends by itself.

        The work is cancelled when the duty is lost, before another host may have it, and begins again when it is won
        back. Changes that it makes outside should carry the fence. An error of the work frees the duty and is raised.
        """
        while True:
            term = self._hosts.term
            try:
                fence = await self._take(name)
            except StoreError as exc:
                _log.debug("the duty %s cannot be asked for: %s", name, exc.message)
                fence = None
            if fence is None:
                await asyncio.sleep(POLL_S)
            elif await self._work(name, fence, term, work):
                return

    async def _take(self, name: str) -> int | None:
        if self._hosts.work_left_s <= 0 or self._database.is_too_old:
            return None
        values = (name, self._hosts.host_id)
        fence: int | None = await self._database.write(lambda sql: scalar(sql, _TAKE, values))
        return fence

    async def _work(self, name: str, fence: int, term: int, work: Callable[[int], Awaitable[object]]) -> bool:
        """Do the work; return True if it ended by itself, False if the duty was lost."""
        _log.info("this host has the duty %s now, fence %d", name, fence)
        self.here.add(name)
        work_task = asyncio.ensure_future(work(fence))
        watch_task = asyncio.create_task(self._until_lost(name, fence, term), name=f"cluster: watch the duty {name}")
        try:
            await asyncio.wait((work_task, watch_task), return_when=asyncio.FIRST_COMPLETED)
            if work_task.done():
                await work_task
                return True
            _log.warning("this host has the duty %s no more", name)
            return False
        finally:
            self.here.discard(name)
            work_task.cancel()
            watch_task.cancel()
            _, result = await asyncio.gather(watch_task, work_task, return_exceptions=True)
            if isinstance(result, Exception):
                _log.info("the work of the duty %s ended: %s", name, result)
            await self._release(name, fence)

    async def _until_lost(self, name: str, fence: int, term: int) -> None:
        key = {"name": name, "holder": self._hosts.host_id, "fence": fence}
        while (left_s := self._hosts.work_left_s) > 0 and self._hosts.term == term and not self._database.is_too_old:
            # While the database is away, the lease limits how long the duty is still this host's.
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(left_s):
                    if not await self._database.read(lambda sql: exists(sql, "duties", **key)):
                        return
            await asyncio.sleep(max(0.0, min(POLL_S, self._hosts.work_left_s)))

    async def _release(self, name: str, fence: int) -> None:
        """Free the duty, so that others need not wait until this host is gone.

        Does nothing if another host has it by now, or if the database is away.
        """
        query = "UPDATE duties SET holder = NULL WHERE name = ? AND holder = ? AND fence = ?"
        try:
            # Unlike a write, this also works after a newer host upgraded the database.
            await self._database.execute_aside(query, name, self._hosts.host_id, fence)
        except StoreError as exc:
            _log.debug("the duty %s was not freed: %s", name, exc.message)
