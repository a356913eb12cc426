"""The HTTP proxy of one task: it checks each request, connects to a checked address and counts.

A connection carries one request. Requests and answers are written again from their parsed form, so that a server behind
the proxy cannot read a request in another way. Redirects go back to the task: its next request is checked again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import h11
from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError, MicroclawError, PermissionRefused, TaskRefused
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.egress.allowlist import EVERY, FILE_NAME, AllowEntry, Allowlist, read_allowlist
from microclaw.host.egress.destinations import Egress, Purpose
from microclaw.host.egress.exchange import BAD_GATEWAY, FAILURES, Exchange, StreamPair
from microclaw.host.egress.outgoing import open_streams
from microclaw.host.egress.request_head import MAX_HEAD_BYTES, ProxyRequest, RequestHeadRefused, read_head
from microclaw.host.egress.secret_values import SecretValues

if TYPE_CHECKING:
    from microclaw.host.sandbox.run import Serve

# Connections of one task, also those without a request: each is a file descriptor of the host.
MAX_OPEN: Final = 32
# A task that connects in a loop must not hold up the event loop, which accepts a whole backlog at once.
BACKLOG: Final = 4
DAY_S: Final = 86_400
MINUTE_S: Final = 60.0
Counts: TypeAlias = Counter[tuple[object, object]]
"""Requests and bytes so far, by the place of a limit and its minute or day."""
DEFAULT_TLS: Final = cache(ssl.create_default_context)
_log = logging.getLogger(__name__)


class ProxyTimes(Struct, frozen=True, kw_only=True):
    """The time limits of a peer, in seconds."""

    head_s: float = 10.0
    connect_s: float = 10.0
    # The longest time without a byte, in either direction.
    stall_s: float = 30.0
    total_s: float = 600.0


@dataclass(slots=True)
class EgressProxy:
    """The proxy of a home's sandbox. `tls` replaces the system's authorities in tests.

    `now_s` is monotonic; `days` counts the bytes of all tasks.
    """

    home: Path
    egress: Egress
    secrets: SecretValues
    _: KW_ONLY
    record: Record = no_record
    times: ProxyTimes = field(default_factory=ProxyTimes)
    tls: Callable[[], ssl.SSLContext] = DEFAULT_TLS
    now_s: Callable[[], float] = time.monotonic
    days: Counts = field(init=False, default_factory=Counter)

    def reach(self, name: str) -> tuple[str, ...]:
        """Return the places that a task of this name may ask, a line for each entry. Blocking.

        Raises TaskRefused for a name that the allowlist does not have, ConfigError if the allowlist has mistakes.
        """
        allowlist = read_allowlist(self.home / FILE_NAME)
        if not any(name in (entry.tasks or {EVERY}) for entry in allowlist.entries):
            step = f"the owner of this host adds to {FILE_NAME}: - {{host: api.example.com, tasks: [{name[:40]}]}}"
            raise TaskRefused(f"the allowlist has nothing for {name[:40]!r}", next_step=step)
        return tuple(entry.words for entry in allowlist.entries if entry.counts_for(name))

    def for_task(self, task: str, name: str, by: str | None = None) -> Serve:
        """Return the proxy of one task.

        `task` is its name in the security log, `name` its name in `tasks:` of entries, `by` the person who started
        it.
        """
        return _TaskProxy(self, task, name, by).serve


@dataclass(slots=True)
class _TaskProxy:
    proxy: EgressProxy
    task: str
    name: str
    by: str | None
    use: Counts = field(default_factory=Counter)
    open_count: int = 0
    running: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, at: socket.socket) -> None:
        """Serve at a socket until this is cancelled, which ends every connection at once."""
        server = await asyncio.start_server(
            self.connected, sock=at, limit=MAX_HEAD_BYTES, backlog=BACKLOG, start_serving=False
        )
        try:
            await server.start_serving()
            await asyncio.Event().wait()
        finally:
            server.close()
            while self.running:
                for task in self.running:
                    task.cancel()
                # A task that swallowed its cancellation is cancelled again.
                await asyncio.wait(self.running, timeout=0.01)

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.running) >= MAX_OPEN:
            writer.close()
            return
        serving = self._serve(StreamPair(reader, writer, self.proxy.times.stall_s))
        running = asyncio.get_running_loop().create_task(serving, name=f"egress of {self.task}")
        self.running.add(running)
        running.add_done_callback(self.running.discard)
        # Also if the task is cancelled before it began.
        running.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, client: StreamPair) -> None:
        try:
            async with asyncio.timeout(self.proxy.times.total_s):
                await self._one_request(Exchange(client))
        except OSError:
            # The peer stalled or closed the connection. The security log has the request.
            pass
        except Exception:
            _log.exception("a request of a task failed")
        finally:
            await client.close()

    async def _one_request(self, exchange: Exchange) -> None:
        status = 0
        why = "the connection was closed"
        try:
            await self._carry_out(exchange)
            why = ""
        except RequestHeadRefused as exc:
            status = exc.status
            why = exc.why
        except TimeoutError:
            status = 504
            why = "the peer did not send or read in time"
        # Its own text may quote the answer, so it is not used.
        except h11.ProtocolError:
            status = BAD_GATEWAY
            why = "the server's answer is not HTTP/1.1"
        except ConfigError:
            status = 403
            why = "the allowlist has mistakes: microclaw task egress"
        except MicroclawError as exc:
            status = 403 if isinstance(exc, PermissionRefused) else BAD_GATEWAY
            why = exc.message
        except OSError as exc:
            status = BAD_GATEWAY
            why = exc.strerror or str(exc) or why
        finally:
            # Once bytes are counted, some may have gone out.
            if status or exchange.count is not None:
                was_allowed = exchange.has_answered or status in (0, *FAILURES)
                kind = AuditKind.EGRESS_ALLOWED if was_allowed else AuditKind.EGRESS_REFUSED
                self._note(exchange, kind, why)
        if status and not exchange.has_answered:
            await exchange.refuse(status, why)

    async def _carry_out(self, exchange: Exchange) -> None:
        """Read a request, check it, pass it on.

        Raises RequestHeadRefused, MicroclawError, OSError, h11.ProtocolError.
        """
        head = await self._head(exchange.client.reader)
        # A connection without a request.
        if not head:
            return
        exchange.request = read_head(head, exchange.connection)
        allowlist = await asyncio.to_thread(read_allowlist, self.proxy.home / FILE_NAME)
        entry, exchange.request = judge(allowlist, self.name, exchange.request)
        if self.open_count >= allowlist.limits.connections:
            raise RequestHeadRefused(429, f"more than {allowlist.limits.connections} connections at once")
        self._take(allowlist, entry, 0, begins=1)
        exchange.count = partial(self._take, allowlist, entry)
        self.open_count += 1
        try:
            await self._pass(exchange, exchange.request, entry)
        except ExceptionGroup as errors:
            # Of both directions: the first error ended the other direction.
            raise errors.exceptions[0] from errors
        finally:
            self.open_count -= 1

    def _take(self, allowlist: Allowlist, entry: AllowEntry, size_bytes: int, *, begins: int = 0) -> None:
        """Count bytes before they pass, and `begins` requests.

        Raises RequestHeadRefused if a limit would be exceeded.
        """
        minute = int(self.proxy.now_s() // MINUTE_S)
        day = int(time.time() // DAY_S)
        rows = []
        for place, name, limit in ((0, "", allowlist.limits), (entry.line, entry.host, entry)):
            rows += [
                (self.use, (place, minute), begins, limit.requests_per_minute, "requests a minute"),
                (self.use, (place, None), size_bytes, limit.bytes_per_task, "bytes in this task"),
                (self.proxy.days, (name, day), size_bytes, limit.bytes_per_day, "bytes today"),
            ]
        for counts, key, more, most, what in rows:
            if most is None or not (more or begins):
                continue
            if counts[key] + max(more, begins) > most:
                raise RequestHeadRefused(429, f"more than {most:,} {what}")
        for counts, key, more, _, _ in rows:
            counts[key] += more

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        """Return the bytes of a head, or the bytes before the connection was closed."""
        try:
            async with asyncio.timeout(self.proxy.times.head_s):
                return await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as exc:
            raise RequestHeadRefused(431, f"the request's head has more than {MAX_HEAD_BYTES:,} bytes") from exc
        except TimeoutError as exc:
            raise RequestHeadRefused(408, "the head of the request did not come in time") from exc
        except (OSError, asyncio.IncompleteReadError) as exc:
            return getattr(exc, "partial", b"")

    async def _pass(self, exchange: Exchange, request: ProxyRequest, entry: AllowEntry) -> None:
        """Connect to a checked address and pass the request on.

        The name is looked up only here, once, after the request was allowed.
        """
        proxy = self.proxy
        secret = None
        if entry.secret is not None:
            secret = await proxy.secrets.value(entry.secret)
            if secret is None:
                raise RequestHeadRefused(
                    403, f"there is no secret {entry.secret}: microclaw task secrets {entry.secret} -"
                )
        addresses = await proxy.egress.addresses(Purpose.TASK, request.host, request.port)
        context = None
        if entry.tls and not request.tunnel:
            context = await asyncio.to_thread(proxy.tls)
        try:
            async with asyncio.timeout(proxy.times.connect_s):
                pair = await open_streams(addresses, request.port, context, request.host)
        except OSError as exc:
            reason = exc.strerror or str(exc) or "it did not answer in time"
            raise RequestHeadRefused(BAD_GATEWAY, f"{request.host} cannot be reached: {reason}") from exc
        upstream = StreamPair(*pair, proxy.times.stall_s)
        try:
            if request.tunnel:
                await exchange.tunnel(upstream)
            else:
                await exchange.fetch(upstream, request, entry, secret)
        finally:
            # The bytes that the task sent still go out.
            if request.tunnel:
                await upstream.close()
            upstream.writer.transport.abort()

    def _note(self, exchange: Exchange, kind: AuditKind, why: str) -> None:
        """Write a line to the security log, without path and content."""
        text = "an invalid request"
        known: tuple[str, ...] = ()
        request = exchange.request
        if request is not None:
            text = f"{request.method[:16]} {request.host}:{request.port}"
            # The host of a refused request may be a person's data.
            if kind is AuditKind.EGRESS_ALLOWED:
                known = (request.host,)
        if exchange.count is not None:
            text += f", {exchange.up_bytes:,} bytes up, {exchange.down_bytes:,} down"
        if why:
            text += f": {why}"
        self.proxy.record(AuditEvent(kind, text, about=self.task, by=self.by, known=known))


def judge(allowlist: Allowlist, task: str, request: ProxyRequest) -> tuple[AllowEntry, ProxyRequest]:
    """Return the entry that allows a request, and the request with the port to connect to.

    Raises RequestHeadRefused.
    """
    entries = [entry for entry in allowlist.entries if entry.fits(request.host, task)]
    if not entries:
        raise RequestHeadRefused(403, f"{request.host} is not on the allowlist for this task")
    highest = max(entry.specificity for entry in entries)
    reasons: list[str] = []
    for entry in entries:
        if entry.specificity != highest:
            continue
        # The task asks for http://HOST/PATH, and the proxy adds TLS.
        adds_tls = entry.tls and request.port == 80 and not request.tunnel
        secured = replace(request, port=443) if adds_tls else request
        reason = _refusal_reason(entry, secured)
        if not reason:
            return entry, secured
        reasons.append(reason)
    raise RequestHeadRefused(403, reasons[0])


def _refusal_reason(entry: AllowEntry, request: ProxyRequest) -> str:
    """Return why an entry does not allow a request, or an empty text."""
    host = request.host
    tunnel = request.tunnel
    method = request.method
    if tunnel and (entry.methods is not None or entry.secret is not None):
        return f"line {entry.line} has methods or a secret, which CONNECT hides: ask http://{host}/PATH"
    if not tunnel and not entry.tls and request.scheme == "https":
        return f"line {entry.line} has no tls: true, so the proxy adds no TLS: use CONNECT"
    if request.port not in entry.ports:
        return f"port {request.port} is not allowed for {host} (line {entry.line})"
    if not tunnel and entry.methods is not None and method not in entry.methods:
        return f"{method} is not allowed for {host} (line {entry.line})"
    return ""
