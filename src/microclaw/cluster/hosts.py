"""The hosts of a cluster: each has a lease in a bucket, renews it, and sees the others' leases.

No machine's clock says whether a host is gone. The bucket's stream puts the renewals of all hosts in order: a host is
gone when the stream had nothing of it for as long as this host, by its own monotonic clock, had renewed its own
lease over and over. So a host that was paused, or cut off, holds nobody for dead, and a clock that is set does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from nats.js.api import DeliverPolicy, KeyValueConfig, StorageType
from nats.js.errors import NoStreamResponseError

from microclaw.backoff import Backoff
from microclaw.clock import now_ms
from microclaw.cluster.connection import OUTAGES, Cluster, check_cancelled, unreachable
from microclaw.cluster.host_facts import TIMES, HostFacts, HostStanding, LeaseTimes
from microclaw.cluster.leases import TOLD_ON, EndedHost, EndedHosts, Renewal, read_renewal
from microclaw.errors import ProtocolError, StoreError
from microclaw.text import escape_hidden

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext

MAX_HOSTS: Final = 1_000
MAX_UNREAD: Final = 20
MAX_KEY: Final = 64  # characters that are shown
MAX_ENTRY: Final = 4_096
ENTER_S: Final = 10.0
LEAVE_S: Final = 2.0
RETRY_S: Final = 0.25
_GONE: Final = ("DEL", "PURGE")

Changed: TypeAlias = Callable[[frozenset[str], frozenset[str]], None]
"""Called with the ids of the hosts that joined and of those that left, this one's too."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    facts: HostFacts
    arrived: float
    server_s: float

    @property
    def clock_ahead_s(self) -> float:
        return self.facts.wall_ms / 1000 - self.server_s


