"""Serves ASGI apps on a unix socket and on TCP with uvicorn, inside the caller's TaskGroup. It knows no route."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from microclaw.errors import ConfigError
from microclaw.web.patience import HEAD_TIMEOUT_S, UNREAD_TIMEOUT_S, HeadDeadline, PatientConfig

MAX_CONNECTIONS = 64
GRACE_S = 1
START_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Door:
    """An app and the listening socket it answers on."""

    name: str
    app: ASGIApp
    listener: socket.socket


@asynccontextmanager
async def serving(
    doors: Sequence[Door],
    group: asyncio.TaskGroup,
    *,
    head_timeout_s: float = HEAD_TIMEOUT_S,
    unread_timeout_s: float = UNREAD_TIMEOUT_S,
) -> AsyncIterator[None]:
    """Inside, every door answers; leaving stops them together, open answers get GRACE_S to end."""
    servers = [_server(door.app, head_timeout_s, unread_timeout_s) for door in doors]
    tasks = [
        group.create_task(server.serve(sockets=[door.listener]), name=f"web:{door.name}")
        for server, door in zip(servers, doors, strict=True)
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
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as exc:
        listener.close()
        raise ConfigError(f"cannot listen on {path}: {exc.strerror or exc}", next_step="give another --home") from exc
    finally:
        os.umask(before)
    listener.listen(MAX_CONNECTIONS)
    try:
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def tcp_listener(host: str, port: int, *, next_step: str = "microclaw up --port 0") -> Iterator[socket.socket]:
    """A listening TCP socket; port 0 takes any free one. ConfigError says when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(MAX_CONNECTIONS)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is taken on {host}", next_step=next_step) from exc
        raise ConfigError(f"cannot listen on {host}:{port}: {exc.strerror or exc}", next_step=next_step) from exc
    try:
        yield listener
    finally:
        listener.close()


def _server(app: ASGIApp, head_timeout_s: float, unread_timeout_s: float) -> _Server:
    config = PatientConfig(
        app,
        lifespan="off",
        ws="none",
        http=HeadDeadline,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.head_timeout_s = head_timeout_s
    config.unread_timeout_s = unread_timeout_s
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the host has its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
