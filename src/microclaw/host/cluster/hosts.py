"""The hosts that share a database: each has a lease, a row that it renews, and reads the leases of the others.

Times are by the database's clock, so no machine's clock matters. A host is gone when another host finds its lease over
and marks its row; that host must have reached the database all the while. So no host counts as gone after the database
was away, nor because another host was paused. Work that only one host may do it does only for `work_left_s`, by a clock
of its own that also runs while the machine sleeps.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

import msgspec

from microclaw.clock import now_ms
from microclaw.conversion import decode_json
from microclaw.errors import ConfigError, StoreError
from microclaw.host.cluster.results import HostFacts, HostRow
from microclaw.host.store.postgres import SharedDatabase

KEPT_MS: Final = 24 * 3_600_000
RENEW_S: Final = 0.75
# Without a renewal for this time the others count a host as gone.
TTL_S: Final = 3.0
# Without a renewal for this time a host stops the work that only one host may do.
WORK_S: Final = 2.6
_TTL_MS: Final = round(TTL_S * 1000)

_log = logging.getLogger(__name__)


def monotonic() -> float:
    """Return seconds that never go back, with the time that the machine slept if the system counts it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Hosts:
    """The hosts of the cluster, made by `Hosts.join`. A `microclaw.host.cluster.live_hosts.Fleet`.

    `lost`: this host's lease ended, and others may have taken its work. `term` grows each time that happens.
    `listeners` are called when a host comes or is gone, also this one.
    """

    def __init__(self, database: SharedDatabase, facts: Callable[[], HostFacts], host_id: str, home: str) -> None:
        self.host_id = host_id
        self.lost = False
        self.term = 0
        self.listeners: list[Callable[[], object]] = []
        self._database = database
        self._facts = facts
        self._home = home
        self._rows: dict[str, HostRow] = {}
        self._renewed_at = monotonic()
        self._steady_since = self._renewed_at
        # The database's clock minus this machine's monotonic clock.
        self._ahead_s = 0.0

    @classmethod
    @asynccontextmanager
    async def join(
        cls, database: SharedDatabase, facts: Callable[[], HostFacts], *, host_id: str, home: str
    ) -> AsyncIterator[Hosts]:
        """Join the cluster as a host. `host_id` differs at each start, `home` for each folder and machine.

        Raises ConfigError if another live host has this name, StoreUnreachable if the database does not answer.
        """
        hosts = cls(database, facts, host_id, home)
        await hosts._enter()
        renew_task = asyncio.create_task(hosts._keep(), name="cluster: renew the lease")
        try:
            yield hosts
        finally:
            renew_task.cancel()
            await asyncio.gather(renew_task, return_exceptions=True)
            await hosts._leave()

    @property
    def live(self) -> Mapping[str, HostFacts]:
        """The live hosts by id, as last seen; with this one, unless it is lost."""
        return MappingProxyType({row.host_id: row.facts for row in self._rows.values() if self.is_live(row.host_id)})

    @property
    def seen_s(self) -> float:
        """The age of what this host knows of the others."""
        return monotonic() - self._renewed_at

    @property
    def stale(self) -> bool:
        return self.seen_s > WORK_S

    @property
    def work_left_s(self) -> float:
        """The time that this host may still do work that only one host may do."""
        if self.lost:
            return 0.0
        return self._renewed_at + WORK_S - monotonic()

    def now_ms(self) -> int:
        """Return the database's time of day, the same for all hosts."""
        return round((self._ahead_s + monotonic()) * 1000)

    def is_live(self, host_id: str) -> bool:
        """Return False only for a host that is surely gone, and for this host while it is lost."""
        if host_id == self.host_id:
            return not self.lost
        row = self._rows.get(host_id)
        return row is not None and row.ended is None

    def listen(self, changed: Callable[[], object]) -> None:
        """Call `changed` when a host comes or is gone, as live_hosts.Fleet.listen does."""
        self.listeners.append(changed)

    def find_id(self, name: str) -> str | None:
        """Return the id of the live host of that name; None if it is away."""
        for host_id, facts in self.live.items():
            if facts.name == name:
                return host_id
        return None

    def current(self) -> list[HostRow]:
        """Return the hosts that have not ended, as far as is known, with this one, by id."""
        rows = [row for row in self._rows.values() if row.ended is None]
        return sorted(rows, key=lambda row: row.host_id)

    def ended(self) -> list[HostRow]:
        """Return the hosts that ended within a day and are not back, newest first."""
        names = {row.facts.name for row in self.current()}
        rows = []
        for row in self._rows.values():
            is_back = row.facts.name in names
            if row.ended is not None and not is_back:
                rows.append(row)
        return sorted(rows, key=lambda row: row.seen_s)

    def others(self) -> list[str]:
        """Return the ids of the other live hosts."""
        return [host_id for host_id in self.live if host_id != self.host_id]

    async def _enter(self) -> None:
        give_up = monotonic() + 3 * TTL_S
        facts = self._facts()
        ends = "UPDATE hosts SET ended = 'gone' WHERE ended IS NULL AND "
        while True:
            began = monotonic()
            # This process has the lock of its home, so another host of this home is dead.
            await self._database.execute_aside(ends + "home = ? AND host_id != ?", self._home, self.host_id)
            entered = await self._database.execute_aside(
                "INSERT INTO hosts (host_id, name, home, facts, renewed_ms, until_ms) "
                "VALUES (?, ?, ?, ?, {now_ms}, {now_ms} + ?) ON CONFLICT DO NOTHING RETURNING host_id",
                self.host_id, facts.name, self._home, self._encode(facts), _TTL_MS,
            )  # fmt: skip
            if entered:
                break
            if began > give_up:
                raise ConfigError(
                    f"another host of this database is called {facts.name}, and runs",
                    next_step="give this one a name of its own: microclaw config set cluster.host NAME, "
                    "or MICROCLAW_CLUSTER__HOST=NAME",
                )
            await asyncio.sleep(RENEW_S)
            # After a long pause of this host the other one may have been paused, too, and gets its time again.
            if monotonic() - began > WORK_S:
                give_up = monotonic() + 3 * TTL_S
            if monotonic() > give_up - 2 * TTL_S:
                await self._database.execute_aside(ends + "name = ? AND until_ms < {now_ms}", facts.name)
        await self._renew()

    async def _leave(self) -> None:
        """End this host's lease, so that the others need not wait for its end."""
        try:
            query = "UPDATE hosts SET ended = 'in order' WHERE host_id = ? AND ended IS NULL"
            await self._database.execute_aside(query, self.host_id)
        except StoreError as exc:
            _log.info("the others are not notified that this host leaves: %s", exc.message)

    async def _keep(self) -> None:
        is_logged = False
        while True:
            began = monotonic()
            try:
                await self._renew()
                is_logged = False
            except StoreError as exc:
                if not is_logged:
                    _log.warning("this host's lease is not renewed: %s", exc.message)
                is_logged = True
                if monotonic() - self._renewed_at > TTL_S:
                    self._lose()
            # The lease must be renewed again after any error.
            except Exception:
                _log.exception("this host's lease could not be renewed")
            await asyncio.sleep(max(0.05, began + RENEW_S - monotonic()))

    async def _renew(self) -> None:
        began = monotonic()
        facts = self._encode(self._facts())
        renewed = await self._database.execute_aside(
            "UPDATE hosts SET facts = ?, renewed_ms = {now_ms}, until_ms = {now_ms} + ? "
            "WHERE host_id = ? AND ended IS NULL RETURNING {now_ms}",
            facts, _TTL_MS, self.host_id,
        )  # fmt: skip
        late_s = monotonic() - self._renewed_at
        if not renewed or late_s > TTL_S:
            self._lose()
        # Another host found the lease over. This host has lost its work, and may join again.
        if not renewed:
            await self._database.execute_aside(
                "UPDATE hosts SET ended = NULL, until_ms = {now_ms} + ? WHERE host_id = ? AND NOT EXISTS "
                "(SELECT 1 FROM hosts AS one WHERE one.name = hosts.name AND one.ended IS NULL)",
                _TTL_MS, self.host_id,
            )  # fmt: skip
            return
        if late_s > WORK_S:
            self.term += 1
            self._steady_since = began
        self._renewed_at = began
        self._ahead_s = renewed[0][0] / 1000 - monotonic()
        if monotonic() - self._steady_since > TTL_S:
            await self._bury()
        await self._look()

    async def _bury(self) -> None:
        """Mark the hosts whose lease is over, and delete the rows of hosts that ended long ago."""
        await self._database.execute_aside(
            "UPDATE hosts SET ended = 'gone' WHERE ended IS NULL AND until_ms < {now_ms} "
            "AND host_id != ?", self.host_id,
        )  # fmt: skip
        await self._database.execute_aside(
            "WITH gone AS (DELETE FROM hosts WHERE ended IS NOT NULL AND renewed_ms < {now_ms} - ? RETURNING host_id) "
            "DELETE FROM last_commits WHERE host IN (SELECT host_id FROM gone)",
            KEPT_MS,
        )

    async def _look(self) -> None:
        before = set(self.live)
        rows = await self._database.execute_aside(
            "SELECT host_id, facts, {now_ms} - renewed_ms, renewed_ms, ended FROM hosts"
        )
        hosts = {}
        for host_id, text, seen_ms, renewed_ms, ended in rows:
            try:
                facts = decode_json(text, HostFacts)
            except (msgspec.DecodeError, RecursionError) as exc:
                _log.debug("the facts of %s cannot be read: %s", host_id, exc)
                facts = HostFacts(host_id, "?", 0, 0, None, None, None, 0, renewed_ms)
            clock_ahead_s = (facts.wall_ms - renewed_ms) / 1000
            hosts[host_id] = HostRow(host_id, facts, seen_ms / 1000, clock_ahead_s, ended)
        self._rows = hosts
        if self.lost:
            self.lost = False
            _log.warning("this host is one of the cluster again")
        self._notify(before)

    def _lose(self) -> None:
        if not self.lost:
            before = set(self.live)
            self.lost = True
            self.term += 1
            _log.warning("this host could not renew its lease: the others count it as gone")
            self._notify(before)

    def _notify(self, before: set[str]) -> None:
        """Call the listeners if the live hosts differ from those `before`."""
        if set(self.live) == before:
            return
        for changed in self.listeners:
            try:
                changed()
            # The lease must be renewed again after any error of a listener.
            except Exception:
                _log.exception("a change of the cluster's hosts was not followed")

    def _encode(self, facts: HostFacts) -> str:
        return msgspec.json.encode(msgspec.structs.replace(facts, wall_ms=now_ms())).decode()
