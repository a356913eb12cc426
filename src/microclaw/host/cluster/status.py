"""The state of a cluster, as one of its hosts sees it: hosts, duties, and problems in words.

It changes nothing, and the database may be away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct, field

from microclaw.errors import StoreError
from microclaw.host.cluster.hosts import Hosts
from microclaw.host.cluster.leader_tasks import Duties
from microclaw.host.cluster.results import ClusterFacts, ClusterProblem, HostRow
from microclaw.host.store.postgres import SharedDatabase
from microclaw.host.store.schema import VERSION
from microclaw.text import count_text, format_duration

CLOCK_OFF_S: Final = 60.0
COUNTS: Final = ("calls_served", "calls_refused", "events_sent", "events_taken", "events_dropped", "events_refused")


class ClusterView(Struct, frozen=True):
    """This host's view of the cluster."""

    database: SharedDatabase
    hosts: Hosts
    duties: Duties
    # The counters of COUNTS that this host has used so far.
    counts: Mapping[str, int] = field(default_factory=dict)

    async def status(self) -> ClusterFacts:
        try:
            duties = await self.duties.held()
        except StoreError:
            # The field `connected` reports this.
            duties = ()
        place = urlsplit(self.database.url)
        port = "" if place.port is None else f":{place.port}"
        return ClusterFacts(
            host=self.hosts.host_id,
            database=f"{place.hostname or 'local'}{port}{place.path}",
            connected=not self.hosts.stale,
            member=not self.hosts.lost,
            seen_s=round(self.hosts.seen_s, 1),
            hosts=self.hosts.current(),
            ended=self.hosts.ended(),
            duties=duties,
            problems=tuple(self._problems()),
        )

    def gauges(self) -> dict[str, float]:
        """Return the values for /metrics, without asking another host."""
        ends = [host.ended for host in self.hosts.ended()]
        return {
            "connected": float(not self.hosts.stale),
            "member": float(not self.hosts.lost),
            "hosts": len(self.hosts.live),
            "hosts_gone": ends.count("gone"),
            **dict.fromkeys(COUNTS, 0),
            **self.counts,
        }

    def _problems(self) -> Iterator[ClusterProblem]:
        if self.hosts.stale or self.hosts.lost:
            since = format_duration(self.hosts.seen_s * 1000)
            yield ClusterProblem(
                f"the database has not answered for {since}: the shown state of other hosts is as old",
                "see whether PostgreSQL runs and this machine reaches it; the host connects again by itself",
            )
        hosts = self.hosts.current()
        yield from self._clock_problems(hosts)
        yield from _version_problems(hosts)
        yield from self._gone_hosts()

    def _clock_problems(self, hosts: list[HostRow]) -> Iterator[ClusterProblem]:
        for host in hosts:
            if abs(host.clock_ahead_s) <= CLOCK_OFF_S:
                continue
            if host.host_id == self.hosts.host_id:
                clock = "this machine's clock"
            else:
                clock = f"the clock of {host.facts.name}"
            side = "ahead of" if host.clock_ahead_s > 0 else "behind"
            off = f"{abs(host.clock_ahead_s) / 60:.0f} min"
            yield ClusterProblem(f"{clock} is {off} {side} the database's", "set it: timedatectl set-ntp true")

    def _gone_hosts(self) -> Iterator[ClusterProblem]:
        for host in self.hosts.ended():
            if host.ended == "gone":
                ago = format_duration(host.seen_s * 1000)
                devices = count_text(host.facts.devices, "device")
                yield ClusterProblem(
                    f"the host {host.host_id} is gone: its lease was last renewed {ago} ago, with {devices} connected",
                    f"see that machine, and start {host.facts.name} again; this is shown for a day",
                )


def _version_problems(hosts: list[HostRow]) -> Iterator[ClusterProblem]:
    newest = max((host.facts.schema for host in hosts), default=VERSION)
    for host in hosts:
        if host.facts.schema < newest:
            yield ClusterProblem(
                f"{host.facts.name} knows the store's version {host.facts.schema}, which is {newest} now: it reads, "
                "writes nothing, and sends its devices to other hosts",
                "upgrade it: stop it, install the newer microclaw there, and start it",
            )
    versions = sorted({host.facts.version for host in hosts})
    if len(versions) > 1:
        yield ClusterProblem(
            f"the hosts run different versions: {', '.join(versions)}",
            "bring all to the newest, one after the other",
        )
