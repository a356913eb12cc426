"""Under which names and addresses devices on the LAN reach this host. Asks the system; asks no name server."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final, TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# In every server certificate: a device that knows the host by a changing address verifies this name instead.
CONSTANT_NAME: Final = "host.microclaw.internal"
MAX_ADDRESSES: Final = 64
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True)
class HostNames:
    """DNS names, the best one first, and addresses."""

    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]

    def covers(self, other: HostNames) -> bool:
        """Whether all of the other's names and addresses are among these."""
        return set(other.names) <= set(self.names) and set(other.addresses) <= set(self.addresses)


def host_names(hostname: str, addresses: tuple[str, ...], *extra: str) -> HostNames:
    """The names made of a host's name, its addresses, and names or addresses that the operator adds."""
    short = hostname.lower().rstrip(".").split(".")[0]
    names = [f"{short}.local", short, hostname.lower().rstrip("."), "localhost", CONSTANT_NAME]
    found: list[IPAddress] = [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    for text in (*extra, *addresses):
        address = _address(text)
        if address is None:
            names.append(text.lower().rstrip("."))
        elif not (address.is_unspecified or address.is_multicast or (address.version == 6 and address.is_link_local)):
            found.append(address)
    kept = tuple(dict.fromkeys(name for name in names if len(name) <= 253 and _LABELS.fullmatch(name)))
    return HostNames(kept, tuple(dict.fromkeys(found))[:MAX_ADDRESSES])


def lan_names(*extra: str) -> HostNames:
    """This machine's names and addresses now. Blocking, but only for the kernel."""
    import ifaddr  # the addresses of every interface, which the standard library cannot list

    addresses = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    texts = tuple(text if isinstance(text, str) else text[0] for text in addresses)
    return host_names(socket.gethostname(), texts, *extra)


def _address(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None
