"""Judges the addresses that this host may connect to, by purpose. It connects to nothing.

A name is looked up once and the caller connects to that very address: a second look-up may say something else (DNS
rebinding). What counts as public is the allocated space of the IANA special-purpose registries (RFC 6890), by list,
as Python's own idea of `is_global` changed between versions.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

from msgspec import Struct

from microclaw.addresses import bracketed
from microclaw.errors import PermissionRefused, ToolFailed, ToolRetry

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Refusal: TypeAlias = Callable[[Address], str | None]

RESOLVE_S: Final = 5.0
MAX_URL_CHARS: Final = 2048
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SAFE: Final = "/%:@!$&'()*+,;=~-._"

_NOT_PUBLIC_4: Final = {
    ipaddress.IPv4Network(network): why
    for network, why in (
        ("0.0.0.0/8", "this host itself"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a provider's inner network"),
        ("127.0.0.0/8", "this host itself"),
        ("168.63.129.16/32", "a cloud's inner service"),
        ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "a protocol's own"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a relay's"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
}
_PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = {
    ipaddress.IPv6Network(network): why
    for network, why in (
        ("2001::/23", "a protocol's own"),  # Teredo among them, which holds an IPv4 address
        ("2001:db8::/32", "for documentation"),
        ("3fff::/20", "for documentation"),
    )
}
_METADATA: Final[tuple[Network, ...]] = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            "fd00:ec2::254/128",
            "168.63.129.16/32",
            "100.100.100.200/32",
            "192.0.0.192/32",
        ),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4: Final = ipaddress.IPv6Network("2002::/16")


class Purpose(StrEnum):
    """Why this host connects out, which decides where it may (docs/egress.md)."""

    TASK = "task"  # code in the sandbox, after the allowlist
    WEB = "web"  # somebody else named the address
    DOWNLOAD = "download"  # a file, away from the place that the code or a person named
    CONFIGURED = "configured"  # the owner named the host


class Destination(Struct, frozen=True):
    """The destination of a URL: connect to `address`, name `host` in TLS and in the Host header."""

    scheme: str
    host: str
    port: int
    address: str
    target: str

    @property
    def url(self) -> str:
        """As a person reads it."""
        return f"{self.scheme}://{self.host_header}{self.target}"

    @property
    def pinned_url(self) -> str:
        """With the address in the name's place."""
        return f"{self.scheme}://{bracketed(self.address)}:{self.port}{self.target}"

    @property
    def host_header(self) -> str:
        name = bracketed(self.host)
        return name if self.port == DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"


def why_not_public(address: Address) -> str | None:
    """Why this address is not for the public Internet; None when it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for network, why in _NOT_PUBLIC_4.items() if address in network), None)
    inner = inner_address(address)
    if inner is not None:
        return why_not_public(inner)
    if address not in _PUBLIC_6:
        return "not of the public Internet"
    return next((why for network, why in _NOT_PUBLIC_6.items() if address in network), None)


def why_not_configured(address: Address) -> str | None:
    """Why no setting may lead to this address; None when one may."""
    return "link-local, or where clouds keep their metadata" if is_in(address, _METADATA) else None


def inner_address(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, NAT64 (RFC 6052), 6to4."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _6TO4:
        return address.sixtofour
    return None


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, as the system knows them, in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def system_resolve_now(host: str, port: int) -> Sequence[str]:
    """The same, blocking."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def own_networks() -> tuple[Network, ...]:
    """The networks that this machine stands in: with IPv6 a home's devices have public addresses, too."""
    import ifaddr

    found: list[Network] = []
    for adapter in ifaddr.get_adapters():
        for known in adapter.ips:
            text = known.ip[0] if isinstance(known.ip, tuple) else known.ip
            address = without_zone(text)
            least = 8 if address.version == 4 else 32  # a tunnel that takes everything is no neighbourhood
            length = known.network_prefix if known.network_prefix >= least else address.max_prefixlen
            found.append(ipaddress.ip_network(f"{address}/{length}", strict=False))
    return tuple(found)


