"""The one door by which this host speaks HTTP to others: each connection goes to an address that was judged.

A name is looked up when a connection is made, and its Host header and TLS name stay as they were. So a name that
changes its address leads nowhere else. By way of a proxy, the proxy looks names up; what is known of them here is
judged before. Redirects are new requests, judged again. No other file of the host makes an HTTP client
(tests/egress/test_one_door.py has the exceptions).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeAlias, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from microclaw.addresses import bracketed
from microclaw.egress.destinations import Egress, Purpose
from microclaw.egress.outgoing import Errand, first_to_answer, in_turns
from microclaw.errors import MicroclawError, ToolFailed

T = TypeVar("T")
Hooks: TypeAlias = Mapping[str, list[Callable[..., Any]]]
_LIMITS: Final = httpx2.Limits(max_connections=100, max_keepalive_connections=20)


def http_client(
    errand: Errand,
    *,
    egress: Egress | None = None,
    proxy: str | None = None,
    environment: bool = True,
    verify: ssl.SSLContext | bool = True,
    limits: httpx2.Limits = _LIMITS,
    timeout: httpx2.Timeout | float = 5.0,
    headers: Mapping[str, str] | None = None,
    event_hooks: Hooks | None = None,
) -> httpx2.AsyncClient:
    """A client that does what `errand` allows and follows no redirect by itself.

    `proxy` is an http:// proxy; without it the environment's proxies count, unless `environment` is False.
    """
    transport = _Transport(_Way(errand, egress or Egress(), proxy, environment=environment), verify, limits)
    return httpx2.AsyncClient(
        transport=transport,
        trust_env=environment,
        follow_redirects=False,
        timeout=timeout,
        headers=headers,
        event_hooks=event_hooks,
    )


def download_client(
    first_url: str, *, egress: Egress | None = None, proxy: str | None = None, timeout: float, max_redirects: int = 20
) -> httpx2.Client:
    """A blocking client for files from a place that the code or a person named; it follows redirects, judged again."""
    way = _Way(Errand(Purpose.DOWNLOAD, first_url), egress or Egress(), proxy, environment=True)
    return httpx2.Client(
        transport=_BlockingTransport(way), timeout=timeout, follow_redirects=True, max_redirects=max_redirects
    )


class _Way:
    """The checks of both kinds of transport before a request, and before a connection."""

    def __init__(self, errand: Errand, egress: Egress, proxy: str | None, *, environment: bool) -> None:
        self.egress = egress
        self._errand = errand
        self._proxy = proxy
        self._environment = environment

    def proxy_for(self, url: httpx2.URL) -> str | None:
        if self._proxy is not None or not self._environment:
            return self._proxy
        return environment_proxy(url.scheme, url.host, url.port)

    def purpose_of(self, request: httpx2.Request) -> Purpose:
        try:
            return self._errand.purpose_of(request.url.scheme, request.url.host, request.url.port)
        except MicroclawError as exc:
            raise httpx2.ConnectError(exc.message, request=request) from exc


def environment_proxy(scheme: str, host: str, port: int | None) -> str | None:
    """The proxy that HTTP_PROXY and its like name for a place, unless NO_PROXY does."""
    found = getproxies()
    proxy = found.get(scheme) or found.get("all")
    if not proxy or proxy_bypass(host) or (port is not None and proxy_bypass(f"{bracketed(host)}:{port}")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _rule(purpose: Purpose, proxy: str | None) -> Purpose:
    """That of the connection itself: a proxy is one of the settings."""
    return purpose if proxy is None else Purpose.CONFIGURED


class _Inner(Generic[T]):
    """The library's own transports, one for each proxy and purpose; `make` is given both."""

    def __init__(self, make: Callable[[str | None, Purpose], T]) -> None:
        self._make = make
        self._made: dict[tuple[str | None, Purpose], T] = {}

    def get(self, proxy: str | None, purpose: Purpose) -> T:
        if (proxy, purpose) not in self._made:
            self._made[proxy, purpose] = self._make(proxy, purpose)
        return self._made[proxy, purpose]

    def all(self) -> tuple[T, ...]:
        return tuple(self._made.values())


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, way: _Way, verify: ssl.SSLContext | bool, limits: httpx2.Limits) -> None:
        def make(proxy: str | None, purpose: Purpose) -> httpx2.AsyncHTTPTransport:
            inner = httpx2.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy)
            _connect_by(inner, _Backend(way.egress, _rule(purpose, proxy)))
            return inner

        self._way = way
        self._inner = _Inner(make)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        purpose, proxy = self._way.purpose_of(request), self._way.proxy_for(request.url)
        if proxy is not None:
            with _known_of(request):
                await self._way.egress.addresses(purpose, request.url.host, request.url.port or 443)
        return await self._inner.get(proxy, purpose).handle_async_request(request)

    async def aclose(self) -> None:
        for inner in self._inner.all():
            await inner.aclose()


