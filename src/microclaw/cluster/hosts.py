"""The hosts that share a database: each has a lease, a row that it renews, and sees the others'.

Times are the database's clock, so no machine's counts. A host is gone when another one, which has itself seen the
database all the while, finds its lease over and says so in its row: nobody is held for dead after the database was
away, or by a host that was paused. What is one host's alone it does only for `work_left_s`, by a clock of its own that
runs while the machine sleeps.
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
from microclaw.cluster.operations import HostFacts, HostRow
from microclaw.errors import ConfigError, StoreError
from microclaw.store.postgres import SharedDatabase

KEPT_MS: Final = 24 * 3_600_000
RENEW_S: Final = 0.75
TTL_S: Final = 3.0  # without a renewal, and others hold a host for gone
WORK_S: Final = 2.6  # without one, and it stops what is its own alone
_TTL_MS: Final = round(TTL_S * 1000)

_log = logging.getLogger(__name__)


def monotonic() -> float:
    """Seconds, those that the machine slept too where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Hosts:
    """Made by `Hosts.joined`. A `microclaw.live_hosts.Fleet`.

    `lost`: this host's lease ended, and others may have what was its own. `term` grows with each time. `listeners` are
    called when a host comes or is gone, this one too.
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
        self._renewed_at = self._steady_since = monotonic()
        self._ahead_s = 0.0  # the database's clock, less this machine's monotonic one

    @classmethod
    @asynccontextmanager
    async def joined(
        cls, database: SharedDatabase, facts: Callable[[], HostFacts], *, host_id: str, home: str
    ) -> AsyncIterator[Hosts]:
        """Be one of the hosts. `host_id` is another at each start; `home` is the same for one folder of one machine.

        ConfigError when another live host has this name; StoreUnreachable when the database does not answer.
        """
        hosts = cls(database, facts, host_id, home)
        await hosts._enter()
        renewing = asyncio.create_task(hosts._keep(), name="cluster: renew the lease")
        try:
            yield hosts
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await hosts._leave()

    @property
    def live(self) -> Mapping[str, HostFacts]:
        """The hosts that are there, by id, as last seen; this one, unless it is lost."""
        return MappingProxyType({one.host_id: one.facts for one in self._rows.values() if self.is_live(one.host_id)})

    @property
    def seen_s(self) -> float:
        """The age of what is known of the others."""
        return monotonic() - self._renewed_at

    @property
    def stale(self) -> bool:
        return self.seen_s > WORK_S

    @property
    def work_left_s(self) -> float:
        """The time that this host may still do what is its own alone."""
        if self.lost:
            return 0.0
        return self._renewed_at + WORK_S - monotonic()

    def now_ms(self) -> int:
        """The database's time of day, the same for all hosts."""
        return round((self._ahead_s + monotonic()) * 1000)

    def is_live(self, host_id: str) -> bool:
        """False only for a host that is surely gone, and for this one while it is lost."""
        if host_id == self.host_id:
            return not self.lost
        row = self._rows.get(host_id)
        return row is not None and row.ended is None

    def listen(self, changed: Callable[[], object]) -> None:
        """As live_hosts.Fleet.listen."""
        self.listeners.append(changed)

    def of_name(self, name: str) -> str | None:
        """The id of the live host of that name; None: it is away."""
        return next((host_id for host_id, one in self.live.items() if one.name == name), None)

    def standing(self) -> list[HostRow]:
        """The hosts that are there as far as is known, and this one, by their names."""
        return sorted((one for one in self._rows.values() if one.ended is None), key=lambda one: one.host_id)

    def ended(self) -> list[HostRow]:
        """Those that ended within a day and are not back, the newest first."""
        here = {one.facts.name for one in self.standing()}
        gone = [one for one in self._rows.values() if one.ended is not None and one.facts.name not in here]
        return sorted(gone, key=lambda one: one.seen_s)

    def others(self) -> list[str]:
        """The ids of the other live ones."""
        return [host_id for host_id in self.live if host_id != self.host_id]

    async def _enter(self) -> None:
        give_up = monotonic() + 3 * TTL_S
        facts = self._facts()
        ends = "UPDATE hosts SET ended = 'gone' WHERE ended IS NULL AND "
        while True:
            began = monotonic()
            # Whoever has this home's lock is alone in it: another host of this home is dead.
            await self._database.aside(ends + "home = ? AND host_id != ?", self._home, self.host_id)
            entered = await self._database.aside(
                "INSERT INTO hosts (host_id, name, home, facts, renewed_ms, until_ms) "
                "VALUES (?, ?, ?, ?, {now_ms}, {now_ms} + ?) ON CONFLICT DO NOTHING RETURNING host_id",
                self.host_id, facts.name, self._home, self._encoded(facts), _TTL_MS,
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
            give_up = monotonic() + 3 * TTL_S if monotonic() - began > WORK_S else give_up  # both may have been paused
            if monotonic() > give_up - 2 * TTL_S:
                await self._database.aside(ends + "name = ? AND until_ms < {now_ms}", facts.name)
        await self._renew()

    async def _leave(self) -> None:
        """The others need not wait for the lease to end."""
        try:
            query = "UPDATE hosts SET ended = 'in order' WHERE host_id = ? AND ended IS NULL"
            await self._database.aside(query, self.host_id)
        except StoreError as exc:
            _log.info("that this host leaves is not told to the others: %s", exc.message)

    async def _keep(self) -> None:
        is_told = False
        while True:
            began = monotonic()
            try:
                await self._renew()
                is_told = False
            except StoreError as exc:
                if not is_told:
                    _log.warning("this host's lease is not renewed: %s", exc.message)
                is_told = True
                if monotonic() - self._renewed_at > TTL_S:
                    self._lose()
            except Exception:  # the lease must outlive it
                _log.exception("this host's lease could not be renewed")
            await asyncio.sleep(max(0.05, began + RENEW_S - monotonic()))

    async def _renew(self) -> None:
        began = monotonic()
        facts = self._encoded(self._facts())
        renewed = await self._database.aside(
            "UPDATE hosts SET facts = ?, renewed_ms = {now_ms}, until_ms = {now_ms} + ? "
            "WHERE host_id = ? AND ended IS NULL RETURNING {now_ms}",
            facts, _TTL_MS, self.host_id,
        )  # fmt: skip
        late_s = monotonic() - self._renewed_at
        if not renewed or late_s > TTL_S:
            self._lose()
        if not renewed:  # another host found the lease over: this one is told of it before it is there again
            await self._database.aside(
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
        """Say which leases are over, and forget those of long ago."""
        await self._database.aside(
            "UPDATE hosts SET ended = 'gone' WHERE ended IS NULL AND until_ms < {now_ms} "
            "AND host_id != ?", self.host_id,
        )  # fmt: skip
        await self._database.aside(
            "WITH gone AS (DELETE FROM hosts WHERE ended IS NOT NULL AND renewed_ms < {now_ms} - ? RETURNING host_id) "
            "DELETE FROM last_commits WHERE host IN (SELECT host_id FROM gone)",
            KEPT_MS,
        )

    async def _look(self) -> None:
        before = set(self.live)
        rows = await self._database.aside("SELECT host_id, facts, {now_ms} - renewed_ms, renewed_ms, ended FROM hosts")
        found = {}
        for host_id, text, seen_ms, renewed_ms, ended in rows:
            try:
                facts = msgspec.json.decode(text, type=HostFacts)
            except (msgspec.DecodeError, RecursionError) as exc:
                _log.debug("what %s tells cannot be read: %s", host_id, exc)
                facts = HostFacts(host_id, "?", 0, 0, None, None, None, 0, renewed_ms)
            found[host_id] = HostRow(host_id, facts, seen_ms / 1000, (facts.wall_ms - renewed_ms) / 1000, ended)
        self._rows = found
        if self.lost:
            self.lost = False
            _log.warning("this host is one of the cluster again")
        self._tell(before)

    def _lose(self) -> None:
        if not self.lost:
            before = set(self.live)
            self.lost = True
            self.term += 1
            _log.warning("this host could not renew its lease: the others hold it for gone")
            self._tell(before)

    def _tell(self, before: set[str]) -> None:
        for changed in self.listeners if set(self.live) != before else ():
            try:
                changed()
            except Exception:  # the lease must outlive it
                _log.exception("a change of the cluster's hosts was not followed")

    def _encoded(self, facts: HostFacts) -> str:
        return msgspec.json.encode(msgspec.structs.replace(facts, wall_ms=now_ms())).decode()
