"""Decides to which addresses this host may connect, by purpose. It does not connect: outgoing.py does.

A name is looked up once, and the host connects to that address: a second look-up may give another one (DNS
rebinding). What counts as public is the allocated space of the IANA special-purpose registries (RFC 6890), by list,
as Python's own idea of `is_global` changed between versions.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from microclaw.errors import PermissionRefused, ToolFailed, ToolRetry

if TYPE_CHECKING:
    import ifaddr

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

RESOLVE_S: Final = 5.0
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NOT_PUBLIC: Final = tuple(map(ipaddress.ip_network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/3", "::/3", "2001::/23", "2001:db8::/32", "3fff::/20", "4000::/2", "8000::/1",
)))  # fmt: skip
"""Of IPv6 only 2000::/3 is allocated. 168.63.129.16 is an internal service of a cloud; 2001::/23
has Teredo, which contains an IPv4 address."""
_METADATA: Final = tuple(map(ipaddress.ip_network, (
    "169.254.0.0/16", "fe80::/10", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"
)))  # fmt: skip
"""Link-local addresses and metadata services of clouds: no setting may lead there."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Purpose(StrEnum):
    """The reason to connect out, which decides where this host may (docs/egress.md)."""

    # Code in the sandbox, after the allowlist.
    TASK = "task"
    # The address comes from others: a page, a model, a message.
    WEB = "web"
    # A file; redirects may lead away from the place that the code or a person named.
    DOWNLOAD = "download"
    # The owner named the host.
    CONFIGURED = "configured"


def is_public(address: Address) -> bool:
    """Return True if an address belongs to the public Internet, also if it is written as an IPv6 form of IPv4."""
    return not is_in(inner_address(address) or address, _NOT_PUBLIC)


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Return True if the address, or the IPv4 address that it leads to, is in one of the networks."""
    inner = inner_address(address)
    for network in networks:
        if address in network or (inner is not None and inner in network):
            return True
    return False


def inner_address(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, or None: mapped, NAT64 (RFC 6052), 6to4."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system knows for a name, in its order of preference. Blocking."""
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in rows))


def own_networks() -> tuple[Network, ...]:
    """Return the networks of this machine: with IPv6 the devices of a home have public addresses, too."""
    import ifaddr

    networks: list[Network] = []
    for adapter in ifaddr.get_adapters():
        for adapter_ip in adapter.ips:
            networks.append(_network_of(adapter_ip))
    return tuple(networks)


def _network_of(adapter_ip: ifaddr.IP) -> Network:
    """Return the network of one address of this machine."""
    # ifaddr gives IPv6 addresses as (address, flow info, scope).
    text = adapter_ip.ip[0] if isinstance(adapter_ip.ip, tuple) else adapter_ip.ip
    address = _without_zone(text)
    # A tunnel that takes all traffic has a very short prefix, and is not a neighbourhood.
    min_prefix = 8 if address.version == 4 else 32
    prefix = adapter_ip.network_prefix
    if prefix < min_prefix:
        prefix = address.max_prefixlen
    return ipaddress.ip_network(f"{address}/{prefix}", strict=False)


@dataclass(frozen=True)
class Egress:
    """The check before each connection: which addresses of a host a purpose may connect to.

    The fields are seams for tests, whose servers are on loopback only. `is_public` is the rule of all purposes except
    CONFIGURED.
    """

    resolve: Callable[[str, int], Sequence[str]] = system_resolve
    is_public: Callable[[Address], bool] = is_public
    own: Callable[[], Sequence[Network]] = own_networks

    async def addresses(self, purpose: Purpose, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host that this purpose may connect to; the caller connects to one of them.

        Raises PermissionRefused, ToolFailed if the name is not found, ToolRetry if `host` is not a host name.
        """
        try:
            async with asyncio.timeout(RESOLVE_S):
                return await asyncio.to_thread(self._addresses, purpose, host, port)
        except TimeoutError as exc:
            raise ToolFailed(f"the name {host} was not found within {RESOLVE_S:.0f} s") from exc

    def _addresses(self, purpose: Purpose, host: str, port: int) -> Sequence[str]:
        if not 0 < port < 1 << 16:
            raise ToolRetry(f"there is no port {port}")
        addresses = self._look_up(host, port)
        if not addresses:
            raise ToolFailed(f"there is no host named {host}", next_step="check the address")
        if purpose is Purpose.CONFIGURED:
            return _without_metadata(host, addresses)
        own = self.own()
        # Each address is checked: a name that also leads inside is not a public name.
        for address in addresses:
            is_own = is_in(address, own)
            if is_own or not self.is_public(address):
                reason = "in a network of this host" if is_own else "not public"
                text = f"{host} is at {address}, which is {reason}"
                raise PermissionRefused(text, next_step="name a host of the public Internet")
        return tuple(map(str, addresses))

    def _look_up(self, host: str, port: int) -> tuple[Address, ...]:
        """Return the addresses of a host, none if the name is not found. Raises ToolRetry."""
        literal = _literal(host)
        if literal is not None:
            return (literal,)
        try:
            return tuple(map(_without_zone, self.resolve(host, port)))
        except (OSError, UnicodeError):
            return ()


def _without_metadata(host: str, addresses: Sequence[Address]) -> list[str]:
    """Leave out link-local addresses, which names of a home often have. Raises PermissionRefused if none is left."""
    allowed = [str(address) for address in addresses if not is_in(address, _METADATA)]
    if allowed:
        return allowed
    raise PermissionRefused(
        f"{host} is at {addresses[0]}, which is link-local or a cloud's metadata",
        next_step="correct the address in the settings",
    )


def host_mistake(name: str) -> str | None:
    """Return why this name may not be in an allowlist, or None if it may."""
    try:
        host = name
        if not name.isascii():
            host = name.encode("idna").decode()
        if _literal(host) is not None:
            return "it is an address; only names are allowed"
    except (UnicodeError, ToolRetry):
        return "it is not a name, and an address is not allowed"
    if len(host) > 253 or not _HOST.fullmatch(host):
        return "a name has letters, digits, - and dots"
    return None


def _without_zone(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _literal(host: str) -> Address | None:
    """Return the address that `host` writes, or None for a name.

    Raises ToolRetry for a number in another form (2130706433, 0177.1, 0x7f.1): it is neither address nor name.
    """
    bare = host.rstrip(".")
    try:
        # A zone (%eth0) belongs to the networks of this machine.
        if "%" not in bare:
            return ipaddress.ip_address(bare)
    except ValueError:
        pass
    if ":" in bare or "%" in bare or _NUMBER.fullmatch(bare.rpartition(".")[2].lower()):
        raise ToolRetry(f"{host[:80]!r} is not a host name", next_step="write an IPv4 address as 1.2.3.4")
    return None
