"""The one door by which this host speaks HTTP to others: each connection goes to an address that was judged.

A name is looked up when a connection is made, and its Host header and TLS name stay as they were. So a name that
changes its address leads nowhere else. proxies.py says which way it goes; where a name is known here to lead to a
private address, it is asked directly as well. By way of a proxy, the proxy looks names up; what is known of them here
is judged before, and for the web the proxy is given the judged address. Redirects are new requests, judged again. No
other file of the host makes an HTTP client (tests/egress/test_one_door.py has the exceptions).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

import httpcore2
import httpx2
from anyio.abc import SocketStream
from httpcore2._backends.anyio import AnyIOStream

from microclaw.addresses import bracketed
from microclaw.egress.destinations import Egress, Purpose
from microclaw.egress.outgoing import open_socket
from microclaw.egress.proxies import proxy_for
from microclaw.errors import MicroclawError, PermissionRefused, ToolFailed

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def http_client(
    purpose: Purpose,
    first_url: str | None = None,
    *,
    egress: Egress | None = None,
    proxy: str | None = None,
    verify: ssl.SSLContext | bool = True,
    **options: Any,
) -> httpx2.AsyncClient:
    """A client for one purpose. `first_url` is the place that the settings, the code or a person named.

    Without it (an SDK that knows its own address) the first place that is asked counts as named. `proxy` is that of the
    settings, for the places that need one (`proxy_for`). `options` are httpx2's.
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs addresses, with a person's words in them
    if first_url is None:
        first = None
    else:
        first = _place(httpx2.URL(first_url))
    transport = _Transport(purpose, first, egress or Egress(), proxy, verify)
    return httpx2.AsyncClient(transport=transport, trust_env=False, **options)


def _readdressed(request: httpx2.Request, address: str) -> httpx2.Request:
    """Return the request as a proxy gets it: for an address that was judged."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": _place(request.url)[1]},
    )


def _place(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.raw_host.decode().lower().rstrip("."), url.port or _DEFAULT_PORTS.get(url.scheme, 0)


@dataclass(eq=False, slots=True)
class _Transport(httpx2.AsyncBaseTransport):
    """Judges each request, and hands it to the library's own transport for its proxy and rule."""

    purpose: Purpose
    first: tuple[str, str, int] | None
    egress: Egress
    proxy: str | None
    verify: ssl.SSLContext | bool
    made: dict[tuple[str | None, Purpose], httpx2.AsyncHTTPTransport] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        place = _place(request.url)
        try:
            rule = self._rule(request.url)
            proxy = proxy_for(*place, self.proxy)
            addresses = () if proxy is None else await self._known_addresses(rule, place)
        except MicroclawError as exc:
            raise httpx2.ConnectError(exc.message, request=request) from exc
        if addresses and not any(self.egress.is_public(ip_address(address)) for address in addresses):
            proxy = None
        if proxy is not None and rule is Purpose.WEB:
            request = _readdressed(request, addresses[0])
        return await self._inner(proxy, rule).handle_async_request(request)

    async def aclose(self) -> None:
        for inner in self.made.values():
            await inner.aclose()

    def _rule(self, url: httpx2.URL) -> Purpose:
        """The rule for the place. Raises PermissionRefused for one that this client has no business with."""
        place = _place(url)
        if self.purpose is Purpose.CONFIGURED:
            self.first = self.first or place
            if place != self.first:
                asked = f"{place[0]}://{bracketed(place[1])}:{place[2]}"
                raise PermissionRefused(f"{asked} is not the place which the settings name", next_step="correct them")
        elif self.purpose is Purpose.DOWNLOAD:
            if place == self.first:
                return Purpose.CONFIGURED
            if url.scheme != "https":  # who stands inside has no certificate for the name
                raise PermissionRefused(f"it leads to {url.host} without TLS", next_step="try another source")
        return self.purpose

    async def _known_addresses(self, rule: Purpose, place: tuple[str, str, int]) -> Sequence[str]:
        """Return the judged addresses of a place that is asked by a proxy; none if only the proxy knows its name."""
        try:
            return await self.egress.addresses(rule, place[1], place[2])
        except ToolFailed:
            if rule is Purpose.WEB:
                raise
            return ()

    def _inner(self, proxy: str | None, rule: Purpose) -> httpx2.AsyncHTTPTransport:
        """Connects by `_Backend`. httpcore2's pools take a backend; httpx2 does not hand it on.

        Raises where a version of the library keeps it elsewhere: without it nothing would be judged.
        """
        if (proxy, rule) not in self.made:
            made = httpx2.AsyncHTTPTransport(verify=self.verify, proxy=proxy)
            pool: Any = made._pool
            if not isinstance(pool._network_backend, httpcore2.AsyncNetworkBackend):
                raise TypeError(f"httpcore2 {httpcore2.__version__} keeps its network backend elsewhere")
            pool._network_backend = _Backend(self.egress, rule if proxy is None else Purpose.CONFIGURED)
            self.made[proxy, rule] = made
        return self.made[proxy, rule]


@dataclass(eq=False)
class _Backend(httpcore2.AnyIOBackend):
    """Connects to judged addresses alone."""

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
