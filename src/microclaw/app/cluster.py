"""The host's store: its own, or its copy of the one that the hosts of a cluster share, and what comes with that."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from microclaw import __version__
from microclaw.app.joining import check_begin_anew, check_name, home_key
from microclaw.audit import Record
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.auth.recheck import Freshness
from microclaw.clock import now_ms
from microclaw.config.settings import Settings
from microclaw.devices.device import Transport
from microclaw.devices.machine import Machine
from microclaw.errors import ConfigError, StoreError, StoreMissing, UnknownName
from microclaw.events import LiveEvent
from microclaw.link_server.holding import LinkHolding, StaleHolders
from microclaw.live_hosts import LeftWork
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable
from microclaw.store.link_holders import LinkHolderTable
from microclaw.store.schema import VERSION
from microclaw.supervision import SupervisedTasks
from microclaw.text import host_called

if TYPE_CHECKING:
    from microclaw.agent.inbox import Inbox
    from microclaw.api.jobs import Jobs
    from microclaw.api.requests_elsewhere import RequestsElsewhere
    from microclaw.api.waiting import WaitingRequests
    from microclaw.auth.approvals import Approvals
    from microclaw.cluster.connection import Cluster
    from microclaw.cluster.duties import Duties
    from microclaw.cluster.files import ClusterFiles
    from microclaw.cluster.host_facts import HostFacts
    from microclaw.cluster.host_requests import HostRequests
    from microclaw.cluster.hosts import Hosts
    from microclaw.cluster.nats_log import NatsLog
    from microclaw.cluster.questions import RemoteQuestions
    from microclaw.cluster.remote_calls import RemoteCalls
    from microclaw.cluster.status import ClusterView
    from microclaw.devices.registry import Registry
    from microclaw.link_server.links import LinkRegistry
    from microclaw.store.replica import Replica

CLEAR_EVERY_S: Final = 300.0


@dataclass(slots=True)
class Addresses:
    """Where this host is reached, and for what; told to the others once it is known."""

    api: str | None = None
    link: str | None = None


class LeaseFleet:
    """A `microclaw.live_hosts.Fleet` of the hosts with a lease: another is dead when it is surely gone."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    @property
    def host_id(self) -> str:
        return self._hosts.host_id

    def is_live(self, host_id: str) -> bool:
        """A host that has just come, or was cut off, has not seen all renewals yet, and holds nobody for dead."""
        hosts = self._hosts
        return hosts.is_live(host_id) or hosts.stale or hosts.steady_s < hosts.times.ttl_s

    def listen(self, left: Callable[[str], None]) -> None:
        def changed(_joined: frozenset[str], gone: frozenset[str]) -> None:
            for host_id in gone:
                left(host_id)

        self._hosts.listeners.append(changed)


@dataclass(slots=True)
class DutyFlag:
    """Whether this host has a duty whose work is done elsewhere."""

    is_held: bool = False

    async def hold(self, _fence: int) -> None:
        """The duty's work; until it is cancelled."""
        self.is_held = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.is_held = False


