"""Recognizes addresses of this machine and its network, and writes addresses. It looks up no names.

It is at the root because the configuration, the host, its client and the virtual board all use it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORTS: Final[Mapping[str, int]] = {
    "http": 80,
    "https": 443,
    "mqtt": 1883,
    "mqtts": 8883,
    "ws": 80,
    "wss": 443,
}
"""The port of an address that has none, by its scheme."""


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach the address: "localhost", 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_ipv4(text: str) -> bool:
    """Return True for an IPv4 address in its usual form; numbers with leading zeros are none."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def is_of_one_machine(endpoint: str) -> bool:
    """Return True if a device's address is a port of one machine, a virtual board, or a loopback address."""
    scheme, _, rest = endpoint.partition(":")
    if scheme in ("serial", "console") and not rest.startswith("tcp://"):
        return True
    return scheme == "virtual" or is_loopback(host_of(rest.rpartition("//")[2]))


def bracketed(host: str) -> str:
    """Return the host as it is written before a port: an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    if ":" in host:
        return f"[{host}]"
    return host


def host_of(place: str) -> str:
    """Return the host of HOST:PORT, an IPv6 address without its brackets."""
    return place.rpartition(":")[0].strip("[]")


def is_local(url: str | None) -> bool:
    """Return True if a URL is on this machine or network (a model server at home), out of a proxy's reach."""
    host = ""
    if url:
        host = (urlsplit(url).hostname or "").rstrip(".")
    address = ip_of(host)
    if address is not None:
        return address.is_private
    return bool(host) and ("." not in host or host.endswith((".localhost", ".local")))


def address_range(address: str) -> str:
    """Return the /24 of an IPv4 address or the /64 of an IPv6 address, which limits count as one machine.

    Text that is not an address is returned unchanged.
    """
    parsed = ip_of(address)
    if parsed is None:
        return address
    prefix = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network((parsed, prefix), strict=False))


def single_address(address: str) -> str:
    """Return the address of one machine: IPv4, also from its form in IPv6, or the /64 of an IPv6 host."""
    parsed = ip_of(address)
    if parsed is None:
        return address
    if parsed.version == 4:
        return str(parsed)
    return address_range(address)


def ip_of(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