class Egress:
    """Asked with a purpose and a host before anything connects out: which addresses may be connected to.

    `resolve`, `resolve_now`, `why_not` (of purposes that have public addresses alone) and `own` are seams for tests,
    which have servers on loopback alone.
    """

    def __init__(
        self,
        *,
        resolve: Resolve = system_resolve,
        resolve_now: Callable[[str, int], Sequence[str]] = system_resolve_now,
        why_not: Refusal = why_not_public,
        own: Callable[[], Sequence[Network]] = own_networks,
    ) -> None:
        self._resolve = resolve
        self._resolve_now = resolve_now
        self._why_not = why_not
        self._own = own

    async def destination(self, url: str) -> Destination:
        """Look a URL's host up once. Raises ToolRetry for what is no URL, PermissionRefused for a private address."""
        scheme, host, port, target = _parts(url)
        addresses = await self.addresses(Purpose.WEB, host, port)
        return Destination(scheme, host, port, addresses[0], target)

    async def addresses(self, purpose: Purpose, host: str, port: int) -> Sequence[str]:
        """The addresses of a host that may be connected to for this purpose: connect to one of these.

        Raises PermissionRefused, ToolFailed where the name is not found, ToolRetry for what is no host's name.
        """
        literal = _literal(host)
        if literal is not None:
            found: Sequence[Address] = (literal,)
        else:
            try:
                async with asyncio.timeout(RESOLVE_S):
                    found = tuple(map(without_zone, await self._resolve(host, port)))
            except TimeoutError as exc:
                raise ToolFailed(f"the name {host} was not found within {RESOLVE_S:.0f} s") from exc
            except (OSError, UnicodeError) as exc:
                raise _unknown(host) from exc
        own = () if purpose is Purpose.CONFIGURED else await asyncio.to_thread(self._own)
        return self._judged(purpose, host, found, own)

    def addresses_now(self, purpose: Purpose, host: str, port: int) -> Sequence[str]:
        """As `addresses`, blocking, for as long as the system looks a name up."""
        literal = _literal(host)
        try:
            found = (literal,) if literal is not None else tuple(map(without_zone, self._resolve_now(host, port)))
        except (OSError, UnicodeError) as exc:
            raise _unknown(host) from exc
        return self._judged(purpose, host, found, () if purpose is Purpose.CONFIGURED else self._own())

    def _judged(
        self, purpose: Purpose, host: str, addresses: Sequence[Address], own: Sequence[Network]
    ) -> Sequence[str]:
        if not addresses:
            raise _unknown(host)
        if purpose is Purpose.CONFIGURED:
            good = [address for address in addresses if why_not_configured(address) is None]
            if not good:  # a name of this network often has a link-local address too: that one is left out
                raise PermissionRefused(
                    f"{host} is at {addresses[0]}, {why_not_configured(addresses[0])}: no setting may lead there",
                    next_step="correct the address in the settings",
                )
            return tuple(map(str, good))
        for address in addresses:  # all of them: a name that also leads inside is no public name
            why = self._why_not(address) or ("a network of this host" if is_in(address, own) else None)
            if why is not None:
                raise PermissionRefused(
                    f"{host} is at {address}, {why}: this host asks public addresses alone",
                    next_step="name a host of the public Internet",
                )
        return tuple(map(str, addresses))


def _unknown(host: str) -> ToolFailed:
    return ToolFailed(f"there is no host named {host}", next_step="check the address")


def host_mistake(name: str) -> str | None:
    """Why this is no name that may stand in an allowlist; None when it is one."""
    try:
        host = name if name.isascii() else name.encode("idna").decode()
        if _literal(host) is not None:
            return "it is an address; names alone are allowed"
    except (UnicodeError, ToolRetry):
        return "it is neither a name nor may it be an address"
    if len(host) > 253 or not _HOST.fullmatch(host):
        return "a name has letters, digits, - and dots"
    return None


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """True if it, or the IPv4 address that it leads to, is in one of the networks."""
    inner = inner_address(address) if isinstance(address, ipaddress.IPv6Address) else None
    return any(each in network for each in (address, inner) if each is not None for network in networks)


def without_zone(text: str) -> Address:
    """The address that a resolver or a socket names. ValueError."""
    return ipaddress.ip_address(text.partition("%")[0])


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, path with query."""
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url or "\\" in url:
        raise ToolRetry(f"{url[:80]!r} is no address of a page", next_step="give a plain http:// or https:// URL")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
    except (ValueError, UnicodeError) as exc:
        raise ToolRetry(f"{url[:80]!r} is no address of a page: {exc}") from exc
    if parts.scheme not in DEFAULT_PORTS:
        raise ToolRetry(f"{parts.scheme or 'no scheme'!r}: only http and https are fetched")
    if parts.username is not None or parts.password is not None:
        raise ToolRetry("an address with a user name is not fetched", next_step="leave out what stands before @")
    if port == 0 or (":" not in host and not _HOST.fullmatch(host.lower())) or len(host) > 253:
        raise ToolRetry(f"{host[:80]!r} is no host's name")
    path, query = quote(parts.path or "/", safe=_SAFE), quote(parts.query, safe=_SAFE + "?[]")
    return parts.scheme, host.lower(), port or DEFAULT_PORTS[parts.scheme], f"{path}?{query}" if query else path


def _literal(host: str) -> Address | None:
    """The address that `host` is. A number in another form (2130706433, 0177.1, 0x7f.1) is neither address nor name."""
    bare = host.rstrip(".")
    try:
        if "%" not in bare:  # a zone belongs to this machine's networks
            return ipaddress.ip_address(bare)
        raise ValueError(bare)
    except ValueError as exc:
        if ":" in bare or "%" in bare or _NUMBER.fullmatch(bare.rpartition(".")[2]):
            raise ToolRetry(f"{host[:80]!r} is no host's name", next_step="write an IPv4 address as 1.2.3.4") from exc
    return None
