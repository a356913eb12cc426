"""The state of a cluster, as its clients and its other hosts get it."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from msgspec import Struct

from microclaw.host.operations.result import Listing
from microclaw.text import format_duration, host_called


class HostFacts(Struct, frozen=True):
    """A host's facts for the others. `devices` are connected to it.

    `api`, `link` and `calls` are its addresses: for people, for devices and for other hosts. `wall_ms` is its clock
    when it wrote this.
    """

    name: str
    version: str
    schema: int
    devices: int
    api: str | None
    link: str | None
    calls: str | None
    started_ms: int
    wall_ms: int


class HostRow(Struct, frozen=True):
    """A host, how long ago it renewed its lease, and how far its clock was ahead of the database's.

    `ended` is None while it is there, else "in order" or "gone".
    """

    host_id: str
    facts: HostFacts
    seen_s: float
    clock_ahead_s: float
    ended: str | None


class ClusterDuty(Struct, frozen=True):
    """A duty that one host does for all. `holder` None: no host at the moment."""

    name: str
    holder: str | None
    fence: int


class ClusterProblem(Struct, frozen=True, rename={"next_step": "next"}):
    text: str
    next_step: str


class ClusterFacts(Struct, frozen=True, kw_only=True):
    """The state of the cluster. `host` is this host's id; `member` says whether its lease is valid.

    `database` is without its password. `seen_s` is the age of its news of the hosts; unless `connected`, it is unknown
    which of them are there now. `ended` are the hosts that ended within a day and are not back.
    """

    host: str
    database: str
    connected: bool
    member: bool
    seen_s: float
    hosts: list[HostRow]
    ended: list[HostRow]
    duties: tuple[ClusterDuty, ...]
    problems: tuple[ClusterProblem, ...]

    def seen(self, one: HostRow) -> str:
        if one.ended is not None:
            end = "stopped" if one.ended == "in order" else "gone"
            return f"{end}, {format_duration(one.seen_s * 1000)} ago"
        if one.host_id == self.host:
            return "this host" if self.member else "this host, no lease"
        if self.connected:
            return f"{one.seen_s:.0f} s ago"
        return f"not known for {one.seen_s:.0f} s"


class ClusterAnswer(Listing, frozen=True, kw_only=True):
    """The answer about a cluster. `cluster` None: this host shares no database."""

    document: ClassVar = "cluster"
    columns: ClassVar = dict.fromkeys(("host", "version", "devices", "seen", "clock"), "")
    empty: ClassVar = "this host is alone. next: microclaw up --database postgresql://HOST/NAME (docs/cluster.md)"

    cluster: ClusterFacts | None

    def table(self) -> list[tuple[str, ...]]:
        facts = self.cluster
        if facts is None:
            return []
        hosts = facts.hosts + facts.ended
        name_counts = Counter(host.facts.name for host in hosts)
        rows: list[tuple[str, ...]] = []
        for host in hosts:
            is_unique = name_counts[host.facts.name] == 1
            name = host.facts.name if is_unique else host.host_id
            clock = f"{round(host.clock_ahead_s):+d} s"
            rows.append((name, host.facts.version, str(host.facts.devices), facts.seen(host), clock))
        return rows

    @property
    def note(self) -> str:
        facts = self.cluster
        if facts is None:
            return ""
        away = "" if facts.connected else ", which does not answer"
        lines = [f"database {facts.database}{away}, seen by {host_called(facts.host)}"]
        for duty in facts.duties:
            lines.append(f"duty {duty.name}: {host_called(duty.holder or 'nobody')} ({duty.fence})")
        for problem in facts.problems:
            lines.append(f"problem: {problem.text}\nnext: {problem.next_step}")
        return "\n".join(lines)
