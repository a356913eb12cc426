"""The HTTP proxy of one task: each request is judged, connected to a checked address and counted.

One request a connection. What is passed on is written again from what was understood, in both directions, so that no
server behind can read a request in another way. Redirects go back to the task: a new request is judged again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import cache, partial
from typing import Any, Final, TypeAlias

import h11
from msgspec import Struct

from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.egress.allowlist import FILE_NAME, AllowEntry, Allowlist, AllowlistSource
from microclaw.egress.destinations import Egress, Purpose
from microclaw.egress.exchange import BAD_GATEWAY, FAILURES, Exchange, Streams
from microclaw.egress.outgoing import Pair, open_streams
from microclaw.egress.request_head import MAX_HEAD_BYTES, ProxyRequest, RequestRefused, read_head
from microclaw.egress.secret_values import SecretValues
from microclaw.errors import ConfigError, MicroclawError, PermissionRefused, TaskRefused

MAX_OPEN: Final = 256  # connections of one task, those without a request too
DAY_S: Final = 86_400
MINUTE_S: Final = 60.0
Listen: TypeAlias = Callable[[socket.socket], Coroutine[Any, Any, None]]
Counts: TypeAlias = Counter[tuple[object, object]]
"""Requests and bytes so far: by the place of a limit, and the minute or day that it is of."""
DEFAULT_TLS: Final = cache(ssl.create_default_context)
_log = logging.getLogger(__name__)


class ProxyTimes(Struct, frozen=True, kw_only=True):
    """The time limits of a peer, in seconds."""

    head_s: float = 10.0
    connect_s: float = 10.0
    stall_s: float = 30.0  # without a byte, in either direction
    total_s: float = 600.0


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts requests and bytes against the limits. `now_s` is monotonic, `unix_s` decides which day it is (UTC)."""

    now_s: Callable[[], float] = time.monotonic
    unix_s: Callable[[], float] = time.time
    days: Counts = field(default_factory=Counter)

    def take(self, use: Counts, allowlist: Allowlist, entry: AllowEntry, size_bytes: int, *, begins: int = 0) -> None:
        """Count bytes of a task before they pass, and a request that `begins`. Raises RequestRefused for too much."""
        minute, day = int(self.now_s() // MINUTE_S), int(self.unix_s() // DAY_S)
        rows = []
        for place, name, limit in ((0, "", allowlist.limits), (entry.line, entry.host, entry)):
            rows += [
                (use, (place, minute), begins, limit.requests_per_minute, "requests a minute"),
                (use, (place, None), size_bytes, limit.bytes_per_task, "bytes in this task"),
                (self.days, (name, day), size_bytes, limit.bytes_per_day, "bytes today"),
            ]
        for counts, key, more, most, what in rows:
            if most is not None and (more or begins) and counts[key] + max(more, begins) > most:
                raise RequestRefused(429, f"more than {most:,} {what}")
        for counts, key, more, _, _ in rows:
            counts[key] += more


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
        if not allowlist.knows(name):
            step = f"the owner of this host adds to {FILE_NAME}: - {{host: api.example.com, tasks: [{name[:40]}]}}"
            raise TaskRefused(f"the allowlist has nothing for {name[:40]!r}", next_step=step)
        return tuple(entry.words for entry in allowlist.entries if entry.counts_for(name))

    @asynccontextmanager
    async def serving(self, task: str, *, name: str | None = None, by: str | None = None) -> AsyncIterator[Listen]:
        """One task's proxy, to be called with a socket that listens. It ends with the block.

        `task` is what the security log names, `name` what entries with `tasks:` name; without it they are the same.
        `by` is who asked for the task.
        """
        proxy = _TaskProxy(self, task, name or task, by)
        try:
            yield proxy.listen
        finally:
            await proxy.close()


@dataclass(slots=True)
class _TaskProxy:
    proxy: EgressProxy
    task: str
    name: str
    by: str | None
    use: Counts = field(default_factory=Counter)
    open_count: int = 0
    running: set[asyncio.Task[None]] = field(default_factory=set)
    ending: bool = False
    server: asyncio.Server | None = None

    async def listen(self, at: socket.socket) -> None:
        self.server = await asyncio.start_server(self.connected, sock=at, limit=MAX_HEAD_BYTES)

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
        if self.server is not None:
            self.server.close()
        for task in tuple(self.running):
            task.cancel()
        if self.running:
            await asyncio.wait(tuple(self.running))

    async def _serve(self, client: Streams) -> None:
        try:
            async with asyncio.timeout(self.proxy.times.total_s):
                await self._one_request(client)
        except OSError:
            pass  # a peer that stalls or breaks off; what was done is in the security log
        except Exception:
            _log.exception("a request of a task failed")
        finally:
            await client.close(at_once=self.ending)

    async def _one_request(self, client: Streams) -> None:
        exchange = Exchange(client)
        status, why = 0, "broken off"
        try:
            await self._carry_out(exchange)
            why = ""
        except RequestRefused as exc:
            status, why = exc.status, exc.why
        except TimeoutError:
            status, why = 504, "nothing came, or was taken, in time"
        except h11.ProtocolError:  # its own words may quote what came
            status, why = BAD_GATEWAY, "the server's answer is not HTTP/1.1"
        except OSError as exc:
            status, why = BAD_GATEWAY, str(exc) or why
        finally:
            if status or exchange.count is not None:  # bytes may have gone out
                was_allowed = exchange.has_answered or status in (0, *FAILURES)
                self._note(exchange, AuditKind.EGRESS_ALLOWED if was_allowed else AuditKind.EGRESS_REFUSED, why)
        if status:
            await exchange.refuse(status, why)

    async def _carry_out(self, exchange: Exchange) -> None:
        """Raises RequestRefused, OSError, h11.ProtocolError."""
        if not (head := await self._head(exchange.client)):
            return  # a connection without a request
        request = exchange.request = read_head(head, exchange.connection)
        exchange.port = request.usual_port
        try:
            allowlist = await asyncio.to_thread(self.proxy.allowlist.current)
        except ConfigError as exc:
            raise RequestRefused(403, "the allowlist has mistakes: microclaw task egress") from exc
        entry, exchange.port = judge(allowlist, self.name, request)
        try:
            await self._pass(exchange, allowlist, entry)
        except ExceptionGroup as errors:  # of both directions: the first one ended the other
            raise errors.exceptions[0] from errors

    async def _head(self, client: Streams) -> bytes:
        try:
            async with asyncio.timeout(self.proxy.times.head_s):
                return await client.reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as exc:
            raise RequestRefused(431, f"the request's head has more than {MAX_HEAD_BYTES:,} bytes") from exc
        except TimeoutError as exc:
            raise RequestRefused(408, "the request's head did not come in time") from exc
        except (OSError, asyncio.IncompleteReadError) as exc:
            if not getattr(exc, "partial", b""):
                return b""
            raise RequestRefused(400, "the request's head broke off") from exc

    async def _pass(self, exchange: Exchange, allowlist: Allowlist, entry: AllowEntry) -> None:
        proxy, request = self.proxy, exchange.request
        assert request is not None
        if self.open_count >= allowlist.limits.connections:
            raise RequestRefused(429, f"more than {allowlist.limits.connections} connections at once")
        proxy.meter.take(self.use, allowlist, entry, 0, begins=1)
        exchange.count = partial(proxy.meter.take, self.use, allowlist, entry)
        self.open_count += 1
        try:
            secret = None
            if entry.secret is not None and (secret := await proxy.secrets.value(entry.secret)) is None:
                raise RequestRefused(403, f"there is no secret {entry.secret}: microclaw task secrets {entry.secret} -")
            pair = await self._connect(request.host, exchange.port, tls=entry.tls and not request.tunnel)
            upstream = Streams(*pair, proxy.times.stall_s)
            try:
                if request.tunnel:
                    await exchange.tunnel(upstream)
                else:
                    await exchange.fetch(upstream, request, entry, secret)
            finally:  # what is no tunnel has answered
                await upstream.close(at_once=self.ending or not request.tunnel)
        finally:
            self.open_count -= 1

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
            why = exc.strerror or str(exc) or "it did not answer in time"
            raise RequestRefused(BAD_GATEWAY, f"{host} cannot be reached: {why}") from exc

    def _note(self, exchange: Exchange, kind: AuditKind, why: str) -> None:
        """The security log's line: no path, no content."""
        text = "a request that is none"
        known: tuple[str, ...] = ()
        if (request := exchange.request) is not None:
            text = f"{request.method[:16]} {request.host}:{exchange.port}"
            known = (request.host,) if kind is AuditKind.EGRESS_ALLOWED else ()  # a refused one may be somebody's data
        if exchange.count is not None:
            text += f", {exchange.up_bytes:,} bytes up, {exchange.down_bytes:,} down"
        text += f": {why}" if why else ""
        self.proxy.record(AuditEvent(kind, text, about=self.task, by=self.by, known=known))


def judge(allowlist: Allowlist, task: str, request: ProxyRequest) -> tuple[AllowEntry, int]:
    """The entry that allows a request, and the port where the proxy connects. Raises RequestRefused."""
    about = [entry for entry in allowlist.entries if entry.fits(request.host, task)]
    if not about:
        raise RequestRefused(403, f"{request.host} is not on the allowlist for this task")
    narrowest = max(entry.specificity for entry in about)
    reasons: list[str] = []
    for entry in about:
        if entry.specificity == narrowest:
            port = request.usual_port
            if entry.tls and port == 80 and not request.tunnel:
                port = 443  # the task asks http://HOST/PATH, the proxy speaks TLS
            if not (why := _obstacle(entry, request, port)):
                return entry, port
            reasons.append(why)
    raise RequestRefused(403, reasons[0])


def _obstacle(entry: AllowEntry, request: ProxyRequest, port: int) -> str:
    host, tunnel, method = request.host, request.tunnel, request.method
    if tunnel and (entry.methods is not None or entry.secret is not None):
        return f"line {entry.line} has methods or a secret, and CONNECT cannot be seen: ask http://{host}/PATH"
    if not tunnel and not entry.tls and request.scheme == "https":
        return f"line {entry.line} has no tls: true, so that the proxy does not speak TLS for the task: use CONNECT"
    if port not in entry.ports:
        return f"port {port} is not allowed for {host} (line {entry.line})"
    if not tunnel and entry.methods is not None and method not in entry.methods:
        return f"{method} is not allowed for {host} (line {entry.line})"
    return ""