@dataclass(frozen=True, slots=True)
class HostCluster:
    """A host's part of a cluster. `host_id` is another at each start."""

    host_id: str
    connection: Cluster
    replica: Replica
    log: NatsLog
    hosts: Hosts
    duties: Duties
    holding: LinkHolding
    files: ClusterFiles
    requests: HostRequests
    addresses: Addresses = field(default_factory=Addresses)
    unconnected: DutyFlag = field(default_factory=DutyFlag)  # devices that no host has a connection of
    counting: dict[str, Callable[[], int]] = field(default_factory=dict)  # by the names of cluster.status.COUNTS

    @property
    def name(self) -> str:
        """This host's, the same at each start."""
        return host_called(self.host_id)

    def spoken_to(self, registry: Registry) -> list[str]:
        """The ids of links that are connected here: each device is spoken to by one host."""
        endpoints = (endpoint for device in registry.list() for endpoint in device.endpoints)
        links = (one.removeprefix("link:") for one in endpoints if one.startswith("link:"))
        return [link_id for link_id in links if self.holding.place_of(link_id) == self.host_id]

    @property
    def view(self) -> ClusterView:
        """What `cluster status` and /metrics show."""
        from microclaw.cluster.status import ClusterView

        counts = lambda: {name: count() for name, count in self.counting.items()}  # noqa: E731
        return ClusterView(self.connection, self.hosts, self.duties, self.replica, self.log, counts)

    @property
    def fleet(self) -> LeaseFleet:
        return LeaseFleet(self.hosts)

    def fresh_identity(self) -> Freshness:
        """Whether this host knows who may come in."""
        from microclaw.cluster.fresh_identity import FreshIdentity

        return FreshIdentity(self.connection, self.hosts, self.replica)

    def start_work(
        self,
        tasks: SupervisedTasks,
        left_work: Mapping[str, Callable[[], Awaitable[object]]],
        *,
        after: asyncio.Event,
    ) -> list[asyncio.Task[None]]:
        """Take up what dead hosts left, part by part, and maybe look after the devices that are connected nowhere."""
        unconnected = partial(self.duties.hold, "unconnected-devices", self.unconnected.hold)
        stale = StaleHolders(LinkHolderTable(self.replica), self.fleet.is_live)

        async def clear_holders() -> None:
            if self.unconnected.is_held:
                await stale.clear()

        return [
            tasks.start("what dead hosts left", LeftWork(self.fleet, left_work).run, after=after),
            tasks.start("devices without a connection", unconnected),
            tasks.start("rows of hosts that are gone", clear_holders, every_s=CLEAR_EVERY_S, after=after),
        ]

    def looks_after(self, registry: Registry) -> Callable[[str], bool]:
        """Which devices, by id, this host keeps as they should be: those connected here; of those that are connected
        nowhere the ones on a port of this machine, and of the others all, or none."""

        def is_ours(device_id: str) -> bool:
            try:
                device = registry.get(device_id)
            except UnknownName:
                return self.unconnected.is_held
            links = [one.removeprefix("link:") for one in device.endpoints if one.startswith("link:")]
            places = {self.holding.place_of(link_id) for link_id in links} - {None}
            if places:
                return self.host_id in places
            return self.unconnected.is_held if device.host is None else device.host == self.name

        return is_ours

    async def until_left_behind(self) -> StoreError:
        """Wait until this host has to start again, as the cluster's store went on without its copy; why."""
        from microclaw.cluster.left_behind import until_left_behind

        return await until_left_behind(self.replica, self.log, self.hosts)

    def questions(self, approvals: Approvals) -> RemoteQuestions:
        """What waits for a yes at the other hosts; to be asked while `requests` are served."""
        from microclaw.cluster.questions import RemoteQuestions

        return RemoteQuestions(self.requests, approvals, self._others)

    def _others(self) -> list[str]:
        return [one.facts.host_id for one in self.hosts.standing() if one.facts.host_id != self.host_id]

    def requests_elsewhere(self, waiting: WaitingRequests, jobs: Jobs) -> RequestsElsewhere:
        """Requests of the API that came in at the other hosts; to be asked while `requests` are served."""
        from microclaw.api.requests_elsewhere import RequestsElsewhere

        ended = lambda: [one.name for one in self.hosts.ended()]  # noqa: E731
        return RequestsElsewhere(self.requests, waiting, jobs, self._others, ended)

    def stopping(self, inbox: Inbox) -> Callable[[str, str], Awaitable[bool]]:
        """Stops a chat's turn at the other hosts; to be used while `requests` are served."""
        return stop_at_others(self.requests, inbox, self._others)

    def machine(self, remote: Callable[[], RemoteCalls | None]) -> Machine:
        """Where ports are. `remote` gives who asks other hosts; it is there before the first transport is."""

        def elsewhere(transport: Transport, host: str) -> Transport:
            from microclaw.cluster.ports_elsewhere import port_elsewhere

            asking = remote()
            assert asking is not None
            return port_elsewhere(transport, host, asking, self.hosts.of_name)

        return Machine(self.name, elsewhere)

    def remote_devices(self, registry: Registry) -> RemoteCalls:
        """Calls to devices at other hosts; to be opened by `serving`."""
        from microclaw.cluster.remote_calls import RemoteCalls

        return RemoteCalls(self.connection, self.host_id, self.holding.host_of, registry.owner_of)

    @asynccontextmanager
    async def sharing(
        self, publish: Callable[[LiveEvent], None], deliver: Callable[[LiveEvent], None]
    ) -> AsyncIterator[Callable[[LiveEvent], None]]:
        """`publish`, and then to the other hosts; their events come to `deliver`."""
        from microclaw.cluster.live_events import LiveEvents

        events = LiveEvents(self.connection, self.host_id, deliver)
        self.counting["events_sent"] = lambda: events.sent
        self.counting["events_taken"] = lambda: events.taken
        self.counting["events_dropped"] = lambda: events.dropped
        self.counting["events_refused"] = lambda: events.refused

        def both(event: LiveEvent) -> None:
            publish(event)
            events.share(event)

        async with events.serving():
            yield both

    @asynccontextmanager
    async def serving(
        self, registry: Registry, links: LinkRegistry, tasks: SupervisedTasks, record: Record
    ) -> AsyncIterator[None]:
        """Inside, other hosts reach this one's devices, and what they write about devices' links is followed."""
        from microclaw.cluster.nats_log import note_strays
        from microclaw.cluster.remote_calls import DeviceCallServer, RemoteCalls
        from microclaw.link_server.other_hosts import OtherHosts

        remote = links.parts.remote
        assert isinstance(remote, RemoteCalls)
        dead = lambda: [(one.host_id, one.last_ms) for one in self.hosts.ended() if not one.in_order]  # noqa: E731
        others = OtherHosts(links, self.holding, dead)
        self.holding.replaced = links.replaced
        self.replica.listen(others.changed)
        self.hosts.listeners.append(lambda _came, _went: others.hosts_changed())
        server = DeviceCallServer(
            self.connection, self.host_id, registry.owner_of, lambda link_id: links.link(link_id).fence
        )
        self.counting["calls_served"] = lambda: server.served
        self.counting["calls_refused"] = lambda: server.refused
        async with remote.serving(), server.serving():
            following = tasks.start("follow the other hosts of the cluster", others.run)
            noting = tasks.start("note strays in the cluster's log", partial(note_strays, self.log, record))
            try:
                yield
            finally:
                following.cancel()
                noting.cancel()


