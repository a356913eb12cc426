"""Where the programs of a virtual board may connect to: the firmware's rules, and this computer's own ports.

Python programs have the rules in their board's firmware. The firmware for C programs has none, so `Reach` has them.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Final, TypeAlias, cast

from microclaw.hardware.firmware_modules import load

Connect: TypeAlias = Callable[[str, int, float], socket.socket]
"""Open a connection to a host and port, within seconds. Raises OSError."""
load("errors")
_rules: Final = load("net_rules")
_BOARD: Final = SimpleNamespace(network=None, settings=None)
"""The board, to the firmware's rules: one without a radio and without a host of its own."""


class Reach:
    """The way of C programs to others. `local_ports` are those of this computer that they may reach."""

    def __init__(self, local_ports: Collection[int] = ()) -> None:
        self._local_ports = local_ports

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Connect to the address that was checked, so that a second look-up cannot lead elsewhere."""
        _check(host_refusal(host))
        try:
            address = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        except UnicodeError as exc:
            raise OSError(errno.EACCES, f"no name is so long: {host[:80]}") from exc
        _check(_rules.refusal(address, host, port, _BOARD, is_written_out=True))
        _check(local_refusal(address, port, self._local_ports))
        return socket.create_connection((address, port), timeout_s)


def host_refusal(host: str) -> str | None:
    """Return why no program may talk to a host, as far as its text shows it; None if it may."""
    # A board's Python knows no other digits.
    if host.isascii() and _rules.numbers(host) is not None:
        return cast("str | None", _rules.refusal(host, host, 0, _BOARD, is_written_out=True))
    if not _rules.is_name(host):
        return "neither a name of another computer nor four numbers from 0 to 255"
    return None


def local_refusal(address: str, port: int, local_ports: Collection[int]) -> str | None:
    """Return why programs do not reach a port of this computer; None for another computer's, or one of `local_ports`.

    The host runs here, on ports that it may choose after this board was started: so the port must be named.
    """
    if port in local_ports or not _is_own(address):
        return None
    return f"{address}:{port} is on this computer: --local-ports {port} lets programs reach it"


def _is_own(address: str) -> bool:
    """Return True for an address of this computer: only such a one can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as exc:
            return exc.errno != errno.EADDRNOTAVAIL
    return True


def _check(refusal: str | None) -> None:
    if refusal is not None:
        raise OSError(errno.EACCES, refusal)
