"""The HTTP proxy of one task on a unix socket: each request is judged, connected to a checked address and counted.

One request a connection. What is passed on is written again from what was understood, in both directions, so that no
server behind can read a request in another way. Redirects go back to the task: a new request is judged again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import h11
from msgspec import Struct

from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.config.places import MAX_SOCKET_PATH_BYTES
from microclaw.durable import make_private_folder
from microclaw.egress.allowlist import FILE_NAME, Allowlist
from microclaw.egress.destinations import Egress, Purpose
from microclaw.egress.exchange import Exchange, Streams, Upstream, connect
from microclaw.egress.policy import AllowlistSource, Meter, TaskUse, Verdict, judge
from microclaw.egress.request_head import MAX_HEAD_BYTES, ProxyRequest, RequestRefused, read_head
from microclaw.egress.secret_values import SecretValues
from microclaw.errors import ConfigError, MicroclawError, PermissionRefused, TaskRefused

SOCKET_NAME: Final = "proxy.sock"
MAX_OPEN: Final = 256  # connections of one task, those without a request too
MAX_TRIES: Final = 3  # addresses of one name
SERVERS_FAULT: Final = 502
OPEN_FILES: Final = Path("/proc/self/fd")
_log = logging.getLogger(__name__)


class ProxyTimes(Struct, frozen=True, kw_only=True):
    """The time limits of a peer, in seconds."""

    head_s: float = 10.0
    connect_s: float = 10.0
    stall_s: float = 30.0  # without a byte, in either direction
    total_s: float = 600.0


class EgressProxy:
    """The policy of the sandbox as a proxy. `tls` replaces the system's authorities, for tests with their own.

    `way` is the http:// proxy that everything goes out by, where the settings have one.
    """

    def __init__(
        self,
        allowlist: AllowlistSource,
        egress: Egress,
        secrets: SecretValues,
        *,
        record: Record = no_record,
        times: ProxyTimes | None = None,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        meter: Meter | None = None,
        way: str | None = None,
    ) -> None:
        self.way = way
        self.allowlist = allowlist
        self.egress = egress
        self.secrets = secrets
        self.record = record
        self.times = times or ProxyTimes()
        self.meter = meter or Meter()
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None

    @property
    def problem(self) -> str | None:
        """Why tasks have no network although an allowlist is there. Blocking."""
        return self.allowlist.problem

    def reach(self, name: str) -> tuple[str, ...]:
        """The places that a task of this name may ask, a line for each entry. Blocking.

        Raises TaskRefused for a name that the allowlist does not have, ConfigError while it has mistakes.
        """
        allowlist = self.allowlist.current()
        if name not in allowlist.names:
            known = f"use one of {', '.join(allowlist.names)}; or " if allowlist.names else ""
            line = f"- {{host: api.example.com, tasks: [{name[:40]}]}}"
            raise TaskRefused(
                f"the allowlist has nothing for {name[:40]!r}",
                next_step=f"{known}the owner of this host adds to {FILE_NAME}, below allow: {line}",
            )
        return tuple(entry.words for entry in allowlist.entries if entry.counts_for(name))

    @asynccontextmanager
    async def serving(
        self, folder: Path, task: str, *, name: str | None = None, by: str | None = None
    ) -> AsyncIterator[Path | None]:
        """The unix socket (0600) of one task's proxy in `folder`, which is made private; it ends with the block.

        None when the allowlist has mistakes: the task then has no network. `task` is what the security log names,
        `name` what entries with `tasks:` name; without it they are the same. `by` is who asked for the task.
        """
        try:
            await asyncio.to_thread(self.allowlist.current)
        except ConfigError as exc:
            _log.warning("a task has no network: %s", exc.message)
            text = "no network: the allowlist has mistakes"
            self.record(AuditEvent(AuditKind.EGRESS_REFUSED, text, about=task, by=by))
            yield None
            return
        await asyncio.to_thread(make_private_folder, folder)
        path = folder / SOCKET_NAME
        proxy = _TaskProxy(self, task, name or task, by)
        listener = await asyncio.to_thread(_listener, path)
        server = await asyncio.start_unix_server(proxy.connected, sock=listener, limit=MAX_HEAD_BYTES)
        try:
            yield path
        finally:
            server.close()
            await proxy.close()
            with suppress(FileNotFoundError):
                path.unlink()

    async def tls(self) -> ssl.SSLContext:
        """The context that checks servers' certificates."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(self._make_tls)
        return self._tls


