"""How a cluster stands, as one of its hosts sees it: hosts, streams, duties, and what is wrong, in words.

The forms are in api/cluster_routes.py. It changes nothing, and NATS may be away.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nats.js.errors import NotFoundError

from microclaw.addresses import bracketed
from microclaw.cluster.connection import OUTAGES, Cluster
from microclaw.cluster.duties import Duties
from microclaw.cluster.forms import STRANGER_STEP, VERSION_STEP
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.nats_client import is_refusal, next_step, reason
from microclaw.cluster.store_meta import META_KEY, decode_meta
from microclaw.errors import StoreError
from microclaw.text import count_text, format_duration

if TYPE_CHECKING:
    from nats.js.api import StreamInfo

    from microclaw.cluster.host_facts import HostFacts, HostStanding
    from microclaw.cluster.leases import EndedHost
    from microclaw.cluster.nats_log import NatsLog
    from microclaw.store.replica import Replica

ANSWER_S: Final = 2.0
CLOCK_OFF_S: Final = 60.0
FAR_BEHIND: Final = 1_000  # entries: more than a host is behind in its stride
COUNTS: Final = ("calls_served", "calls_refused", "events_sent", "events_taken", "events_dropped", "events_refused")
_Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What this host has of the cluster."""

    cluster: Cluster
    hosts: Hosts
    duties: Duties
    replica: Replica
    log: NatsLog
    counts: Callable[[], Mapping[str, int]] = dict  # of COUNTS, those that this host counts yet

    async def status(self) -> dict[str, Any]:
        """As ClusterFacts of the API. Asks NATS for its streams, for `ANSWER_S` at most."""
        streams, missing = await self._streams()
        snapshot, unreadable = await self._snapshot() if streams else (None, None)
        hosts = self.hosts.standing()
        ended = self.hosts.ended()
        shown_streams = [_stream(info) for info in streams]
        problems = [
            *self._own_problems(),
            *self._log_problems(unreadable),
            *self._host_problems(hosts),
            *self._ended_problems(ended),
            *self._stream_problems(shown_streams, missing),
        ]
        return {
            "name": self.cluster.name,
            "host": self.hosts.host_id,
            **self._connection(),
            "member": not self.hosts.lost,
            "seen_s": round(self.hosts.seen_s, 1),
            "position": self.replica.position,
            "behind": self._behind(self.replica.position),
            "conflicts": self.replica.conflicts,
            "hosts": [self._host(one) for one in hosts],
            "ended": [self._ended(one) for one in ended],
            "streams": shown_streams,
            "snapshot": snapshot,
            "duties": self._duties(),
            "problems": [{"text": text, "next": step} for text, step in problems],
        }

    def gauges(self) -> dict[str, float]:
        """For /metrics; asks nobody."""
        return {
            "connected": float(self.cluster.connected),
            "member": float(not self.hosts.lost),
            "hosts": len(self.hosts.live),
            "hosts_gone": sum(not one.in_order for one in self.hosts.ended()),
            "entries": self.replica.position,
            "entries_behind": self._behind(self.replica.position),
            "conflicts": self.replica.conflicts,
            **dict.fromkeys(COUNTS, 0),
            **self.counts(),
        }

    def _behind(self, position: int) -> int:
        return max(0, max(self.log.last, self.replica.position) - position)

    def _connection(self) -> dict[str, Any]:
        client = self.cluster.client
        now = client.connected_url if client.is_connected else None
        servers = sorted({_address(url) for url in client.servers})
        return {
            "connected": now is not None,
            "server": None if now is None else _address(now),
            "servers": servers,
            "nats": ",".join(self.cluster.urls),
        }

    def _behind_of(self, facts: HostFacts) -> int:
        """As it told itself: what it has now is compared with the log of the same moment."""
        if facts.host_id == self.hosts.host_id:
            return self._behind(self.replica.position)
        return self._behind(facts.position) if facts.behind is None else facts.behind

    def _ended(self, one: EndedHost) -> dict[str, Any]:
        return {
            "host": one.host_id,
            "name": one.name,
            "devices": one.devices,
            "in_order": one.in_order,
            "ended_ms": one.last_ms,
            "ended_s": round(self._ended_s(one), 1),
        }

    def _ended_s(self, one: EndedHost) -> float:
        return max(0.0, self.hosts.server_ms - one.last_ms) / 1000

    def _host(self, one: HostStanding) -> dict[str, Any]:
        facts = one.facts
        return {
            "host": facts.host_id,
            "name": facts.name,
            "version": facts.version,
            "schema_version": facts.schema,
            "devices": facts.devices,
            "position": facts.position,
            "behind": self._behind_of(facts),
            "known": one.is_known,
            "seen_s": round(one.seen_s, 1),
            "clock_ahead_s": round(one.clock_ahead_s, 1),
            "api": facts.api,
            "link": facts.link,
            "started_ms": facts.started_ms,
        }

    def _duties(self) -> list[dict[str, Any]]:
        known = sorted(self.duties.known.items())
        return [{"name": name, "holder": duty.holder, "fence": duty.fence} for name, duty in known]

    async def _streams(self) -> tuple[list[StreamInfo], list[str]]:
        """Those that are there, and the names of those that are gone; nothing of those that cannot be asked for."""
        if not self.cluster.connected:
            return [], []
        jetstream = self.cluster.client.jetstream(timeout=ANSWER_S)
        names = stream_names(self.cluster)
        asked = await asyncio.gather(*(jetstream.stream_info(name) for name in names), return_exceptions=True)
        found: list[StreamInfo] = []
        missing: list[str] = []
        for name, answer in zip(names, asked, strict=True):
            if isinstance(answer, NotFoundError):
                missing.append(name)
            elif not isinstance(answer, BaseException):
                found.append(answer)
            elif not isinstance(answer, OUTAGES):
                raise answer
        return found, missing

    async def _snapshot(self) -> tuple[dict[str, Any] | None, StoreError | None]:
        """The newest, and why what is said of it cannot be read."""
        bucket = self.cluster.stream("META")
        jetstream = self.cluster.client.jetstream(timeout=ANSWER_S)
        try:
            message = await jetstream.get_last_msg(f"KV_{bucket}", f"$KV.{bucket}.{META_KEY}")
        except OUTAGES:
            return None, None
        try:
            meta = decode_meta(message.data)
        except StoreError as exc:
            return None, exc
        at = message.time if isinstance(message.time, datetime) else None
        return None if at is None else {"seq": meta.seq, "at_ms": int(at.timestamp() * 1000)}, None

    def _own_problems(self) -> Iterator[_Problem]:
        if not self.cluster.connected:
            seen = format_duration(self.hosts.seen_s * 1000)
            latest = self.cluster.client.last_error
            refused = latest is not None and is_refusal(latest)
            yield (
                f"NATS is not connected{'' if latest is None else f' ({reason(latest)})'}; "
                f"what is shown of other hosts is {seen} old",
                next_step(latest)
                if latest is not None and refused
                else "see whether nats-server runs and this machine reaches it; the host connects again by itself",
            )
        elif self.hosts.lost or self.hosts.stale:
            since = format_duration(self.hosts.seen_s * 1000)
            lease = "its lease has ended, and " if self.hosts.lost else ""
            yield (
                f"this host has seen no lease renewed for {since}, not its own either: {lease}what the others do is "
                "not known",
                "see whether most of the NATS servers run (below); else see microclaw.log for the reason",
            )

    def _log_problems(self, unreadable: StoreError | None) -> Iterator[_Problem]:
        if unreadable is not None:
            yield unreadable.message, unreadable.next_step or "see microclaw.log"
        if (trouble := self.log.trouble) is not None:
            yield f"this host writes nothing: {trouble.message}", trouble.next_step or "see microclaw.log"
        if count := self.log.strays:
            yield (
                f"{count_text(count, 'message')} in the log since this host's start {'was' if count == 1 else 'were'} "
                f"from nobody of this cluster, the last at {self.log.last_stray}: every host passed it over",
                STRANGER_STEP,
            )

    def _host_problems(self, hosts: list[HostStanding]) -> Iterator[_Problem]:
        for one in hosts:
            if abs(one.clock_ahead_s) > CLOCK_OFF_S:
                here = one.facts.host_id == self.hosts.host_id
                whose = "this machine's clock" if here else f"the clock of {one.facts.name}"
                side = "ahead of" if one.clock_ahead_s > 0 else "behind"
                off = f"{abs(one.clock_ahead_s) / 60:.0f} min"
                yield f"{whose} is {off} {side} the NATS server's", "set it: timedatectl set-ntp true"
            if one.facts.trouble and (one.facts.host_id != self.hosts.host_id or self.log.trouble is None):
                yield f"{one.facts.host_id}: {one.facts.trouble}", f"at that host: {one.facts.remedy}"
            behind = self._behind_of(one.facts)
            if behind > FAR_BEHIND:
                yield (
                    f"{one.facts.name} is {behind} entries of the log behind",
                    "see whether its machine, or its way to NATS, is slow",
                )
        for one in hosts:
            if one.facts.schema < self.replica.store_version:
                yield (
                    f"{one.facts.name} knows the store's version {one.facts.schema}, which is "
                    f"{self.replica.store_version} now: it reads, writes nothing, and sends its devices to other hosts",
                    "upgrade it: stop it, install the newer microclaw there, and start it",
                )
        names = Counter(one.facts.name for one in hosts)
        for name in sorted(name for name, count in names.items() if count > 1):
            yield (
                f"{names[name]} hosts are called {name}: boards on a port of one may be asked for at another",
                "give each a name of its own: microclaw config set cluster.host NAME",
            )
        for host_id, error in sorted(self.hosts.unread.items()):
            yield (
                f"the lease of {host_id} cannot be read, so it counts as away: {error.message}",
                error.next_step or VERSION_STEP,
            )
        versions = sorted({one.facts.version for one in hosts})
        if len(versions) > 1:
            yield (
                f"the hosts run different versions: {', '.join(versions)}",
                "bring all to the newest, one after the other",
            )
        for name, count in sorted(self.duties.overwritten.items()):
            times = "" if count == 1 else f" {count} times"
            yield f"the duty {name} was overwritten{times} by nobody of this cluster: it is put right", STRANGER_STEP
        if self.hosts.stale or self.hosts.lost:
            return  # nor who has which duty
        for name, duty in sorted(self.duties.known.items()):
            if duty.holder is not None and not self.hosts.is_live(duty.holder):
                yield f"the duty {name} is {duty.holder}'s, which is gone", "wait some seconds: another host takes it"

    def _ended_problems(self, ended: list[EndedHost]) -> Iterator[_Problem]:
        for one in ended:
            if not one.in_order:
                ago = format_duration(self._ended_s(one) * 1000)
                devices = count_text(one.devices, "device")
                yield (
                    f"the host {one.host_id} is gone: its lease was last renewed {ago} ago, with {devices} connected",
                    f"see that machine, and start {one.name} again; this is shown for a day",
                )

    def _stream_problems(self, shown_streams: list[dict[str, Any]], missing: list[str]) -> Iterator[_Problem]:
        for name in missing:
            yield f"the stream {name} is gone: somebody deleted it", _repair(self.cluster, name)
        if self.cluster.connected and not shown_streams and not missing:
            yield (
                "NATS is connected, and JetStream does not answer",
                "see its servers' logs: nats server report jetstream",
            )
        yield from self._leaderless(shown_streams)
        servers = len(self.cluster.client.servers)
        for shown in shown_streams:
            if shown["replicas"] < 3 <= servers:
                yield (
                    f"the stream {shown['name']} is on {count_text(shown['replicas'], 'server')} of {servers}",
                    f"nats stream edit {shown['name']} --replicas 3",
                )

    def _leaderless(self, streams: list[dict[str, Any]]) -> Iterator[_Problem]:
        """One problem: without a leader nobody knows which servers are away."""
        names = [stream["name"] for stream in streams if not stream["has_leader"]]
        if names:
            which = f"the stream {names[0]} has" if len(names) == 1 else f"{len(names)} of {len(streams)} streams have"
            yield f"{which} no leader, so nothing can be written", "start the NATS servers that are down, and wait"


