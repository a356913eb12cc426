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
from dataclasses import KW_ONLY, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final

import h11
from msgspec import Struct

from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.config.places import MAX_SOCKET_PATH_BYTES
from microclaw.durable import make_private_folder
from microclaw.egress.allowlist import FILE_NAME, Allowlist, AllowlistSource
from microclaw.egress.destinations import Egress, Purpose
from microclaw.egress.exchange import BAD_GATEWAY, Exchange, Streams
from microclaw.egress.outgoing import Pair, open_streams
from microclaw.egress.policy import Meter, TaskUse, Verdict, judge
from microclaw.egress.request_head import MAX_HEAD_BYTES, ProxyRequest, RequestRefused, read_head
from microclaw.egress.secret_values import SecretValues
from microclaw.errors import ConfigError, MicroclawError, PermissionRefused, TaskRefused

SOCKET_NAME: Final = "proxy.sock"
MAX_OPEN: Final = 256  # connections of one task, those without a request too
OPEN_FILES: Final = Path("/proc/self/fd")
DEFAULT_TLS: Final = cache(ssl.create_default_context)
_log = logging.getLogger(__name__)


class ProxyTimes(Struct, frozen=True, kw_only=True):
    """The time limits of a peer, in seconds."""

    head_s: float = 10.0
    connect_s: float = 10.0
    stall_s: float = 30.0  # without a byte, in either direction
    total_s: float = 600.0


@dataclass(slots=True)
class EgressProxy:
    """The policy of the sandbox as a proxy. `tls` replaces the system's authorities, for tests with their own."""

    allowlist: AllowlistSource
    egress: Egress
    secrets: SecretValues
    _: KW_ONLY
    record: Record = no_record
    times: ProxyTimes = field(default_factory=ProxyTimes)
    tls: Callable[[], ssl.SSLContext] = DEFAULT_TLS
    meter: Meter = field(default_factory=Meter)

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


