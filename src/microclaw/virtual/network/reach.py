"""Where the clients of C programs on a virtual board may connect to, by the rules of firmware/fw/net_rules.py.

Python programs have those rules in their board's firmware; the firmware for C programs has none, so they are here.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Final, TypeAlias

from microclaw.addresses import is_ipv4

Connect: TypeAlias = Callable[[str, int, float], socket.socket]
"""Open a connection to a host and port, within seconds. Raises OSError."""
ITSELF: Final = "it is the board itself"
_EVERYBODY: Final = "broadcast and multicast are not for programs"
_FIRST_MULTICAST: Final = 224
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,253}", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+|0x.*|", re.IGNORECASE)
_HOME: Final = (".local", ".lan", ".home", ".internal", ".home.arpa", ".fritz.box")
"""The ends of names that routers give to devices in the house."""


class Reach:
    """The way of a board's programs to others. `host_ports` are refused on this computer."""

    def __init__(self, host_ports: Iterable[int]) -> None:
        self._host_ports = frozenset(host_ports)

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Connect to the address that was checked, so that a second look-up cannot lead elsewhere."""
        _check(host_refusal(host))
        address = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        _check(_address_refusal(address, host))
        if port in self._host_ports and _is_own(address):
            _check("this port is the host's own")
        return socket.create_connection((address, port), timeout_s)


def host_refusal(host: str) -> str | None:
    """Return why no program may talk to a host, as far as its text shows it; None if it may."""
    if is_ipv4(host):
        return _address_refusal(host, host)
    end = host.lower().rstrip(".").rpartition(".")[2]
    if end == "localhost":
        return ITSELF
    if _NAME.fullmatch(host) is None or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None:
        return "neither a name nor four numbers from 0 to 255"
    return None


def _address_refusal(text: str, name: str) -> str | None:
    """Return why no program may talk to the address that a name led to."""
    address = IPv4Address(text)
    first = address.packed[0]
    if first in (0, 127):
        return ITSELF
    if first >= _FIRST_MULTICAST:
        return _EVERYBODY
    is_of_house = "." not in name or name.lower().endswith(_HOME)
    if not address.is_global and text != name and not is_of_house:
        return "a name of the internet must not lead to a private address"
    return None


def _is_own(address: str) -> bool:
    """Return True for an address of this computer: it is its own way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent.
        probe.connect((address, 9))
        return bool(probe.getsockname()[0] == address)


def _check(refusal: str | None) -> None:
    if refusal is not None:
        raise OSError(errno.EACCES, refusal)
