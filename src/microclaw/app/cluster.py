"""One host of those that share a database: what it does with the others. A host that is alone imports nothing of it."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct, field

from microclaw import __version__
from microclaw.agent.turn.inbox import Inbox
from microclaw.clock import now_ms
from microclaw.devices.link.device_ownership import DeviceOwnership
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.other_hosts import OtherHosts
from microclaw.devices.registry.port_machine import PortMachine
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.remote_calls import DeviceCalls, OwnerOf, RemoteCalls
from microclaw.devices.registry.remote_ports import PortElsewhere
from microclaw.errors import StoreError, UnknownName
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.authority import BEGIN_ANEW_FILE, Authority
from microclaw.host.auth.pairing import HostIdentity, PairingRequest
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.cluster.hosts import Hosts
from microclaw.host.cluster.leader_tasks import Duties
from microclaw.host.cluster.live_events import LiveEvents
from microclaw.host.cluster.live_hosts import LeftWork
from microclaw.host.cluster.payload_rows import SharedFiles
from microclaw.host.cluster.questions import ClusterQuestions
from microclaw.host.cluster.requests import HostRequests
from microclaw.host.cluster.results import HostFacts
from microclaw.host.cluster.status import ClusterView
from microclaw.host.config.settings import Settings
from microclaw.host.store.database import Database
from microclaw.host.store.links import LinkHolderTable
from microclaw.host.store.postgres import SharedDatabase
from microclaw.host.store.schema import VERSION
from microclaw.host.store.sqlite_file import take_lock
from microclaw.interfaces.api.event_routes import LiveFeed
from microclaw.supervision import SupervisedTasks
from microclaw.text import host_called

CLEAR_EVERY_S: Final = 300.0
PAIR_S: Final = 20.0
UNCONNECTED: Final = "unconnected-devices"  # whoever has this duty looks after them
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # Linux: another at each start of the machine


class HostCluster(Struct, frozen=True):
    """A host's part of a cluster."""

    settings: Settings
    database: SharedDatabase
    index: Database
    hosts: Hosts
    duties: Duties
    holding: DeviceOwnership
    files: SharedFiles
    requests: HostRequests
    addresses: dict[str, str | None]  # "api", "link" and "calls", told to the others once they are known
    counts: Counter[str] = field(default_factory=Counter)  # of cluster.status.COUNTS

    @property
    def host_id(self) -> str:
        """Another at each start."""
        return self.hosts.host_id

    @property
    def name(self) -> str:
        """This host's, the same at each start."""
        return host_called(self.host_id)

    @property
    def origin(self) -> str:
        """The same for all hosts of a database."""
        return hashlib.sha256(urlsplit(self.database.url).path.encode()).hexdigest()[:8]

    def join_builder(self, host: HostBuilder) -> None:
        """Let rooms keep this host's own index, and share work, files and the clock with the other hosts."""
        host.index = self.index
        host.fleet = self.hosts
        host.now_ms = self.hosts.now_ms
        host.shared_files = self.files
        host.duty = self._hold_duty

    def _hold_duty(self, name: str, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        return lambda: self.duties.hold(name, lambda _fence: work())

    def ended_names(self) -> list[str]:
        """Return the names of the hosts that have ended."""
        return [host.facts.name for host in self.hosts.ended()]

    @property
    def view(self) -> ClusterView:
        """The values of `status --cluster` and /metrics."""
        return ClusterView(self.database, self.hosts, self.duties, self.counts)

    def start_work(
        self, tasks: SupervisedTasks, left_work: Mapping[str, Callable[[], Awaitable[object]]], *, after: asyncio.Event
    ) -> None:
        """Take up what dead hosts left, part by part, and maybe look after the devices that are connected nowhere."""
        waiting = partial(self.duties.hold, UNCONNECTED, lambda _fence: asyncio.Event().wait())

        async def clear_holders() -> None:
            if UNCONNECTED in self.duties.here:
                await self.holding.clear_gone()

        tasks.start("what dead hosts left", LeftWork(self.hosts, left_work).run, after=after)
        tasks.start("devices without a connection", waiting)
        tasks.start("rows of hosts that are gone", clear_holders, every_s=CLEAR_EVERY_S, after=after)

    def looks_after(self, registry: Registry) -> Callable[[str], bool]:
        """Return a function that returns True for the id of a device that this host keeps as it should be.

        These are the devices that are connected here. Of those that are connected nowhere, they are the ones on a port
        of this machine; of the others all, or none.
        """

        def is_ours(device_id: str) -> bool:
            try:
                device = registry.get(device_id)
            except UnknownName:
                return UNCONNECTED in self.duties.here
            places = {self.holding.place_of(link_id) for link_id in device.link_ids} - {None}
            if places:
                return self.host_id in places
            if device.host is None:
                return UNCONNECTED in self.duties.here
            return device.host == self.name

        return is_ours

    def remote_devices(self, owner_of: OwnerOf) -> tuple[RemoteCalls, PortMachine]:
        """Return the calls to devices at other hosts, and the places of ports."""
        remote = RemoteCalls(self.requests, owner_of)
        return remote, PortMachine(self.name, lambda port, host: PortElsewhere(port, host, remote, self.hosts.find_id))

    async def join(
        self, authority: Authority, admission: Admission, inbox: Inbox, stack: AsyncExitStack
    ) -> ClusterQuestions:
        """From then on this host asks the others, and answers them: they know each other by the authority.

        Gives the questions for approval of all hosts.
        """

        async def stop_here(chat: tuple[str, str]) -> AsyncGenerator[object, None]:
            yield inbox.cancel(*chat)

        async def stop(channel: str, chat_id: str) -> bool:
            answers, _silent = await self.requests.ask_all("stop", (channel, chat_id), bool)
            return any(stopped for _host, stopped in answers)

        self.requests.answer("stop", tuple[str, str], stop_here)
        inbox.stop_elsewhere = stop
        questions = ClusterQuestions(self.requests, admission.approvals, admission.people)
        address, _, port = (self.settings.cluster.address or f"{self.database.own_address}:0").rpartition(":")
        serving = self.requests.serving(authority.pair, address.strip("[]"), int(port), self.settings.identity)
        self.addresses["calls"] = await stack.enter_async_context(serving)
        return questions

    async def share(self, live: LiveFeed, stack: AsyncExitStack) -> None:
        """Send this host's events to the other hosts, and theirs into the feed."""
        events = LiveEvents(self.requests, self.hosts, partial(live.put, is_own=False), self.counts)
        live.listen(lambda event, is_own: events.share(event) if is_own else None)
        await stack.enter_async_context(events.serving())

    def follow(self, registry: Registry, links: LinkRegistry, tasks: SupervisedTasks) -> None:
        """Follow what other hosts write about devices' links, and let them ask this host's devices."""

        def dead() -> list[tuple[str, int]]:
            now = self.hosts.now_ms()
            return [(one.host_id, now - round(one.seen_s * 1000)) for one in self.hosts.ended() if one.ended == "gone"]

        others = OtherHosts(links, self.holding, dead)
        self.holding.replaced = links.replaced
        self.database.listen(others.changed)
        self.hosts.listen(others.hosts_changed)
        DeviceCalls(self.requests, registry.owner_of, self.counts)
        tasks.start("follow the other hosts of the cluster", others.run)

    def share_codes(self, identity: HostIdentity) -> None:
        """Codes that devices show at this host are good at the others, and theirs here, while `requests` are served.

        The host that the device reached alone pairs it.
        """

        async def pair_here(asked: tuple[bytes, PairingRequest]) -> AsyncGenerator[object, None]:
            yield await identity.pair_shown(*asked)

        async def pair_there(host: str, digest: bytes, wish: PairingRequest) -> str | None:
            return await self.requests.ask_first(host, "pair", (digest, wish), str, PAIR_S)

        self.requests.answer("pair", tuple[bytes, PairingRequest], pair_here)
        identity.ask_host = pair_there


async def open_cluster(settings: Settings, url: str, stack: AsyncExitStack) -> HostCluster:
    """Be one of the hosts of the database at `url`, as long as `stack`. ConfigError when that cannot be, StoreError."""
    stack.enter_context(await asyncio.to_thread(take_lock, settings.database))
    name = settings.cluster.host_name
    started_ms = now_ms()
    addresses: dict[str, str | None] = dict.fromkeys(("api", "link", "calls"))
    host_id = f"{name}-{secrets.token_hex(2)}"
    database = await stack.enter_async_context(SharedDatabase.opened(url, host_id))
    index = await stack.enter_async_context(Database.open(settings.cluster_index))

    def facts() -> HostFacts:
        return HostFacts(
            name=name,
            version=__version__,
            schema=VERSION,
            devices=holding.here,
            started_ms=started_ms,
            wall_ms=now_ms(),
            **addresses,
        )

    holding = DeviceOwnership(LinkHolderTable(database), host_id, lambda host: hosts.is_live(host))
    key = await asyncio.to_thread(home_key, settings.home)
    hosts = await stack.enter_async_context(Hosts.join(database, facts, host_id=host_id, home=key))
    path = settings.identity / BEGIN_ANEW_FILE
    running = sorted(hosts.live[one].name for one in hosts.others())
    is_given_up = await asyncio.to_thread(path.exists)
    if running and is_given_up:
        raise StoreError(
            f"{path} would end the authority of all hosts of this database, and these run: {', '.join(running)}",
            next_step=f"remove that file, and copy identity/authority.pem of another host to {path.parent} (mode 600); "
            "or stop all other hosts, and start this one",
        )
    duties = Duties(database, hosts)
    files = SharedFiles(database)
    return HostCluster(settings, database, index, hosts, duties, holding, files, HostRequests(hosts), addresses)


def home_key(home: Path) -> str:
    """Return a key of a folder, the same until its machine starts again. A host that has its lock is alone there."""
    if _BOOT_ID.exists():
        machine = _BOOT_ID.read_text().strip()
    else:
        machine = platform.node()
    folder = home.stat()
    return hashlib.sha256(f"{machine} {folder.st_dev} {folder.st_ino}".encode()).hexdigest()[:16]
