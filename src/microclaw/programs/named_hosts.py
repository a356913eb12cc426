"""The hosts that the owner of a program names for it: their form, and which ones no program may talk to.

It looks up no name. The board checks the address that it gets for a name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final

from microclaw.errors import ConfigError, DeployRejected
from microclaw.network_use import MAX_HOSTS

_MAX_NAME_CHARS: Final = 253
_MAX_PORT: Final = 65_535
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)(?::([0-9]{{1,5}}))?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NOT_A_HOST: Final = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))
"""This network, loopback, and multicast with all that is above it, where the broadcast address is."""
_FORM: Final = "write --hosts api.example.org:443,192.168.1.20:1883"


def read_hosts(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts in small letters, in order, each once. Raises ConfigError for one that no program may have."""
    hosts = {_read_host(text.strip().lower()) for text in texts}
    if len(hosts) > MAX_HOSTS:
        text = f"a program may name {MAX_HOSTS} hosts, and these are {len(hosts)}"
        raise ConfigError(text, next_step="leave out those that its source names")
    return tuple(sorted(hosts))


def split_hosts(text: str) -> list[str]:
    """Return the hosts of an option's text. Raises ConfigError for a text without one."""
    hosts = [part.strip() for part in text.split(",") if part.strip()]
    if not hosts:
        raise ConfigError("no host is named", next_step=_FORM)
    return hosts


def check_not_own(hosts: Sequence[str], own_ports: Collection[int]) -> None:
    """Raise DeployRejected for an address of this machine with a port of this host, or without any port."""
    if not hosts or not own_ports:
        return
    # It brings the library for certificates.
    from microclaw.host.auth.certificates import lan_names

    own = lan_names()
    own_places = {*own.names, *map(str, own.addresses)}
    for host in hosts:
        place, _, port = host.partition(":")
        if place not in own_places:
            continue
        if not port:
            raise DeployRejected(
                f"{place} is this host's own machine: a program may talk to one port of it, not to all",
                next_step=f"name the port that it talks to: --hosts {place}:PORT",
            )
        if int(port) in own_ports:
            text = f"{host} is this host itself, which no program may talk to"
            raise DeployRejected(text, next_step="leave it out: a board reports to its host by itself")


def _read_host(text: str) -> str:
    match = _HOST.fullmatch(text)
    if match is None or len(match[1]) > _MAX_NAME_CHARS:
        raise _no_host(text, _form_problem(text))
    place = match[1]
    if match[2] is not None and not 0 < int(match[2]) <= _MAX_PORT:
        raise _no_host(text, f"there is no port {match[2]}")
    if place == "localhost" or place.endswith(".localhost"):
        raise _no_host(text, "that is the board itself")
    if _NUMBER.fullmatch(place.rpartition(".")[2]):
        _check_address(text, place)
    if match[2] is None:
        return place
    return f"{place}:{int(match[2])}"


def _form_problem(text: str) -> str:
    if "*" in text:
        return "each host has to be written out"
    if "/" in text:
        return "it is a host, without http:// and without a path"
    return "a host is a name or an IPv4 address, and a port"


def _check_address(text: str, place: str) -> None:
    try:
        address = IPv4Address(place)
    except AddressValueError:
        raise _no_host(text, "an IPv4 address is written as 192.168.1.20") from None
    if any(address in network for network in _NOT_A_HOST):
        raise _no_host(text, "this address is no other host: loopback, broadcast or multicast")


def _no_host(text: str, why: str) -> ConfigError:
    return ConfigError(f"{text[:80]!r} cannot be a program's host: {why}", next_step=_FORM)
