"""Serves ASGI apps on a unix socket and on TCP with uvicorn, inside the caller's TaskGroup. It knows no route."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Container, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h11
import uvicorn
from msgspec import Struct
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from microclaw.addresses import bracketed
from microclaw.api.failures import AnswersInForm
from microclaw.errors import ConfigError

HEAD_TIMEOUT_S = 10.0
UNREAD_TIMEOUT_S = 30.0
MAX_CONNECTIONS = 64
GRACE_S = 1
START_TIMEOUT_S = 10.0


class PeoplePlane(Struct, frozen=True):
    """`urls` are addresses to call it by, the best one first, `local_url` one for programs of this machine.

    `fingerprint` is the own authority's, else None. `on_network`: others than this machine can reach it.
    """

    socket: socket.socket
    urls: tuple[str, ...]
    local_url: str
    allowed_hosts: Container[str]
    on_network: bool = False
    tls: ssl.SSLContext | None = None
    fingerprint: str | None = None


class TimeoutConfig(uvicorn.Config):
    """uvicorn's settings, how long a connection may take over a request's head, and how long it may read nothing."""

    head_timeout_s: float
    unread_timeout_s: float


class HeadTimeout(H11Protocol):
    """Closes a connection that begins a request and does not end its head, or whose peer does not read. uvicorn waits
    forever there.

    Where all connections are taken, one that asks for nothing gives way: it waits for a request, or its request was
    refused. It is the oldest of the address that has most of those. `api.asgi_apps` leaves room besides the others.
    uvicorn's own limit would answer everybody with 503, in plain text.
    """

    config: TimeoutConfig

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self._timers: dict[str, asyncio.TimerHandle] = {}
        super().connection_made(transport)
        # Paused for as long as anything waits to be read. Not 0: asyncio's TLS transport would never go on from there.
        transport.set_write_buffer_limits(high=1)
        self._opened_s = self.loop.time()
        self.app_state = {**self.app_state, "abort": transport.abort}  # for its scope: ASGI has no word for it
        self._start("head", self.config.head_timeout_s, transport.close)
        if len(self.connections) > 2 * MAX_CONNECTIONS:  # as most have said nothing
            victim = self._who_gives_way()
            self.connections.discard(victim)
            victim.transport.abort()

    @property
    def gives_way(self) -> bool:
        """True if nothing would be lost with it: it waits for a request, or was answered before it was heard out."""
        waits = "head" in self._timers or self.timeout_keep_alive_task is not None
        return waits or (self.cycle is not None and self.cycle.response_started and self.cycle.more_body)

    def _who_gives_way(self) -> HeadTimeout:
        """This connection itself where all the others are at work."""
        others = (one for one in self.connections if isinstance(one, HeadTimeout) and one is not self)
        idle = [one for one in others if one.gives_way]
        of_address = Counter(one.address for one in idle)
        return min(idle, key=lambda one: (-of_address[one.address], one._opened_s), default=self)

    @property
    def address(self) -> str:
        if self.client is not None:
            return self.client[0]
        return ""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._start("head", self.config.head_timeout_s, self.transport.close)
        else:
            self._stop("head")

    def connection_lost(self, exc: Exception | None) -> None:
        for name in tuple(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("unread", self.config.unread_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop("unread")
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """No line in the log: any client can ask for an upgrade, and uvicorn advises to install something."""

    def _start(self, name: str, after_s: float, act: Callable[[], None]) -> None:
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(after_s, act)

    def _stop(self, name: str) -> None:
        if name in self._timers:
            self._timers.pop(name).cancel()


class Listener(Struct, frozen=True):
    """An app and the listening socket it answers on."""

    name: str
    app: ASGIApp
    socket: socket.socket
    tls: ssl.SSLContext | None = None


@asynccontextmanager
async def serving(
    listeners: Sequence[Listener],
    group: asyncio.TaskGroup,
    *,
    head_timeout_s: float = HEAD_TIMEOUT_S,
    unread_timeout_s: float = UNREAD_TIMEOUT_S,
) -> AsyncGenerator[None]:
    """Inside, every listener answers. Leaving stops them together; open answers get GRACE_S to end."""
    servers = [_Server(listener, head_timeout_s, unread_timeout_s) for listener in listeners]
    tasks = [
        group.create_task(server.serve(sockets=[listener.socket]), name=f"api:{listener.name}")
        for server, listener in zip(servers, listeners, strict=True)
    ]
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            for server in servers:
                await server.ready.wait()
        yield
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.wait(tasks)


@contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    """A listening socket at `path`, mode 0600; a stale file there is removed. The caller holds the host's lock."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        _listen(listener, str(path), str(path), "give another --home")
    finally:
        os.umask(before)
    with listener:
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def tcp_listener(host: str, port: int, *, next_step: str = "microclaw up --port 0") -> Iterator[socket.socket]:
    """A listening TCP socket; port 0 takes any free one. ConfigError says when the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _listen(listener, (host, port), f"{bracketed(host)}:{port}", next_step)
    with listener:
        yield listener


def _listen(listener: socket.socket, address: str | tuple[str, int], shown: str, next_step: str) -> None:
    try:
        listener.bind(address)
        listener.listen(MAX_CONNECTIONS)
    except OSError as exc:
        listener.close()
        why = "it is taken" if exc.errno == errno.EADDRINUSE else exc.strerror or exc
        raise ConfigError(f"cannot listen on {shown}: {why}", next_step=next_step) from exc


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers (the host has its own), and without its minute for a TLS handshake."""

    config: TimeoutConfig

    def __init__(self, listener: Listener, head_timeout_s: float, unread_timeout_s: float) -> None:
        tls = listener.tls
        config = TimeoutConfig(
            AnswersInForm(listener.app, lambda: self.should_exit),
            lifespan="off",
            ws="none",
            http=HeadTimeout,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=GRACE_S,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        config.head_timeout_s = head_timeout_s
        config.unread_timeout_s = unread_timeout_s
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        config = self.config
        tls = dict[str, Any]()
        if config.ssl is not None:
            tls = {"ssl_handshake_timeout": config.head_timeout_s, "ssl_shutdown_timeout": GRACE_S}
        made = partial(HeadTimeout, config=config, server_state=self.server_state, app_state=self.lifespan.state)
        loop = asyncio.get_running_loop()
        self.servers = [await loop.create_server(made, sock=one, ssl=config.ssl, **tls) for one in sockets or []]
        self.started = True
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
