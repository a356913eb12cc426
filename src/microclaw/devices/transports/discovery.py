"""Finds services that announce themselves on the LAN (mDNS, RFC 6762 and 6763), and announces this host.

Connects to nothing. Any machine on the network can announce anything, so the results are bounded, and only a hint for a
person.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct, field

from microclaw.errors import ConfigError
from microclaw.host.auth.certificates import HostNames

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncZeroconf


SERVICE: Final = "_microclaw._tcp.local."
WYOMING_SERVICE: Final = "_wyoming._tcp.local."
ServiceKind: TypeAlias = Literal["host", "device", "wasmachine", "esphome", "xiaozhi", "mcp", "serial"]
# The sources: esphome.io/components/mdns; xiaozhi's and MCP servers' own projects. The TXT record of SERVICE may say
# the role "device" instead.
_KINDS: Final[Mapping[str, ServiceKind]] = {
    SERVICE: "host",
    "_esphomelib._tcp.local.": "esphome",
    "_xiaozhi._tcp.local.": "xiaozhi",
    "_mcp._tcp.local.": "mcp",
}
MAX_FOUND: Final = 256
MAX_FACTS: Final = 16
MAX_ADDRESSES: Final = 16
# The longest string of a TXT record.
MAX_TEXT: Final = 255  # RFC 6763, 6.1
_AT_ONCE: Final = 16
_log = logging.getLogger(__name__)


class DiscoveredService(Struct, frozen=True):
    """A service at an address. `facts` are its own claims (a TXT record) or the result of a probe."""

    kind: ServiceKind
    name: str
    address: str
    port: int
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Announcement(Struct, frozen=True):
    """The announcement of one of this host's services: `facts` are its TXT record, it listens at `addresses`."""

    service: str
    name: str
    port: int
    facts: Mapping[str, str]
    addresses: tuple[str, ...]


def announcement_of(
    service: str, listening: str, port: int, names: HostNames, facts: Mapping[str, str]
) -> Announcement | None:
    """Describe a server that listens at an address. Returns None on loopback, which no other machine can reach."""
    address = ipaddress.ip_address(listening)
    if address.is_loopback:
        return None
    if address.is_unspecified:
        reachable = names.addresses
    else:
        reachable = (address,)
    addresses = tuple(str(own_address) for own_address in reachable if not own_address.is_loopback)
    name = names.names[0].removesuffix(".local")
    return Announcement(service, name, port, facts, addresses[:MAX_ADDRESSES])


def link_facts(ca_sha256: str, version: str) -> Mapping[str, str]:
    """Return the TXT record of the link that devices connect to. They pin `ca_sha256`."""
    return {"role": "host", "link": "1", "path": "/link", "ca": ca_sha256, "version": version}


@asynccontextmanager
async def announce(
    announcement: Announcement,
    group: asyncio.TaskGroup,
    *,
    interfaces: Sequence[str] | None = None,
) -> AsyncIterator[None]:
    """Announce the host inside, after a second in which it asks if its name is free, and withdraw it at the end.

    It is for a link that listens off loopback, or if a person asks for it. `interfaces` are addresses of this machine,
    None for all. A network without multicast is a warning, not an error.
    """
    try:
        zeroconf = _open(interfaces)
    except OSError as exc:
        _log.warning("the host is not announced on this network: %s", exc)
        yield
        return
    registering = group.create_task(_register(zeroconf, announcement), name="announce the host")
    try:
        yield
    finally:
        registering.cancel()
        await asyncio.wait([registering])
        await zeroconf.async_close()


async def browse(
    for_s: float, *, interfaces: Sequence[str] | None = None, until: Callable[[DiscoveredService], bool] | None = None
) -> list[DiscoveredService]:
    """List the services that answer within `for_s` seconds, or before `until` returns True, by kind and name.

    Raises ConfigError on a machine without multicast.
    """
    try:
        zeroconf = _open(interfaces)
    except OSError as exc:
        step = "check that a network is up, or probe one: microclaw device discover --subnet 192.168.1.0/24"
        raise ConfigError(f"cannot search this network: {exc.strerror or exc}", next_step=step) from exc
    search = _Search(zeroconf, for_s, until)
    try:
        await search.run()
    finally:
        await zeroconf.async_close()
    return sorted(search.services.values(), key=lambda service: (service.kind, service.name, service.address))


