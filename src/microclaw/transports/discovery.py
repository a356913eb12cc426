"""Finds what announces itself on the LAN (mDNS, RFC 6762 and 6763), and announces this host. Connects to nothing.

What is found comes from anybody on the network: it is bounded, and it is a hint for a person, never trusted.
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

from microclaw.auth.certificates import HostNames
from microclaw.errors import ConfigError

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf


SERVICE: Final = "_microclaw._tcp.local."
WYOMING_SERVICE: Final = "_wyoming._tcp.local."
ServiceKind: TypeAlias = Literal["host", "device", "wasmachine", "esphome", "xiaozhi", "mcp", "serial"]
# Who announces which: esphome.io/components/mdns; xiaozhi and MCP servers as their projects register themselves.
_KINDS: Final[Mapping[str, ServiceKind]] = {
    SERVICE: "host",  # or "device": its TXT record says the role
    "_esphomelib._tcp.local.": "esphome",
    "_xiaozhi._tcp.local.": "xiaozhi",
    "_mcp._tcp.local.": "mcp",
}
MAX_FOUND: Final = 256
MAX_FACTS: Final = 16
MAX_ADDRESSES: Final = 16
MAX_TEXT: Final = 255  # a TXT record's string (RFC 6763, 6.1)
_AT_ONCE: Final = 16
_log = logging.getLogger(__name__)


class DiscoveredService(Struct, frozen=True):
    """Somebody at an address. `facts` are its own words (a TXT record) or what a probe read."""

    kind: ServiceKind
    name: str
    address: str
    port: int
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Announcement(Struct, frozen=True):
    """One of this host's services as others see it: `facts` are its TXT record, `addresses` where it listens."""

    service: str
    name: str
    port: int
    facts: Mapping[str, str]
    addresses: tuple[str, ...]


def announcement_of(
    service: str, listening: str, port: int, names: HostNames, facts: Mapping[str, str]
) -> Announcement | None:
    """The announcement of a server that listens there; None on loopback, which no other machine can reach."""
    address = ipaddress.ip_address(listening)
    if address.is_loopback:
        return None
    if address.is_unspecified:
        reachable = names.addresses
    else:
        reachable = (address,)
    shown = tuple(str(each) for each in reachable if not each.is_loopback)[:MAX_ADDRESSES]
    return Announcement(service, names.names[0].removesuffix(".local"), port, facts, shown)


def link_facts(ca_sha256: str, version: str) -> Mapping[str, str]:
    """Of the link that devices connect to; they pin `ca_sha256`."""
    return {"role": "host", "link": "1", "path": "/link", "ca": ca_sha256, "version": version}


@asynccontextmanager
async def announced(
    announcement: Announcement,
    group: asyncio.TaskGroup,
    *,
    interfaces: Sequence[str] | None = None,
) -> AsyncIterator[None]:
    """Inside, the host is announced (a second later, after asking whether its name is free); leaving says goodbye.

    For a link that listens off loopback, or when a person asks for it. `interfaces` are addresses of this machine,
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
    """Whoever answers within `for_s` seconds, or until the one is there, by kind and name.

    ConfigError on a machine without multicast.
    """
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser

    names: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MAX_FOUND)
    found: dict[tuple[str, str], DiscoveredService] = {}
    done = asyncio.Event()

    def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:  # noqa: ARG001  zeroconf passes these by name
        if state_change is ServiceStateChange.Added and not names.full():
            names.put_nowait((service_type, name))

    async def resolve_each() -> None:
        while True:
            service, name = await names.get()
            each = await _resolved(zeroconf, service, name, for_s)
            if each is not None and len(found) < MAX_FOUND:
                found[service, name] = each
                if until is not None and until(each):
                    done.set()

    try:
        zeroconf = _open(interfaces)
    except OSError as exc:
        step = "check that a network is up, or probe one: microclaw device discover --subnet 192.168.1.0/24"
        raise ConfigError(f"cannot ask this network who is there: {exc.strerror or exc}", next_step=step) from exc
    try:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, list(_KINDS), handlers=[heard])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(resolve_each(), name=f"resolve {number}") for number in range(_AT_ONCE)]
            with suppress(TimeoutError):  # that is how asking ends
                async with asyncio.timeout(for_s):
                    await done.wait()
            for task in tasks:
                task.cancel()
        await browser.async_cancel()
    finally:
        await zeroconf.async_close()
    return sorted(found.values(), key=lambda each: (each.kind, each.name, each.address))


def _open(interfaces: Sequence[str] | None) -> AsyncZeroconf:
    from zeroconf import InterfaceChoice
    from zeroconf.asyncio import AsyncZeroconf

    for address in interfaces or ():  # zeroconf leaks a socket when one of them is not there
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.bind((address, 0))
    return AsyncZeroconf(interfaces=InterfaceChoice.All if interfaces is None else list(interfaces))


async def _register(zeroconf: AsyncZeroconf, announcement: Announcement) -> None:
    from zeroconf import Error
    from zeroconf.asyncio import AsyncServiceInfo

    label = announcement.name[:40]  # with the service's own labels at most 63 bytes each
    info = AsyncServiceInfo(
        announcement.service,
        f"{label}.{announcement.service}",
        port=announcement.port,
        parsed_addresses=list(announcement.addresses),
        server=f"{label}.local.",
        properties=dict(announcement.facts),
    )
    try:
        await (await zeroconf.async_register_service(info, allow_name_change=True))
    except (Error, OSError) as exc:
        _log.warning("the host is not announced on this network: %s", exc)


async def _resolved(zeroconf: AsyncZeroconf, service: str, name: str, for_s: float) -> DiscoveredService | None:
    """The service of this name; None for one that does not tell its address or breaks the rules of DNS."""
    from zeroconf import Error
    from zeroconf.asyncio import AsyncServiceInfo

    try:
        info = AsyncServiceInfo(service, name)
        answered = await info.async_request(zeroconf.zeroconf, for_s * 1000)
    except (Error, ValueError) as exc:
        _log.debug("not resolved: %s", exc)
        return None
    addresses = sorted(info.parsed_addresses(), key=lambda text: ":" in text)  # IPv4 first
    if not answered or not addresses or info.port is None:
        return None
    found = list(info.properties.items())[:MAX_FACTS]
    facts = MappingProxyType({_text(key): _text(value) for key, value in found})
    kind = _KINDS[service]
    if service == SERVICE and facts.get("role") == "device":
        kind = "device"
    return DiscoveredService(kind, name.removesuffix(f".{service}")[:MAX_TEXT], addresses[0], info.port, facts)


def _text(value: bytes | None) -> str:
    return (value or b"")[:MAX_TEXT].decode(errors="replace")
