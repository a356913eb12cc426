"""Judges the addresses that this host may connect to, by purpose. It connects to nothing: outgoing.py does.

A name is looked up once, and that very address is connected to: a second look-up may say something else (DNS
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
from typing import Final, TypeAlias

from microclaw.errors import PermissionRefused, ToolFailed, ToolRetry

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
"""Of IPv6 2000::/3 is given away and no more. 168.63.129.16 is a cloud's inner service; 2001::/23 has Teredo, which
holds an IPv4 address."""
_METADATA: Final = tuple(map(ipaddress.ip_network, (
    "169.254.0.0/16", "fe80::/10", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"
)))  # fmt: skip
"""Link-local, or where clouds keep their metadata: no setting may lead there."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Purpose(StrEnum):
    """The reason to connect out, which decides where this host may (docs/egress.md)."""

    TASK = "task"  # code in the sandbox, after the allowlist
    WEB = "web"  # somebody else named the address
    DOWNLOAD = "download"  # a file, away from the place that the code or a person named
    CONFIGURED = "configured"  # the owner named the host


def is_public(address: Address) -> bool:
    """True if it is of the public Internet, in whatever form it is written."""
    return not is_in(inner_address(address) or address, _NOT_PUBLIC)


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """True if it, or the IPv4 address that it leads to, is in one of the networks."""
    inner = inner_address(address)
    return any(each in network for each in (address, inner) if each is not None for network in networks)


def inner_address(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, NAT64 (RFC 6052), 6to4."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, as the system knows them, in its order of preference. Blocking."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def own_networks() -> tuple[Network, ...]:
    """The networks that this machine stands in: with IPv6 a home's devices have public addresses, too."""
    import ifaddr

    found: list[Network] = []
    for known in (ip for adapter in ifaddr.get_adapters() for ip in adapter.ips):
        address = _without_zone(known.ip[0] if isinstance(known.ip, tuple) else known.ip)
        least = 8 if address.version == 4 else 32  # a tunnel that takes everything is no neighbourhood
        length = known.network_prefix if known.network_prefix >= least else address.max_prefixlen
        found.append(ipaddress.ip_network(f"{address}/{length}", strict=False))
    return tuple(found)


@dataclass(frozen=True)
class Egress:
    """Asked with a purpose and a host before anything connects out: which addresses may be connected to.

    The parts are seams for tests, which have servers on loopback alone; `is_public` is the rule of all purposes but
    CONFIGURED.
    """

    resolve: Callable[[str, int], Sequence[str]] = system_resolve
    is_public: Callable[[Address], bool] = is_public
    own: Callable[[], Sequence[Network]] = own_networks

    async def addresses(self, purpose: Purpose, host: str, port: int) -> Sequence[str]:
        """The addresses of a host that may be connected to for this purpose: connect to one of these.

        Raises PermissionRefused, ToolFailed where the name is not found, ToolRetry for what is no host's name.
        """
        try:
            async with asyncio.timeout(RESOLVE_S):
                return await asyncio.to_thread(self._addresses, purpose, host, port)
        except TimeoutError as exc:
            raise ToolFailed(f"the name {host} was not found within {RESOLVE_S:.0f} s") from exc

    def _addresses(self, purpose: Purpose, host: str, port: int) -> Sequence[str]:
        if not 0 < port < 1 << 16:
            raise ToolRetry(f"there is no port {port}")
        literal = _literal(host)
        try:
            found = (literal,) if literal else tuple(map(_without_zone, self.resolve(host, port)))
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise ToolFailed(f"there is no host named {host}", next_step="check the address")
        if purpose is Purpose.CONFIGURED:  # a name of this network often has a link-local address too: left out
            good = [str(address) for address in found if not is_in(address, _METADATA)]
            if good:
                return good
            raise PermissionRefused(
                f"{host} is at {found[0]}, which is link-local or a cloud's metadata",
                next_step="correct the address in the settings",
            )
        own = self.own()
        for address in found:  # all of them: a name that also leads inside is no public name
            is_own = is_in(address, own)
            if is_own or not self.is_public(address):
                what = "in a network of this host" if is_own else "not public"
                text = f"{host} is at {address}, which is {what}"
                raise PermissionRefused(text, next_step="name a host of the public Internet")
        return tuple(map(str, found))


def host_mistake(name: str) -> str | None:
    """The reason why this name may not stand in an allowlist; None when it may."""
    try:
        if name.isascii():
            host = name
        else:
            host = name.encode("idna").decode()
        if _literal(host) is not None:
            return "it is an address; names alone are allowed"
    except (UnicodeError, ToolRetry):
        return "it is neither a name nor may it be an address"
    if len(host) > 253 or not _HOST.fullmatch(host):
        return "a name has letters, digits, - and dots"
    return None


def _without_zone(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _literal(host: str) -> Address | None:
    """The address that `host` is. A number in another form (2130706433, 0177.1, 0x7f.1) is neither address nor name."""
    bare = host.rstrip(".")
    try:
        if "%" not in bare:  # a zone belongs to this machine's networks
            return ipaddress.ip_address(bare)
    except ValueError:
        pass
    if ":" in bare or "%" in bare or _NUMBER.fullmatch(bare.rpartition(".")[2].lower()):
        raise ToolRetry(f"{host[:80]!r} is no host's name", next_step="write an IPv4 address as 1.2.3.4")
    return None