def stream_names(cluster: Cluster) -> list[str]:
    """Every stream of a cluster."""
    buckets = [f"KV_{cluster.stream(what)}" for what in ("META", "HOSTS", "DUTIES")]
    return [cluster.stream("LOG"), *buckets, f"OBJ_{cluster.stream('FILES')}"]


def _stream(info: StreamInfo) -> dict[str, Any]:
    state, group = info.state, info.cluster
    return {
        "name": info.config.name or "",
        "messages": state.messages,
        "bytes": state.bytes,
        "first": state.first_seq,
        "last": state.last_seq,
        "replicas": info.config.num_replicas or 1,
        "leader": None if group is None else group.leader,
        "has_leader": group is None or group.name is None or group.leader is not None,
    }


def _repair(cluster: Cluster, name: str) -> str:
    if name in (cluster.stream("LOG"), f"KV_{cluster.stream('META')}"):
        return (
            "look at the entry that each host's copy is at (microclaw cluster status at each), stop all hosts; on the "
            "one with the highest entry: microclaw migrate --to nats://... --replace; then start all"
        )
    if name == f"OBJ_{cluster.stream('FILES')}":
        return f"nats object add {cluster.stream('FILES')}, then publish updates of firmware again"
    return "wait some seconds: the hosts make it again"


def _address(url: Any) -> str:
    """Without the name and password that it may have."""
    return f"{bracketed(url.hostname or '')}:{url.port or 4222}"