def stop_at_others(
    requests: HostRequests, inbox: Inbox, others: Callable[[], list[str]]
) -> Callable[[str, str], Awaitable[bool]]:
    """Stops a chat's turn at the hosts `others`, and those of `inbox` for them."""
    from microclaw.cluster.host_requests import ask_all

    async def stop_here(body: bytes) -> AsyncGenerator[bytes, None]:
        channel, chat_id = msgspec.msgpack.decode(body, type=tuple[str, str])
        yield b"1" if inbox.cancel(channel, chat_id) else b"0"

    async def stop(channel: str, chat_id: str) -> bool:
        body = msgspec.msgpack.encode((channel, chat_id))
        answers, _silent = await ask_all(requests, others(), "stop", body)
        return any(answer == b"1" for _host, answer in answers)

    requests.handlers["stop"] = stop_here
    return stop


def check_store(settings: Settings, *, new_store: bool) -> None:
    """An empty store knows none of the devices that trust this host's authority: nobody wants that by accident."""
    store, authority = settings.database, settings.identity / AUTHORITY_FILE
    if new_store and store.exists():
        raise ConfigError(f"there is a store already: {store}", next_step="leave --new-store out")
    if not new_store and authority.exists() and not store.exists():
        raise StoreMissing(
            f"the store {store} is missing, and paired devices trust the authority in {authority}",
            next_step="microclaw restore FILE --replace; or begin with an empty one, and pair every device again: "
            "microclaw up --new-store",
        )


async def open_store(settings: Settings, stack: AsyncExitStack) -> tuple[Database, HostCluster | None]:
    """Open as long as `stack`. Raises ConfigError when the cluster cannot be joined, StoreError as the stores do."""
    if settings.cluster.nats is None:
        return await stack.enter_async_context(Database.open(settings.database)), None
    from microclaw.cluster.connection import connected  # with a cluster alone
    from microclaw.cluster.duties import Duties
    from microclaw.cluster.files import ClusterFiles
    from microclaw.cluster.host_facts import HostFacts
    from microclaw.cluster.host_requests import HostRequests
    from microclaw.cluster.hosts import Hosts
    from microclaw.cluster.leases import trouble_of
    from microclaw.cluster.shared_store import shared_store

    name, started_ms = settings.cluster.host_name, now_ms()
    host_id = f"{name}-{secrets.token_hex(2)}"
    connection = await stack.enter_async_context(connected(settings.cluster, name=f"microclaw {host_id}"))
    opening = shared_store(connection, settings.cluster_copy, host=host_id)
    replica, log = await stack.enter_async_context(opening)
    key = await asyncio.to_thread(home_key, settings.home)
    addresses = Addresses()

    def facts() -> HostFacts:
        trouble, remedy = trouble_of(replica, log)
        return HostFacts(
            host_id=host_id,
            name=name,
            version=__version__,
            schema=VERSION,
            devices=holding.here,
            position=replica.position,
            api=addresses.api,
            link=addresses.link,
            started_ms=started_ms,
            wall_ms=now_ms(),
            home=key,
            behind=max(log.last, replica.position) - replica.position,
            trouble=trouble,
            remedy=remedy,
        )

    holding = LinkHolding(LinkHolderTable(replica), host_id, lambda host: hosts.is_live(host))
    hosts = await stack.enter_async_context(Hosts.joined(connection, facts, host_id=host_id))
    await check_name(hosts, name, key)
    await check_begin_anew(hosts, key, IdentityTable(replica), settings.identity, settings.cluster.name)
    duties = await stack.enter_async_context(Duties.opened(connection, hosts, is_able=lambda: not replica.is_too_old))
    files, requests = ClusterFiles(connection), HostRequests(connection, host_id, hosts.is_live)
    cluster = HostCluster(host_id, connection, replica, log, hosts, duties, holding, files, requests, addresses)
    return replica, cluster