class _BlockingTransport(httpx2.BaseTransport):
    def __init__(self, way: _Way) -> None:
        def make(proxy: str | None, purpose: Purpose) -> httpx2.HTTPTransport:
            inner = httpx2.HTTPTransport(proxy=proxy)
            _connect_by(inner, _BlockingBackend(way.egress, _rule(purpose, proxy)))
            return inner

        self._way = way
        self._inner = _Inner(make)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        purpose, proxy = self._way.purpose_of(request), self._way.proxy_for(request.url)
        if proxy is not None:
            with _known_of(request):
                self._way.egress.addresses_now(purpose, request.url.host, request.url.port or 443)
        return self._inner.get(proxy, purpose).handle_request(request)

    def close(self) -> None:
        for inner in self._inner.all():
            inner.close()


@contextmanager
def _known_of(request: httpx2.Request) -> Iterator[None]:
    """Around the look at a name that a proxy is asked for: that it is unknown here is no fault."""
    try:
        yield
    except ToolFailed:
        pass  # only the proxy knows this name
    except MicroclawError as exc:
        raise httpx2.ConnectError(exc.message, request=request) from exc


def _connect_by(transport: Any, backend: httpcore2.AsyncNetworkBackend | httpcore2.NetworkBackend) -> None:
    """Make a transport connect by this backend. httpcore2's pools take one; httpx2 does not hand it on.

    Raises where a version of the library keeps it elsewhere: without it nothing would be judged.
    """
    pool = transport._pool
    if not isinstance(pool._network_backend, httpcore2.AsyncNetworkBackend | httpcore2.NetworkBackend):
        raise TypeError(f"httpcore2 {httpcore2.__version__} keeps its network backend elsewhere")
    pool._network_backend = backend


class _Backend(httpcore2.AnyIOBackend):
    """Connects to judged addresses alone."""

    def __init__(self, egress: Egress, purpose: Purpose) -> None:
        self._egress = egress
        self._purpose = purpose

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._egress.addresses(self._purpose, host, port)
        except MicroclawError as exc:
            raise httpcore2.ConnectError(exc.message) from exc
        dial_tcp = super().connect_tcp

        def dial(address: str) -> Callable[[], Coroutine[Any, Any, httpcore2.AsyncNetworkStream]]:
            return lambda: dial_tcp(address, port, timeout, local_address, socket_options)

        return await first_to_answer([dial(one) for one in in_turns(addresses)], _close)


def _close(stream: httpcore2.AsyncNetworkStream) -> Awaitable[None]:
    return stream.aclose()


class _BlockingBackend(httpcore2.SyncBackend):
    def __init__(self, egress: Egress, purpose: Purpose) -> None:
        self._egress = egress
        self._purpose = purpose

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses: Sequence[str] = in_turns(self._egress.addresses_now(self._purpose, host, port))
        except MicroclawError as exc:
            raise httpcore2.ConnectError(exc.message) from exc
        for address in addresses[:-1]:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                pass  # the next address
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)
