"""The addresses that no device may have because this host has them itself."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from microclaw.api.parts import HostParts
from microclaw.auth.certificates import HostNames, lan_names
from microclaw.errors import ConfigError
from microclaw.transports.address import HostPort
from microclaw.transports.open import tcp_address


async def refuse_own(parts: HostParts, transports: Iterable[str]) -> None:
    """ConfigError for an address at which this host itself listens, or of everybody on one of its networks."""
    wanted = [address for address in map(tcp_address, transports) if address is not None]
    if not wanted:
        return
    names, (networks, own) = await asyncio.to_thread(_here)
    listening = list(_listening(parts))
    for address in wanted:
        if address.host in networks:
            raise ConfigError(
                f"{address.host} is the broadcast address of a network here: no board has it", next_step=_STEP
            )
        if any(_is_same(address, other, names, own) for other in listening):
            raise ConfigError(f"{address} is this host's own port: no board is there", next_step=_STEP)


_STEP = "which address has the board? microclaw device discover --subnet 192.168.1.0/24"


def _here() -> tuple[HostNames, tuple[frozenset[str], frozenset[str]]]:
    """This machine's names, the broadcast addresses of its networks, and its own addresses."""
    import ifaddr

    found = [ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if isinstance(ip.ip, str)]
    networks = [ipaddress.ip_network((str(ip.ip), ip.network_prefix), strict=False) for ip in found]
    everybody = frozenset(str(network.broadcast_address) for network in networks if network.prefixlen < 31)
    return lan_names(), (everybody, frozenset(str(ip.ip) for ip in found))


def _listening(host: HostParts) -> Iterator[HostPort]:
    """Where this host listens: its API, link, chat gateway, xiaozhi's page and Wyoming's port."""
    link = None if host.link is None else host.link.address
    for text in (host.http, link, host.channels.gateway, host.voice.ota, host.voice.wyoming):
        parts = urlsplit(text if "://" in text else f"//{text}") if text else None
        if parts is not None and parts.hostname is not None and parts.port is not None:
            yield HostPort(parts.hostname, parts.port)


def _is_same(address: HostPort, listening: HostPort, names: HostNames, own: frozenset[str]) -> bool:
    """Whether a connection to the address ends at the listener, as far as it shows without looking a name up."""
    if address.port != listening.port:
        return False
    wanted, there = _parsed(address.host), _parsed(listening.host)
    if there is None or there.is_unspecified or (wanted is None and there.is_loopback):
        is_here = address.host in own or address.host.lower().rstrip(".") in names.names
        return is_here or (wanted is not None and (wanted.is_loopback or wanted in names.addresses))
    return wanted == there or (wanted is not None and wanted.is_loopback and there.is_loopback)


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