@dataclass(slots=True)
class _TaskProxy:
    proxy: EgressProxy
    task: str
    name: str
    by: str | None
    use: TaskUse = field(default_factory=TaskUse)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    ending: bool = False

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.running) >= MAX_OPEN:
            writer.close()
            return
        serving = self._serve(Streams(reader, writer, self.proxy.times.stall_s))
        running = asyncio.get_running_loop().create_task(serving, name=f"egress of {self.task}")
        self.running.add(running)
        running.add_done_callback(self.running.discard)

    async def close(self) -> None:
        """End every connection, at once."""
        self.ending = True
        for task in tuple(self.running):
            task.cancel()
        if self.running:
            await asyncio.wait(tuple(self.running))

    async def _serve(self, client: Streams) -> None:
        try:
            async with asyncio.timeout(self.proxy.times.total_s):
                await self._one_request(client)
        except (OSError, asyncio.IncompleteReadError, h11.ProtocolError):
            pass  # a peer that stalls or breaks off; what was done is in the security log
        except Exception:
            _log.exception("a request of a task failed")
        finally:
            await client.close(at_once=self.ending)

    async def _one_request(self, client: Streams) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        exchange = Exchange(client, connection)
        request: ProxyRequest | None = None
        verdict: Verdict | None = None
        try:
            request = read_head(await self._head(client), connection)
            try:
                allowlist = await asyncio.to_thread(self.proxy.allowlist.current)
            except ConfigError as exc:
                raise RequestRefused(403, "the allowlist has mistakes: microclaw task egress") from exc
            verdict = judge(allowlist, task=self.name, method=request.method, place=request.place)
            if not verdict.allowed:
                raise RequestRefused(403, verdict.why)
            try:
                await self._pass(exchange, request, allowlist, verdict)
            except ExceptionGroup as errors:  # of both directions: the first one ended the other
                raise errors.exceptions[0] from errors
            self._note(AuditKind.EGRESS_ALLOWED, request, verdict, exchange)
        except RequestRefused as exc:
            is_failure = exc.status == BAD_GATEWAY
            kind = AuditKind.EGRESS_ALLOWED if is_failure else AuditKind.EGRESS_REFUSED
            self._note(kind, request, verdict, exchange, f"it failed: {exc.why}" if is_failure else exc.why)
            await exchange.refuse(exc.status, exc.why)
        except BaseException as exc:
            if exchange.count is None:
                raise
            why = (str(exc) if isinstance(exc, OSError) else "") or "broken off"
            if isinstance(exc, TimeoutError):
                why = "nothing came, or was taken, in time"
            elif isinstance(exc, h11.ProtocolError):  # its own words may quote what came
                why = "the server's answer is not HTTP/1.1"
            self._note(AuditKind.EGRESS_ALLOWED, request, verdict, exchange, why)  # bytes may have gone out
            if not isinstance(exc, h11.ProtocolError | OSError):
                raise
            await exchange.refuse(504 if isinstance(exc, TimeoutError) else BAD_GATEWAY, why)

    async def _head(self, client: Streams) -> bytes:
        try:
            async with asyncio.timeout(self.proxy.times.head_s):
                return await client.reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as exc:
            raise RequestRefused(431, f"the request's head has more than {MAX_HEAD_BYTES:,} bytes") from exc
        except TimeoutError as exc:
            raise RequestRefused(408, "the request's head did not come in time") from exc

    async def _pass(self, exchange: Exchange, request: ProxyRequest, allowlist: Allowlist, verdict: Verdict) -> None:
        """Carry the request out. Raises RequestRefused before anything went back to the task."""
        proxy, entry = self.proxy, verdict.entry
        assert entry is not None
        if self.use.connections >= allowlist.limits.connections:
            raise RequestRefused(429, f"more than {allowlist.limits.connections} connections at once")
        if (why := proxy.meter.begin(self.use, allowlist, entry)) is not None:
            raise RequestRefused(429, why)
        exchange.count = partial(proxy.meter.take, self.use, allowlist, entry)
        self.use.connections += 1
        try:
            secret = None
            if entry.secret is not None and (secret := await proxy.secrets.value(entry.secret)) is None:
                raise RequestRefused(403, f"there is no secret {entry.secret}: microclaw task secrets {entry.secret} -")
            pair = await self._connect(request.place.host, verdict.port, tls=entry.tls and not request.tunnel)
            upstream = Streams(*pair, proxy.times.stall_s)
            try:
                if request.tunnel:
                    await exchange.tunnel(upstream)
                else:
                    await exchange.request(upstream, verdict.port, request, entry, secret)
            finally:  # what is no tunnel has answered
                await upstream.close(at_once=self.ending or not request.tunnel)
        finally:
            self.use.connections -= 1

    async def _connect(self, host: str, port: int, *, tls: bool) -> Pair:
        """Connect to an address that was checked: the name is looked up once, here, and only now that it is allowed."""
        proxy = self.proxy
        try:
            addresses = await proxy.egress.addresses(Purpose.TASK, host, port)
        except MicroclawError as exc:
            raise RequestRefused(403 if isinstance(exc, PermissionRefused) else BAD_GATEWAY, exc.message) from exc
        context = await asyncio.to_thread(proxy.tls) if tls else None
        try:
            async with asyncio.timeout(proxy.times.connect_s):
                return await open_streams(addresses, port, context, host)
        except OSError as exc:
            why = exc.strerror or str(exc)
            if isinstance(exc, ssl.SSLCertVerificationError):
                why = f"its certificate is refused: {exc.verify_message}"
            elif isinstance(exc, TimeoutError):
                why = "it did not answer in time"
            raise RequestRefused(BAD_GATEWAY, f"{host} cannot be reached: {why}") from exc

    def _note(
        self,
        kind: AuditKind,
        request: ProxyRequest | None,
        verdict: Verdict | None,
        exchange: Exchange,
        why: str = "",
    ) -> None:
        """The security log's line: no path, no content."""
        text = "a request that is none"
        known: tuple[str, ...] = ()
        if request is not None:
            place = request.place
            port = place.port if verdict is None else verdict.port
            text = f"{request.method[:16]} {place.host}" + ("" if port is None else f":{port}")
            known = (place.host,) if kind is AuditKind.EGRESS_ALLOWED else ()  # a refused one may be somebody's data
        if exchange.count is not None:
            text += f", {exchange.up_bytes:,} bytes up, {exchange.down_bytes:,} down"
        text += f": {why}" if why else ""
        self.proxy.record(AuditEvent(kind, text, about=self.task, by=self.by, known=known))


def _listener(path: Path) -> socket.socket:
    """A socket that only this account can connect to. A path that is too long for the kernel goes by its folder."""
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        is_short = len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES or not OPEN_FILES.exists()
        listener.bind(str(path if is_short else OPEN_FILES / str(folder) / path.name))
        path.chmod(0o600)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener
