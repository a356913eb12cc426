"""The state of a cluster, as one of its hosts sees it: hosts, duties, and what is wrong, in words.

It changes nothing, and the database may be away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import starmap
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct, field

from microclaw.cluster.duties import Duties
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.operations import ClusterFacts, ClusterProblem
from microclaw.errors import StoreError
from microclaw.store.postgres import SharedDatabase
from microclaw.store.schema import VERSION
from microclaw.text import count_text, format_duration

CLOCK_OFF_S: Final = 60.0
COUNTS: Final = ("calls_served", "calls_refused", "events_sent", "events_taken", "events_dropped", "events_refused")


class ClusterView(Struct, frozen=True):
    """This host's view of the cluster."""

    database: SharedDatabase
    hosts: Hosts
    duties: Duties
    counts: Mapping[str, int] = field(default_factory=dict)  # of COUNTS, those that this host counts yet

    async def status(self) -> ClusterFacts:
        try:
            duties = await self.duties.held()
        except StoreError:  # `connected` says it
            duties = ()
        place = urlsplit(self.database.url)
        return ClusterFacts(
            host=self.hosts.host_id,
            database=f"{place.hostname or 'local'}{'' if place.port is None else f':{place.port}'}{place.path}",
            connected=not self.hosts.stale,
            member=not self.hosts.lost,
            seen_s=round(self.hosts.seen_s, 1),
            hosts=self.hosts.standing(),
            ended=self.hosts.ended(),
            duties=duties,
            problems=tuple(starmap(ClusterProblem, self._problems())),
        )

    def gauges(self) -> dict[str, float]:
        """For /metrics; asks nobody."""
        return {
            "connected": float(not self.hosts.stale),
            "member": float(not self.hosts.lost),
            "hosts": len(self.hosts.live),
            "hosts_gone": sum(one.ended == "gone" for one in self.hosts.ended()),
            **dict.fromkeys(COUNTS, 0),
            **self.counts,
        }

    def _problems(self) -> Iterator[tuple[str, str]]:
        hosts = self.hosts.standing()
        if self.hosts.stale or self.hosts.lost:
            since = format_duration(self.hosts.seen_s * 1000)
            yield (
                f"the database has not answered for {since}: what is shown of other hosts is as old",
                "see whether PostgreSQL runs and this machine reaches it; the host connects again by itself",
            )
        for one in hosts:
            if abs(one.clock_ahead_s) > CLOCK_OFF_S:
                here = one.host_id == self.hosts.host_id
                if here:
                    whose = "this machine's clock"
                else:
                    whose = f"the clock of {one.facts.name}"
                side = "ahead of" if one.clock_ahead_s > 0 else "behind"
                off = f"{abs(one.clock_ahead_s) / 60:.0f} min"
                yield f"{whose} is {off} {side} the database's", "set it: timedatectl set-ntp true"
        newest = max((one.facts.schema for one in hosts), default=VERSION)
        for one in hosts:
            if one.facts.schema < newest:
                yield (
                    f"{one.facts.name} knows the store's version {one.facts.schema}, which is {newest} now: it reads, "
                    "writes nothing, and sends its devices to other hosts",
                    "upgrade it: stop it, install the newer microclaw there, and start it",
                )
        versions = sorted({one.facts.version for one in hosts})
        if len(versions) > 1:
            yield (
                f"the hosts run different versions: {', '.join(versions)}",
                "bring all to the newest, one after the other",
            )
        for one in self.hosts.ended():
            if one.ended == "gone":
                ago = format_duration(one.seen_s * 1000)
                devices = count_text(one.facts.devices, "device")
                yield (
                    f"the host {one.host_id} is gone: its lease was last renewed {ago} ago, with {devices} connected",
                    f"see that machine, and start {one.facts.name} again; this is shown for a day",
                )
