"""Tells an address of this machine or its network, lists those one machine can have, and writes them.

It looks up no name, and stands at the root: the configuration, the host, its client and the virtual board all ask.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """True if nobody but this machine can reach what listens there: "localhost", 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_of_one_machine(endpoint: str) -> bool:
    """True if a device's address is a port of one machine, a virtual board, or a loopback address."""
    scheme, _, rest = endpoint.partition(":")
    if scheme in ("serial", "console") and not rest.startswith("tcp://"):
        return True
    return scheme == "virtual" or is_loopback(host_of(rest.rpartition("//")[2]))


def bracketed(host: str) -> str:
    """The host as it stands before a port: an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    if ":" in host:
        return f"[{host}]"
    return host


def host_of(place: str) -> str:
    """The host of HOST:PORT, an IPv6 address without its brackets."""
    return place.rpartition(":")[0].strip("[]")


def is_local(url: str | None) -> bool:
    """True if an address is on this machine or network (a model server at home), where a proxy outside has no way."""
    if url:
        host = (urlsplit(url).hostname or "").rstrip(".")
    else:
        host = ""
    address = ip_of(host)
    if address is not None:
        return address.is_private
    return bool(host) and ("." not in host or host.endswith((".localhost", ".local")))


def address_range(address: str) -> str:
    """The /24 of an IPv4 address or the /64 of an IPv6 one, as limits count: one machine can take any address in it.

    Text that is no address counts as itself.
    """
    parsed = ip_of(address)
    if parsed is None:
        return address
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 64), strict=False))


def single_address(address: str) -> str:
    """One machine's address: IPv4 (also where it is mapped into IPv6), or the /64 that one IPv6 host has to itself."""
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
