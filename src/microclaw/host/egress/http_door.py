"""The only HTTP client of this host: each connection goes to an address that was checked.

A name is looked up when a connection is made, and its Host header and TLS name stay as they are, so a name that changes
its address leads nowhere else. proxies.py chooses the proxy; a name that leads to a private address is asked directly.
A proxy looks names up itself; the addresses that this host knows for a name are checked before, and for the web the
proxy gets the checked address. Redirects are new requests, which are checked again. No other file of the host makes an
HTTP client (tests/host/egress/test_one_door.py lists the exceptions).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2
from anyio.abc import SocketStream
from httpcore2._backends.anyio import AnyIOStream

from microclaw.addresses import DEFAULT_PORTS, bracketed
from microclaw.errors import MicroclawError, PermissionRefused, ToolFailed
from microclaw.host.egress.destinations import Egress, Purpose
from microclaw.host.egress.outgoing import open_socket
from microclaw.host.egress.proxies import proxy_for


def http_client(
    purpose: Purpose,
    first_url: str | None = None,
    *,
    egress: Egress | None = None,
    proxy: str | None = None,
    verify: ssl.SSLContext | bool = True,
    **options: Any,
) -> httpx2.AsyncClient:
    """Make a client for one purpose. `first_url` is the place that the settings, the code or a person named.

    Without `first_url` (an SDK that knows its own address) the place of the first request counts as named. `proxy` is
    the proxy of the settings, for the places that need one (`proxy_for`). `options` are httpx2's.
    """
    # It logs addresses, which may contain a person's words.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    first = None
    if first_url is not None:
        first = _place(httpx2.URL(first_url))
    transport = _Transport(purpose, first, egress or Egress(), proxy, verify)
    return httpx2.AsyncClient(transport=transport, trust_env=False, **options)


def _readdressed(request: httpx2.Request, address: str) -> httpx2.Request:
    """Return the request for a proxy, with the checked address in place of the name."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": _place(request.url)[1]},
    )


def _place(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.raw_host.decode().lower().rstrip("."), url.port or DEFAULT_PORTS.get(url.scheme, 0)


@dataclass(eq=False, slots=True)
class _Transport(httpx2.AsyncBaseTransport):
    """Checks each request, and passes it to the library's own transport for its proxy and rule."""

    purpose: Purpose
    first: tuple[str, str, int] | None
    egress: Egress
    proxy: str | None
    verify: ssl.SSLContext | bool
    _transports: dict[tuple[str | None, Purpose], httpx2.AsyncHTTPTransport] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        place = _place(request.url)
        try:
            rule = self._rule(request.url)
            proxy = proxy_for(*place, self.proxy)
            addresses: Sequence[str] = ()
            if proxy is not None:
                addresses = await self._known_addresses(rule, place)
        except MicroclawError as exc:
            raise httpx2.ConnectError(exc.message, request=request) from exc
        if addresses and not any(self.egress.is_public(ip_address(address)) for address in addresses):
            proxy = None
        if proxy is not None and rule is Purpose.WEB:
            request = _readdressed(request, addresses[0])
        return await self._inner(proxy, rule).handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()

    def _rule(self, url: httpx2.URL) -> Purpose:
        """Return the purpose that counts for a place. Raises PermissionRefused if this client may not ask it."""
        place = _place(url)
        if self.purpose is Purpose.CONFIGURED:
            self.first = self.first or place
            if place != self.first:
                scheme, host, port = place
                address = f"{scheme}://{bracketed(host)}:{port}"
                raise PermissionRefused(f"{address} is not the place which the settings name", next_step="correct them")
        elif self.purpose is Purpose.DOWNLOAD:
            if place == self.first:
                return Purpose.CONFIGURED
            # A machine of this network has no certificate for the name.
            if url.scheme != "https":
                raise PermissionRefused(f"it leads to {url.host} without TLS", next_step="try another source")
        return self.purpose

    async def _known_addresses(self, rule: Purpose, place: tuple[str, str, int]) -> Sequence[str]:
        """Return the checked addresses of a place behind a proxy; none if only the proxy can look its name up."""
        try:
            return await self.egress.addresses(rule, place[1], place[2])
        except ToolFailed:
            if rule is Purpose.WEB:
                raise
            return ()

    def _inner(self, proxy: str | None, rule: Purpose) -> httpx2.AsyncHTTPTransport:
        """Return the library's transport for a proxy and purpose, with `_Backend` as its network backend.

        httpcore2's pools take a backend, but httpx2 has no parameter for it. Raises TypeError if this version of the
        library keeps it elsewhere: without `_Backend` no address would be checked.
        """
        if (proxy, rule) not in self._transports:
            transport = httpx2.AsyncHTTPTransport(verify=self.verify, proxy=proxy)
            pool: Any = transport._pool
            if not isinstance(pool._network_backend, httpcore2.AsyncNetworkBackend):
                raise TypeError(f"httpcore2 {httpcore2.__version__} keeps its network backend elsewhere")
            backend_purpose = rule if proxy is None else Purpose.CONFIGURED
            pool._network_backend = _Backend(self.egress, backend_purpose)
            self._transports[proxy, rule] = transport
        return self._transports[proxy, rule]


@dataclass(eq=False)
class _Backend(httpcore2.AnyIOBackend):
    """Connects only to checked addresses."""

    egress: Egress
    purpose: Purpose

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *_args: Any, **_options: Any
    ) -> AnyIOStream:
        try:
            addresses = await self.egress.addresses(self.purpose, host, port)
            async with asyncio.timeout(timeout):
                return AnyIOStream(await SocketStream.from_socket(await open_socket(addresses, port)))
        except TimeoutError as exc:
            raise httpcore2.ConnectTimeout(str(exc)) from exc
        except (MicroclawError, OSError) as exc:
            raise httpcore2.ConnectError(str(exc)) from exc
