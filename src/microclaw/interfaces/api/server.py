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
from microclaw.errors import ConfigError
from microclaw.interfaces.api.failures import AnswersInForm

HEAD_TIMEOUT_S = 10.0
UNREAD_TIMEOUT_S = 30.0
MAX_CONNECTIONS = 64
GRACE_S = 1
START_TIMEOUT_S = 10.0


class PeoplePlane(Struct, frozen=True):
    """The listening socket for people and programs, and its addresses.

    `urls` begins with the best address; `local_url` is for programs of this machine. `fingerprint` is of the host's own
    authority, else None. If `on_network`, other machines can reach it.
    """

    socket: socket.socket
    urls: tuple[str, ...]
    local_url: str
    allowed_hosts: Container[str]
    on_network: bool = False
    tls: ssl.SSLContext | None = None
    fingerprint: str | None = None


class TimeoutConfig(uvicorn.Config):
    """uvicorn's settings, the time for the head of a request, and the time that a client may read nothing."""

    head_timeout_s: float
    unread_timeout_s: float


class HeadTimeout(H11Protocol):
    """Closes a connection whose request head never ends, or whose client does not read; uvicorn waits forever there.

    If all connections are in use, an idle connection is closed: it waits for a request, or its request was refused. It
    is the oldest of the address with most idle ones. `api.asgi_apps` leaves room besides the others. uvicorn's own
    limit would answer all clients with 503, in plain text.
    """

    config: TimeoutConfig

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._timers: dict[str, asyncio.TimerHandle] = {}
        super().connection_made(transport)
        # Writing pauses while anything waits to be read. With 0, asyncio's TLS transport would never resume.
        transport.set_write_buffer_limits(high=1)
        self._opened_s = self.loop.time()
        # ASGI has no way to abort a connection, so the scope's state gets one.
        self.app_state = {**self.app_state, "abort": transport.abort}
        self._start("head", self.config.head_timeout_s, transport.close)
        # Above this number most connections are idle.
        if len(self.connections) > 2 * MAX_CONNECTIONS:
            victim = self._choose_victim()
            self.connections.discard(victim)
            victim.transport.abort()

    @property
    def is_idle(self) -> bool:
        """True if it is idle: it waits for a request, or its request was answered before it was read."""
        if "head" in self._timers or self.timeout_keep_alive_task is not None:
            return True
        return self.cycle is not None and self.cycle.response_started and self.cycle.more_body

    def _choose_victim(self) -> HeadTimeout:
        """Return the connection to close; this one if all the others are working."""
        idle = []
        for connection in self.connections:
            if isinstance(connection, HeadTimeout) and connection is not self and connection.is_idle:
                idle.append(connection)
        counts = Counter(connection.address for connection in idle)
        return min(idle, key=lambda connection: (-counts[connection.address], connection._opened_s), default=self)

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
        """Log nothing: any client can ask for an upgrade, and uvicorn advises to install something."""

    def _start(self, name: str, after_s: float, act: Callable[[], None]) -> None:
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(after_s, act)

    def _stop(self, name: str) -> None:
        if name in self._timers:
            self._timers.pop(name).cancel()


class AppListener(Struct, frozen=True):
    """An app and the listening socket it answers on."""

    name: str
    app: ASGIApp
    socket: socket.socket
    tls: ssl.SSLContext | None = None


@asynccontextmanager
async def serving(
    listeners: Sequence[AppListener],
    group: asyncio.TaskGroup,
    *,
    head_timeout_s: float = HEAD_TIMEOUT_S,
    unread_timeout_s: float = UNREAD_TIMEOUT_S,
) -> AsyncGenerator[None]:
    """Serve all listeners inside. Leaving stops them together; open answers get GRACE_S to end."""
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
    """Open a listening socket at `path`, mode 0600; a stale file there is removed. The caller holds the host's lock."""
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
    """Open a listening TCP socket; port 0 takes any free port. Raises ConfigError if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
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
    """uvicorn without its signal handlers (the host has its own), and with a shorter time for a TLS handshake."""

    config: TimeoutConfig

    def __init__(self, listener: AppListener, head_timeout_s: float, unread_timeout_s: float) -> None:
        tls = listener.tls
        context_factory = None if tls is None else lambda *_: tls
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
            ssl_context_factory=context_factory,
        )
        config.head_timeout_s = head_timeout_s
        config.unread_timeout_s = unread_timeout_s
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        config = self.config
        options: dict[str, Any] = {"ssl": config.ssl}
        if config.ssl is not None:
            options["ssl_handshake_timeout"] = config.head_timeout_s
            options["ssl_shutdown_timeout"] = GRACE_S
        protocol = partial(HeadTimeout, config=config, server_state=self.server_state, app_state=self.lifespan.state)
        loop = asyncio.get_running_loop()
        self.servers = [await loop.create_server(protocol, sock=sock, **options) for sock in sockets or []]
        self.started = True
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