class Hosts:
    """Made by `Hosts.joined`. `live` is what was last seen: `seen_s` says how old that is.

    `lost`: this host could not renew, and the others hold it for dead. `renewed_at` is when its last renewal began
    (monotonic); `term` grows each time that it was late, so what was held by the lease before is held no more.
    """

    def __init__(self, cluster: Cluster, facts: Callable[[], HostFacts], host_id: str, times: LeaseTimes) -> None:
        self.host_id = host_id
        self.times = times
        self.lost = False
        self.term = 0
        self.listeners: list[Changed] = []
        self.unread: dict[str, ProtocolError] = {}  # hosts whose lease cannot be read, and why
        self._unread_at: dict[str, float] = {}
        self._cluster = cluster
        self._facts = facts
        self._last_facts: HostFacts | None = None
        self._jetstream = cluster.client.jetstream(timeout=times.renew_s)
        self._bucket = cluster.stream("HOSTS")
        self._time = asyncio.get_running_loop().time
        self._seen: dict[str, _Seen] = {}
        self._live: dict[str, HostFacts] = {}
        self._ended = EndedHosts()
        self._revisions: dict[str, int] = {}  # of those that are gone, too
        self._revision = 0
        self._beat = self._last_beat = 0
        self._sent: dict[int, float] = {}
        self.renewed_at = self._came_at = self._subscribed_at = self._steady_since = self._time()
        self._server_clock = 0.0  # the NATS server's, less this machine's monotonic one
        self._arrived = asyncio.Event()
        self._subscription: JetStreamContext.PushSubscription | None = None

    @classmethod
    @asynccontextmanager
    async def joined(
        cls,
        cluster: Cluster,
        facts: Callable[[], HostFacts],
        *,
        host_id: str,
        times: LeaseTimes = TIMES,
    ) -> AsyncIterator[Hosts]:
        """Be one of the hosts. `host_id` is another at each start. Raises StoreError when NATS does not answer."""
        hosts = cls(cluster, facts, host_id, times)
        await hosts._enter()
        tasks = [
            asyncio.create_task(hosts._keep(), name="cluster: renew the lease"),
            asyncio.create_task(hosts._lapse(), name="cluster: see whether the lease is good"),
        ]
        try:
            yield hosts
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await hosts._leave()

    @property
    def live(self) -> Mapping[str, HostFacts]:
        """The hosts with a lease, by id; this one, unless it is lost."""
        return MappingProxyType(self._live)

    @property
    def seen_s(self) -> float:
        """Since this host last saw the bucket's news: more than some seconds while NATS is away."""
        return self._time() - self._came_at

    @property
    def stale(self) -> bool:
        return self.seen_s > 3 * self.times.renew_s

    @property
    def steady_s(self) -> float:
        """How long it has seen every renewal without a gap."""
        return self._time() - self._steady_since

    @property
    def work_left_s(self) -> float:
        """How long this host may still do what is its own alone."""
        return self.renewed_at + self.times.work_s - self._time()

    def now_ms(self) -> int:
        """The time of day by most clocks, the live hosts' and the NATS server's; by this machine's where two differ."""
        ahead = sorted([0.0, *(seen.clock_ahead_s for host_id, seen in self._seen.items() if host_id in self._live)])
        if len(ahead) < 3 or not self._server_clock:
            return now_ms()
        return round((self._server_clock + self._time() + ahead[(len(ahead) - 1) // 2]) * 1000)

    def is_live(self, host_id: str) -> bool:
        return host_id in self._live

    def of_name(self, name: str) -> str | None:
        """The id of the live host of that name, the newest of several; None: it is away."""
        found = [one for one in self._live.values() if one.name == name]
        return max(found, key=lambda one: one.started_ms).host_id if found else None

    def standing(self) -> list[HostStanding]:
        """Every host that is live as far as is known, and this one, by their names."""
        now = self._time()
        found = [
            HostStanding(seen.facts, now - seen.arrived, seen.clock_ahead_s, is_known=not self.stale)
            for host_id, seen in self._seen.items()
            if host_id in self._live and host_id != self.host_id
        ]
        own = self._seen[self.host_id]
        found.append(HostStanding(self._own_facts(), now - own.arrived, own.clock_ahead_s, is_known=True))
        return sorted(found, key=lambda one: one.facts.host_id)

    @property
    def server_ms(self) -> float:
        """The NATS server's clock."""
        return (self._server_clock + self._time()) * 1000

    def ended(self) -> list[EndedHost]:
        """The hosts that were there and are not, the newest first."""
        return self._ended.kept(self.server_ms, self.standing()) if self.host_id in self._seen else []

    async def _enter(self) -> None:
        try:
            await self._make_bucket()
            await self._subscribe()
            await self._renew()
            async with asyncio.timeout(ENTER_S):
                await self._arrived.wait()
        except OUTAGES as exc:
            await self._unsubscribe()
            raise unreachable("the hosts of the cluster cannot be seen", exc) from exc

    async def _leave(self) -> None:
        """The others need not wait for the lease to end."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._unsubscribe()
                if self._cluster.connected:
                    await self._publish(b"", {"KV-Operation": "DEL"})
        except OUTAGES as exc:
            _log.info("that this host leaves is not told to the others: %s", exc)

    async def _make_bucket(self) -> None:
        await self._jetstream.create_key_value(
            KeyValueConfig(
                bucket=self._bucket,
                history=1,
                ttl=self.times.ttl_s,
                max_value_size=MAX_ENTRY,
                storage=StorageType.MEMORY,  # of seconds: a full disk takes no host's lease
                replicas=self._cluster.replicas,
            )
        )

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as group:
            await self._renew_always(group)

    async def _renew_always(self, group: asyncio.TaskGroup) -> None:
        reported, making = False, None
        leaves = Backoff(min_s=self.times.ttl_s / 2, max_s=self.times.ttl_s * 4)
        leave_at: float | None = None
        while True:
            check_cancelled()
            began = self._time()
            pause = RETRY_S
            if self._cluster.connected:
                try:
                    await self._renew()
                    await self._see_to_watch()
                    pause, reported, leave_at = self.times.renew_s, False, None
                    leaves.succeeded()
                except OUTAGES as exc:
                    if not reported:
                        _log.warning("this host's lease is not renewed: %s", unreachable("the cluster", exc).message)
                    reported = True
                    if leave_at is None:
                        leave_at = self.renewed_at + leaves.next_wait_s()
                    elif self._time() >= leave_at:
                        leave_at = self._time() + leaves.next_wait_s()
                        await self._cluster.leave_server()
                    if isinstance(exc, NoStreamResponseError) and (making is None or making.done()):
                        making = group.create_task(self._make_again(), name="cluster: make the hosts' bucket")
            await asyncio.sleep(max(0.0, began + pause - self._time()))

    async def _make_again(self) -> None:
        """Where somebody deleted the bucket; where its servers choose another leader this does nothing."""
        try:
            await self._make_bucket()  # what was subscribed to is gone with it: `_see_to_watch` looks for that
        except OUTAGES as exc:
            _log.debug("the bucket %s cannot be made: %s", self._bucket, exc)

    async def _renew(self) -> None:
        facts = self._own_facts()
        sent = self._time()
        self._beat += 1
        self._sent[self._beat] = sent
        self._sent.pop(self._beat - 100, None)
        renewal = Renewal(self._beat, facts, ended=tuple(self.ended()[:TOLD_ON]))
        revision = await self._publish(msgspec.json.encode(renewal))
        if revision < self._revision:
            self._revisions.clear()  # the bucket is another: deleted, and made anew
        self._revision = revision
        late_s = self._time() - self.renewed_at
        if late_s >= self.times.ttl_s:
            self._lose()
        if late_s >= self.times.work_s:
            self.term += 1
        self.renewed_at = sent
        if self.lost:
            self.lost = False
            _log.warning("this host is one of the cluster again")
            self._change(joined={self.host_id: facts})

    def _own_facts(self) -> HostFacts:
        try:
            self._last_facts = self._facts()
        except Exception:  # the lease must outlive it
            _log.exception("what this host tells the others could not be found")
        if self._last_facts is None:
            raise StoreError("this host has nothing to tell the others", next_step="see the log for the reason")
        return self._last_facts

    async def _publish(self, data: bytes, headers: dict[str, Any] | None = None) -> int:
        subject = f"$KV.{self._bucket}.{self.host_id}"
        answer = await self._jetstream.publish(subject, data, stream=f"KV_{self._bucket}", headers=headers)
        return answer.seq

    async def _lapse(self) -> None:
        while True:
            left = self.renewed_at + self.times.ttl_s - self._time()
            if left <= 0:
                self._lose()
            await asyncio.sleep(left if left > 0 else RETRY_S)

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            _log.warning("this host could not renew its lease: the others hold it for dead")
            self._change(left={self.host_id})

    async def _see_to_watch(self) -> None:
        """Subscribe anew when the renewals do not come back: after a server died, or a consumer was lost."""
        since = max(self._came_at, self._subscribed_at)
        if self._time() - since > 3 * self.times.renew_s:
            await self._subscribe()

    async def _subscribe(self) -> None:
        await self._unsubscribe()
        self._subscribed_at = self._time()
        self._last_beat = -1  # a gap: what came meanwhile was not seen
        self._subscription = await self._jetstream.subscribe(
            f"$KV.{self._bucket}.>",
            stream=f"KV_{self._bucket}",
            ordered_consumer=True,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            cb=self._took,
        )

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(*OUTAGES):
                await subscription.unsubscribe()

    async def _took(self, message: Msg) -> None:
        host_id = message.subject.rpartition(".")[2]
        revision = message.metadata.sequence.stream
        if revision <= self._revisions.get(host_id, 0):
            return
        self._revisions.pop(host_id, None)
        self._revisions[host_id] = revision
        if len(self._revisions) > MAX_HOSTS:
            del self._revisions[next(iter(self._revisions))]
        if message.headers is not None and message.headers.get("KV-Operation") in _GONE:
            self._forget_unread(host_id)
            if host_id != self.host_id:
                self._remove({host_id}, left_s=message.metadata.timestamp.timestamp())
            return
        try:
            renewal = read_renewal(host_id, message.data)
        except ProtocolError as exc:
            self._note_unread(escape_hidden(host_id)[:MAX_KEY], exc)
            return
        self._forget_unread(host_id)
        self._add(host_id, renewal, message.metadata.timestamp.timestamp())

    def _note_unread(self, host_id: str, error: ProtocolError) -> None:
        known = self.unread.get(host_id)
        if known is None and len(self.unread) >= MAX_UNREAD:
            return
        if known is None or known.message != error.message:
            _log.warning("the lease of the host %s cannot be read: %s", host_id, error.message)
        self.unread[host_id] = error
        self._unread_at[host_id] = self._time()

    def _forget_unread(self, host_id: str) -> None:
        self.unread.pop(host_id, None)
        self._unread_at.pop(host_id, None)

    def _add(self, host_id: str, renewal: Renewal, server_s: float) -> None:
        now = self._time()
        if host_id not in self._seen and len(self._seen) >= MAX_HOSTS:
            _log.warning("the host %s is not seen: the cluster has %d already", host_id, MAX_HOSTS)
            return
        self._seen[host_id] = _Seen(renewal.facts, now, server_s)
        self._ended.hear(renewal.ended)
        if host_id == self.host_id:
            if now - self._sent.get(renewal.beat, 0.0) < self.times.renew_s:  # it did not wait on the way
                self._server_clock = server_s - now
            self._came_back(renewal.beat, now)
        if host_id in self._live:
            self._live[host_id] = renewal.facts
        elif host_id != self.host_id or not self.lost:
            self._change(joined={host_id: renewal.facts})

    def _came_back(self, beat: int, now: float) -> None:
        """This host's own renewal, in its place among the others': who had none for long is gone."""
        sent = self._sent.get(beat, now)
        if beat != self._last_beat + 1 or now - self._came_at > self.times.ttl_s / 2:
            self._steady_since = now
        self._last_beat, self._came_at = beat, now
        self._arrived.set()
        for host_id in [one for one, at in self._unread_at.items() if sent - at >= self.times.ttl_s]:
            self._forget_unread(host_id)
        gone = {
            host_id
            for host_id, seen in self._seen.items()
            if host_id != self.host_id and sent - max(seen.arrived, self._steady_since) >= self.times.ttl_s
        }
        if gone:
            _log.warning("hosts of the cluster are gone: %s", ", ".join(sorted(gone)))
            self._remove(gone)

    def _remove(self, host_ids: set[str], *, left_s: float | None = None) -> None:
        """`left_s`: when they said goodbye."""
        for host_id in host_ids:
            if (seen := self._seen.pop(host_id, None)) is not None:
                facts, last_s = seen.facts, seen.server_s if left_s is None else left_s
                ended = EndedHost(host_id, facts.name, facts.devices, int(last_s * 1000), left_s is not None)
                self._ended.add(ended)
        self._change(left=host_ids)

    def _change(self, *, joined: Mapping[str, HostFacts] | None = None, left: set[str] | None = None) -> None:
        came = frozenset(joined or ()) - self._live.keys()
        went = frozenset(left or ()) & self._live.keys()
        self._live.update(joined or {})
        for host_id in went:
            del self._live[host_id]
        if not came and not went:
            return
        for changed in self.listeners:
            try:
                changed(came, went)
            except Exception:  # the lease must outlive it
                _log.exception("a change of the cluster's hosts was not followed")
