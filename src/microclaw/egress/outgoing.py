"""What the host itself may ask, as hooks of its HTTP clients: hosts of the settings, and files from known places.

A host of the settings may be private (a model server at home); it may not be where clouds keep their metadata, and its
answers lead to no other host. A file's redirects lead to public addresses alone, and over TLS. What is fetched for
somebody else has the stricter rule of destinations.py.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from microclaw.egress.destinations import Address, Network, Resolve, is_in, system_resolve, why_not_public, without_zone

if TYPE_CHECKING:
    import httpx2

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


def why_not_configured(address: Address) -> str | None:
    """Why no setting may lead to this address; None when one may."""
    return "link-local, or where clouds keep their metadata" if is_in(address, _METADATA) else None


def configured_hooks(base_url: str | None, resolve: Resolve = system_resolve) -> dict[str, list[Any]]:
    """`event_hooks` of an httpx2.AsyncClient for one host of the settings; without `base_url` the first one asked.

    The address that answered is looked at too: a name that changed its address in between is of no use.
    """
    rule = _Configured(base_url, resolve)
    return {"request": [rule.before], "response": [rule.after]}


def download_hooks(first_url: str) -> dict[str, list[Any]]:
    """`event_hooks` of an httpx2.Client that follows redirects from this address, which the code or a person gave.

    TLS is the guard against names that change their address: who stands inside has no certificate for the name.
    """
    return {"request": [_Download(first_url).before]}


async def check_configured(host: str, port: int, resolve: Resolve = system_resolve) -> None:
    """For connections of other protocols. Raises OSError for an address that no setting may lead to."""
    for address in await _found(host, port, resolve):
        if (why := why_not_configured(address)) is not None:
            raise OSError(f"{host} is at {address}, {why}: no setting may lead there")


class _Configured:
    def __init__(self, base_url: str | None, resolve: Resolve) -> None:
        self._host = None if base_url is None else urlsplit(base_url).hostname
        self._resolve = resolve

    async def before(self, request: httpx2.Request) -> None:
        host = request.url.host.lower()
        self._host = (self._host or host).lower()
        if host != self._host:
            _refuse(f"{host} is not {self._host}, which the settings name", request)
        for address in await _found(host, request.url.port or 443, self._resolve):
            if (why := why_not_configured(address)) is not None:
                _refuse(f"{host} is at {address}, {why}: no setting may lead there", request)

    async def after(self, response: httpx2.Response) -> None:
        """By way of a proxy the address is the proxy's, which the settings name."""
        stream = response.extensions.get("network_stream")
        peer = None if stream is None else stream.get_extra_info("server_addr")
        if not isinstance(peer, tuple):
            return
        address = without_zone(str(peer[0]))
        if (why := why_not_configured(address)) is not None:
            _refuse(f"{response.request.url.host} answered from {address}, {why}", response.request)


class _Download:
    def __init__(self, first_url: str) -> None:
        self._host = urlsplit(first_url).hostname

    def before(self, request: httpx2.Request) -> None:
        if request.url.host == self._host:
            return
        if request.url.scheme != "https":
            _refuse(f"it leads to {request.url.host} without TLS", request)
        for address in _found_now(request.url.host):
            if (why := why_not_public(address)) is not None:
                _refuse(f"it leads to {request.url.host} at {address}, {why}", request)


async def _found(host: str, port: int, resolve: Resolve) -> Sequence[Address]:
    """The addresses of a name; none where it is not known here: a proxy may know it, or the connection tells."""
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    try:
        async with asyncio.timeout(5.0):
            return [without_zone(text) for text in await resolve(host, port)]
    except (OSError, TimeoutError):
        return []


def _found_now(host: str) -> Sequence[Address]:
    try:
        found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [without_zone(str(one[4][0])) for one in found]


def _refuse(why: str, request: httpx2.Request) -> None:
    import httpx2

    raise httpx2.ConnectError(why, request=request)  # what the callers of these clients tell already
