"""The act of a cluster: how it stands, as this host sees it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

from microclaw.operations.operation import Access, Call, operation
from microclaw.operations.result import Listing
from microclaw.text import format_duration, host_called

if TYPE_CHECKING:
    from microclaw.cluster.status import ClusterView


class ClusterHost(Struct, frozen=True, kw_only=True):
    """`devices` are connected to it; it told so `seen_s` ago. `calls` is where other hosts call it.

    `known` false: it was live then; whether it is now this host cannot see. `clock_ahead_s`: of the database's.
    """

    host: str
    name: str
    version: str
    schema_version: int
    devices: int
    known: bool
    seen_s: float
    clock_ahead_s: float
    api: str | None
    link: str | None
    calls: str | None
    started_ms: int


class EndedHost(Struct, frozen=True, kw_only=True):
    """A host that stopped `in_order`, or whose lease ended, within a day, and is not back. It had `devices` then; its
    last renewal was `ended_s` ago."""

    host: str
    name: str
    devices: int
    in_order: bool
    ended_s: float


class ClusterDuty(Struct, frozen=True, kw_only=True):
    """What one host does for all. `holder` None: nobody at the moment."""

    name: str
    holder: str | None
    fence: int


class ClusterProblem(Struct, frozen=True, kw_only=True, rename={"next_step": "next"}):
    text: str
    next_step: str


class ClusterFacts(Struct, frozen=True, kw_only=True):
    """`host` is this one's id; `member` says whether its lease is good. `database` is without its password.

    `seen_s`: how old its news of the hosts are.
    """

    host: str
    database: str
    connected: bool
    member: bool
    seen_s: float
    hosts: list[ClusterHost]
    ended: list[EndedHost]
    duties: list[ClusterDuty]
    problems: list[ClusterProblem]

    def seen(self, one: ClusterHost) -> str:
        if one.host == self.host:
            return "this host" if self.member else "this host, no lease"
        return f"{one.seen_s:.0f} s ago" if one.known else f"not known for {one.seen_s:.0f} s"


class ClusterAnswer(Listing, frozen=True, kw_only=True):
    """`cluster` None: this host is alone."""

    document: ClassVar = "cluster"
    columns: ClassVar = dict.fromkeys(("host", "version", "devices", "seen", "clock"), "")
    empty: ClassVar = "this host is alone. next: microclaw up --database postgresql://HOST/NAME (docs/cluster.md)"

    cluster: ClusterFacts | None

    def table(self) -> list[tuple[str, ...]]:
        if (facts := self.cluster) is None:
            return []
        names = Counter([one.name for one in facts.hosts] + [one.name for one in facts.ended])

        def called(one: ClusterHost | EndedHost) -> str:
            return one.name if names[one.name] == 1 else one.host

        rows: list[tuple[str, ...]] = [
            (called(one), one.version, str(one.devices), facts.seen(one), f"{round(one.clock_ahead_s):+d} s")
            for one in facts.hosts
        ]
        for gone in facts.ended:
            how, ago = "stopped" if gone.in_order else "gone", format_duration(gone.ended_s * 1000)
            rows.append((called(gone), "-", str(gone.devices), f"{how}, {ago} ago", "-"))
        return rows

    @property
    def note(self) -> str:
        if (facts := self.cluster) is None:
            return ""
        away = "" if facts.connected else ", which does not answer"
        lines = [f"database {facts.database}{away}, seen by {host_called(facts.host)}"]
        lines += [f"duty {one.name}: {host_called(one.holder or 'nobody')} ({one.fence})" for one in facts.duties]
        lines += [f"problem: {one.text}\nnext: {one.next_step}" for one in facts.problems]
        return "\n".join(lines)


@operation("cluster.status", http="GET /v1/cluster", access=Access.ACT, is_command=False)
async def status(view: ClusterView | None, _call: Call) -> ClusterAnswer:
    """Hosts and duties of the cluster."""
    return ClusterAnswer(cluster=None if view is None else await view.status())