class _TaskProxy:
    def __init__(self, proxy: EgressProxy, task: str, name: str, by: str | None) -> None:
        self._proxy = proxy
        self._task = task
        self._name = name
        self._by = by
        self._use = TaskUse()
        self._running: set[asyncio.Task[None]] = set()
        self._ending = False

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._running) >= MAX_OPEN:
            writer.close()
            return
        serving = self._serve(Streams(reader, writer))
        running = asyncio.get_running_loop().create_task(serving, name=f"egress of {self._task}")
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End every connection, at once."""
        self._ending = True
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))

    async def _serve(self, client: Streams) -> None:
        try:
            async with asyncio.timeout(self._proxy.times.total_s):
                await self._one_request(client)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, h11.ProtocolError):
            pass  # a peer that stalls or breaks off; what was done is in the security log
        except Exception:
            _log.exception("a request of a task failed")
        finally:
            await client.close(0 if self._ending else self._proxy.times.stall_s)

    async def _one_request(self, client: Streams) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        exchange = Exchange(client, connection, stall_s=self._proxy.times.stall_s)
        request: ProxyRequest | None = None
        verdict: Verdict | None = None
        try:
            request = read_head(await self._head(client), connection)
            allowlist, verdict = await self._judged(request)
            if not verdict.allowed:
                raise RequestRefused(403, verdict.why, verdict.next_step)
            await self._pass(exchange, request, allowlist, verdict)
            self._note(AuditKind.EGRESS_ALLOWED, request, verdict, exchange, exchange.ended)
        except RequestRefused as exc:
            kind = AuditKind.EGRESS_ALLOWED if exc.status == SERVERS_FAULT else AuditKind.EGRESS_REFUSED
            why = f"it failed: {exc.why}" if kind is AuditKind.EGRESS_ALLOWED else exc.why
            self._note(kind, request, verdict, exchange, why)
            await exchange.refuse(exc.status, exc.words)
        except BaseException as exc:
            if exchange.count is None:
                raise
            is_http = not isinstance(exc, h11.ProtocolError)  # its own words may quote what came
            why = exchange.ended or ("broken off" if is_http else "the server's answer is not HTTP/1.1")
            self._note(AuditKind.EGRESS_ALLOWED, request, verdict, exchange, why)  # bytes may have gone out
            if not isinstance(exc, h11.ProtocolError | OSError):
                raise
            await exchange.refuse(504 if isinstance(exc, TimeoutError) else SERVERS_FAULT, why)

    async def _head(self, client: Streams) -> bytes:
        try:
            async with asyncio.timeout(self._proxy.times.head_s):
                return await client.reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as exc:
            raise RequestRefused(431, f"the request's head has more than {MAX_HEAD_BYTES:,} bytes") from exc
        except TimeoutError as exc:
            raise RequestRefused(408, "the request's head did not come in time") from exc

    async def _judged(self, request: ProxyRequest) -> tuple[Allowlist, Verdict]:
        try:
            allowlist = await asyncio.to_thread(self._proxy.allowlist.current)
        except ConfigError as exc:
            raise RequestRefused(403, "the allowlist has mistakes: microclaw task egress") from exc
        verdict = judge(
            allowlist,
            task=self._name,
            method=request.method,
            host=request.host,
            port=request.port,
            scheme=request.scheme,
            tunnel=request.tunnel,
        )
        return allowlist, verdict

    async def _pass(self, exchange: Exchange, request: ProxyRequest, allowlist: Allowlist, verdict: Verdict) -> None:
        """Carry the request out. Raises RequestRefused before anything went back to the task."""
        proxy, entry = self._proxy, verdict.entry
        assert entry is not None
        if self._use.connections >= allowlist.connections:
            raise RequestRefused(429, f"more than {allowlist.connections} connections at once")
        if (why := proxy.meter.begin(self._use, allowlist, entry)) is not None:
            raise RequestRefused(429, why)
        exchange.count = partial(proxy.meter.take, self._use, allowlist, entry)
        self._use.connections += 1
        try:
            secret = None
            if entry.secret is not None and (secret := await proxy.secrets.value(entry.secret)) is None:
                raise RequestRefused(403, f"there is no secret {entry.secret}: microclaw task secrets {entry.secret} -")
            upstream = await self._connect(request, verdict.port, tls=entry.tls and not request.tunnel)
            try:
                if request.tunnel:
                    await exchange.tunnel(upstream)
                else:
                    await exchange.request(upstream, request, entry, secret)
            finally:
                wait_s = (
                    proxy.times.stall_s if request.tunnel and not self._ending else 0
                )  # without one it has answered
                await upstream.streams.close(wait_s)
        finally:
            self._use.connections -= 1

    async def _connect(self, request: ProxyRequest, port: int, *, tls: bool) -> Upstream:
        """Connect to an address that was checked: the name is looked up once, here, and only now that it is allowed."""
        proxy, name = self._proxy, request.host
        try:
            addresses = await proxy.egress.addresses(Purpose.TASK, request.host, port)
        except MicroclawError as exc:
            raise RequestRefused(403 if isinstance(exc, PermissionRefused) else SERVERS_FAULT, exc.message) from exc
        context = await proxy.tls() if tls else None
        problem = "no address"
        for address in addresses[:MAX_TRIES]:
            try:
                async with asyncio.timeout(proxy.times.connect_s):
                    streams = await connect(address, port, way=proxy.way, tls=context, name=name)
                return Upstream(streams, port, tls)
            except ssl.SSLCertVerificationError as exc:
                problem = f"its certificate is refused: {exc.verify_message}"
                break
            except TimeoutError:
                problem = "it did not answer in time"
            except OSError as exc:
                problem = exc.strerror or str(exc)
        raise RequestRefused(SERVERS_FAULT, f"{request.host} cannot be reached: {problem}")

    def _note(
        self, kind: AuditKind, request: ProxyRequest | None, verdict: Verdict | None, exchange: Exchange, why: str
    ) -> None:
        """The security log's line: no path, no content."""
        what = "a request that is none"
        known: tuple[str, ...] = ()
        if request is not None:
            port = verdict.port if verdict is not None else request.port
            what = f"{request.method[:16]} {request.host}" + ("" if port is None else f":{port}")
            known = (request.host,) if kind is AuditKind.EGRESS_ALLOWED else ()  # a refused one may be somebody's data
        counted = f", {exchange.up_bytes:,} bytes up, {exchange.down_bytes:,} down" if exchange.count else ""
        text = f"{what}{counted}{f': {why}' if why else ''}"
        self._proxy.record(AuditEvent(kind, text, about=self._task, by=self._by, known=known))


def _listener(path: Path) -> socket.socket:
    """A socket that only this account can connect to. A path that is too long for the kernel goes by its folder."""
    listener = socket.socket(socket.AF_UNIX)
    folder = -1
    try:
        bound = str(path)
        if len(os.fsencode(bound)) > MAX_SOCKET_PATH_BYTES and OPEN_FILES.exists():
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            bound = str(OPEN_FILES / str(folder) / path.name)
        listener.bind(bound)
        path.chmod(0o600)
        listener.listen(64)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return listener