class _Search:
    """A search for services under way; `services` has its results by service type and name."""

    def __init__(
        self, zeroconf: AsyncZeroconf, for_s: float, until: Callable[[DiscoveredService], bool] | None
    ) -> None:
        self.services: dict[tuple[str, str], DiscoveredService] = {}
        self._zeroconf = zeroconf
        self._for_s = for_s
        self._until = until
        self._names: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MAX_FOUND)
        self._done = asyncio.Event()

    async def run(self) -> None:
        from zeroconf.asyncio import AsyncServiceBrowser

        browser = AsyncServiceBrowser(self._zeroconf.zeroconf, list(_KINDS), handlers=[self._add_name])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._resolve_names(), name=f"resolve {number}") for number in range(_AT_ONCE)]
            # A search without `until` always ends by its time-out.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._for_s):
                    await self._done.wait()
            for task in tasks:
                task.cancel()
        await browser.async_cancel()

    def _add_name(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:  # noqa: ARG002  zeroconf passes these by name
        from zeroconf import ServiceStateChange

        if state_change is ServiceStateChange.Added and not self._names.full():
            self._names.put_nowait((service_type, name))

    async def _resolve_names(self) -> None:
        while True:
            service_type, name = await self._names.get()
            service = await _resolve(self._zeroconf, service_type, name, self._for_s)
            if service is not None and len(self.services) < MAX_FOUND:
                self.services[service_type, name] = service
                if self._until is not None and self._until(service):
                    self._done.set()


def _open(interfaces: Sequence[str] | None) -> AsyncZeroconf:
    from zeroconf import InterfaceChoice
    from zeroconf.asyncio import AsyncZeroconf

    if interfaces is None:
        return AsyncZeroconf(interfaces=InterfaceChoice.All)
    # zeroconf leaks a socket if one of the interfaces does not exist, so each is tried first.
    for address in interfaces:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((address, 0))
    return AsyncZeroconf(interfaces=list(interfaces))


async def _register(zeroconf: AsyncZeroconf, announcement: Announcement) -> None:
    from zeroconf import Error
    from zeroconf.asyncio import AsyncServiceInfo

    # A DNS label has at most 63 bytes, and zeroconf may append a number.
    label = announcement.name[:40]
    info = AsyncServiceInfo(
        announcement.service,
        f"{label}.{announcement.service}",
        port=announcement.port,
        parsed_addresses=list(announcement.addresses),
        server=f"{label}.local.",
        properties=dict(announcement.facts),
    )
    try:
        registration = await zeroconf.async_register_service(info, allow_name_change=True)
        await registration
    except (Error, OSError) as exc:
        _log.warning("the host is not announced on this network: %s", exc)


async def _resolve(zeroconf: AsyncZeroconf, service: str, name: str, for_s: float) -> DiscoveredService | None:
    """Resolve the service of this name. Returns None if it gives no address, or breaks the rules of DNS."""
    from zeroconf import Error
    from zeroconf.asyncio import AsyncServiceInfo

    try:
        info = AsyncServiceInfo(service, name)
        has_answered = await info.async_request(zeroconf.zeroconf, for_s * 1000)
    except (Error, ValueError) as exc:
        _log.debug("not resolved: %s", exc)
        return None
    # IPv4 first.
    addresses = sorted(info.parsed_addresses(), key=lambda text: ":" in text)
    if not has_answered or not addresses or info.port is None:
        return None
    properties = list(info.properties.items())[:MAX_FACTS]
    facts = MappingProxyType({_text(key): _text(value) for key, value in properties})
    kind = _KINDS[service]
    if service == SERVICE and facts.get("role") == "device":
        kind = "device"
    return DiscoveredService(kind, name.removesuffix(f".{service}")[:MAX_TEXT], addresses[0], info.port, facts)


def _text(value: bytes | None) -> str:
    return (value or b"")[:MAX_TEXT].decode(errors="replace")
