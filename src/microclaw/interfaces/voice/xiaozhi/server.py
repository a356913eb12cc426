"""The server for devices of xiaozhi's firmware: their configuration and activation by HTTP, and their WebSocket.

It has no TLS, because the firmware accepts no certificate of a private authority. docs/protocols/xiaozhi.md is the
contract.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from aiohttp import WSCloseCode, web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

from microclaw.addresses import ip_of
from microclaw.bounded_map import BoundedMap
from microclaw.devices.link.http_connection import HttpConnection, accept_connections, plain_answer
from microclaw.devices.link.limits import ConnectionLimits, LinkLimits, RateLimit
from microclaw.devices.registry.registry import Registry
from microclaw.errors import MicroclawError, ProtocolError
from microclaw.host.auth.certificates import lan_names
from microclaw.host.auth.codes import WrongTokens
from microclaw.host.auth.credentials import CredentialRefusal, Identity
from microclaw.host.auth.pairing import HostIdentity
from microclaw.interfaces.channels.delivery import ChannelTasks
from microclaw.interfaces.voice.service import VoiceService
from microclaw.interfaces.voice.xiaozhi.connection import XiaozhiConnection
from microclaw.interfaces.voice.xiaozhi.device_tools import DeviceTools
from microclaw.interfaces.voice.xiaozhi.enrolment import DeviceIdentity, Enrolment
from microclaw.wire import xiaozhi
from microclaw.wire.xiaozhi import credential_of

OTA_PATH: Final = "/xiaozhi/ota/"
ACTIVATE_PATH: Final = "/xiaozhi/ota/activate"
SOCKET_PATH: Final = "/xiaozhi/v1/"
MAX_BODY_BYTES: Final = 32_768
MAX_ADDRESSES: Final = 1024
LINGER_S: Final = 2.0
_log = logging.getLogger(__name__)


_CONNECTIONS: Final = LinkLimits(
    arriving_in_all=128, arriving_an_address=16, connections_in_all=1000, connections_an_address=200
)


@dataclass(frozen=True, slots=True)
class XiaozhiLimits:
    """The limits, times in s. `requests_*` are for one address; a device asks every 3 s while it shows a code."""

    body_s: float = 10.0
    hello_s: float = 10.0
    idle_s: float = 60.0
    ping_s: float = 20.0
    close_s: float = 2.0
    requests_a_second: float = 2.0
    requests_at_once: float = 60.0
    wrong_tokens: int = 20
    connections: LinkLimits = _CONNECTIONS


class XiaozhiServer:
    """The server. `async with XiaozhiServer(...).serving(socket)`, inside of the voice service's `serving`."""

    def __init__(
        self,
        *,
        voice: VoiceService,
        devices: Registry,
        identity: HostIdentity,
        now_ms: Callable[[], int],
        zone: tzinfo | None = None,
        limits: XiaozhiLimits = XiaozhiLimits(),
    ) -> None:
        self._voice = voice
        self._identity = identity
        self._now_ms = now_ms
        self._zone = zone
        self._limits = limits
        self._tasks = ChannelTasks()
        self._enrolment = Enrolment(identity, devices, self._tasks, now_ms=now_ms)
        self._counts = ConnectionLimits(limits.connections)
        # Connections that have not shown who they are, the oldest first.
        self._arriving: list[HttpConnection] = []
        self._wrong_tokens = WrongTokens(limits.wrong_tokens)
        self._rates: BoundedMap[str, RateLimit] = BoundedMap(MAX_ADDRESSES)
        # By credential.
        self._live: dict[str, XiaozhiConnection] = {}
        self._port = 0
        self._names: frozenset[str] = frozenset()

    @property
    def connected(self) -> int:
        return len(self._live)

    def tools_of(self, device_id: str) -> DeviceTools | None:
        """Return the MCP tools of a device, or None if it is not connected."""
        for live in self._live.values():
            if live.device_id == device_id:
                return live.tools
        return None

    @asynccontextmanager
    async def serving(self, listening: socket.socket) -> AsyncGenerator[None]:
        """Accept devices on the bound socket `listening` inside the context."""
        self._port = listening.getsockname()[1]
        host_names = await asyncio.to_thread(lan_names)
        self._names = frozenset(name.lower() for name in host_names.names) | {"localhost"}
        app = web.Application(middlewares=[self._checked], client_max_size=MAX_BODY_BYTES + 1)
        app.router.add_post(ACTIVATE_PATH, self._activate)
        for slash in ("", "/"):
            app.router.add_post(OTA_PATH.rstrip("/") + slash, self._configure)
            app.router.add_get(SOCKET_PATH.rstrip("/") + slash, self._converse, allow_head=False)
        runner = web.AppRunner(app, shutdown_timeout=self._limits.close_s)
        await runner.setup()
        assert runner.server is not None
        stop_listening = self._identity.credentials.listen(self._revoked)
        try:
            async with self._tasks:
                self._tasks.start(self._accept(listening, runner.server), "xiaozhi: accept")
                yield
        finally:
            stop_listening()
            for live in tuple(self._live.values()):
                live.end(WSCloseCode.GOING_AWAY, "the host is stopping")
            await runner.cleanup()

    # Accepting connections

    async def _accept(self, listening: socket.socket, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        async for peer, host in accept_connections(listening, "xiaozhi"):
            if self._counts.must_wait(host):
                self._end_oldest()
            if not self._counts.admits(host):
                peer.close()
                continue
            self._counts.enter(host)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            http = HttpConnection(
                server,
                self._counts,
                host,
                on_no_request=lambda: None,
                timeout_s=self._limits.connections.request_s,
                linger_s=LINGER_S,
            )
            try:
                await loop.connect_accepted_socket(lambda http=http: http, peer)  # type: ignore[misc]
            except OSError:
                peer.close()
                http.leave()
                continue
            self._arriving = [connection for connection in self._arriving if connection.is_arriving]
            self._arriving.append(http)

    def _end_oldest(self) -> None:
        """End the oldest arriving connection of the address with the most of them, so that a flood removes itself."""
        arriving = [connection for connection in self._arriving if connection.is_arriving]
        if not arriving:
            return
        counts = Counter(connection.address for connection in arriving)
        crowded_address = counts.most_common(1)[0][0]
        oldest = next(connection for connection in arriving if connection.address == crowded_address)
        # The transport reports its end only later.
        oldest.leave()
        if oldest.transport is not None:
            oldest.transport.abort()

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests that no device sends, before their body is read; answer the errors of the others."""
        http = _http_of(request)
        http.has_asked = True
        if request.headers.get("Origin") is not None or not self._is_ours(request):
            return plain_answer(403, "forbidden: web pages and foreign names may not call this server")
        if not self._rate(http.address).allows(time.monotonic()):
            return plain_answer(429, "too many requests: wait a minute")
        # A compressed body could unpack to gigabytes.
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            return plain_answer(415, "no Content-Encoding is supported: send the body as it is")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return plain_answer(413, f"the body has more than {MAX_BODY_BYTES:,} bytes")
        try:
            async with asyncio.timeout(self._limits.body_s):
                await request.read()
        except (TimeoutError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
            return plain_answer(400, f"the body is incomplete, invalid or took more than {self._limits.body_s:g} s")
        except web.HTTPException as exc:
            return plain_answer(exc.status, f"the body has more than {MAX_BODY_BYTES:,} bytes")
        return await _answer_errors(request, handler)

    def _is_ours(self, request: web.Request) -> bool:
        """Return True for an IP address or a name of this machine, not for a page's name that was rebound to it."""
        try:
            host = (request.url.host or "").lower()
        except ValueError:
            return False
        return ip_of(host) is not None or host in self._names

    def _rate(self, address: str) -> RateLimit:
        """Return the rate limit of an address, and keep it as the newest."""
        limits = self._limits
        new = RateLimit(limits.requests_a_second, limits.requests_at_once, time.monotonic())
        rate = self._rates.get(address, new)
        self._rates[address] = rate
        return rate

    # HTTP

    async def _configure(self, request: web.Request) -> web.StreamResponse:
        """Answer a device that starts, with the time, the WebSocket's address, and its token or a code to show."""
        report = xiaozhi.read_report(await request.read())
        welcome = await self._enrolment.start(_asker(request), report.board.type or report.board.name)
        if isinstance(welcome, CredentialRefusal):
            return plain_answer(429, f"{welcome.reason}: wait two minutes")
        activation = None
        code = welcome.code
        if code is not None:
            activation = {"code": code, "message": f"microclaw\n{code}", "challenge": secrets.token_hex(16)}
        now_ms = self._now_ms()
        offset = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self._zone).utcoffset()
        zone_minutes = 0 if offset is None else int(offset.total_seconds() // 60)
        return _json_answer(
            xiaozhi.configuration(
                report,
                url=f"ws://{request.url.host}:{self._port}{SOCKET_PATH}",
                now_ms=now_ms,
                zone_minutes=zone_minutes,
                token=welcome.token,
                activation=activation,
            )
        )

    async def _activate(self, request: web.Request) -> web.StreamResponse:
        """Answer a device that shows a code: 202 while it waits, 200 when it is paired."""
        asker = _asker(request)
        if self._enrolment.is_showing(asker):
            return _json_answer({}, status=202)
        if await self._enrolment.is_paired(asker):
            return _json_answer({})
        return plain_answer(404, f"this device shows no code: it has to POST to {OTA_PATH} first")

    # The WebSocket

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        """Authenticate a device and serve its WebSocket. An earlier connection of the same device ends."""
        asker = _asker(request)
        limits = self._limits
        if self._wrong_tokens.wait_s(asker.address) > 0:
            return plain_answer(429, "too many wrong tokens: wait a minute")
        entry = await self._enrolment.authenticate(asker, request.headers.get("Authorization"))
        if isinstance(entry, CredentialRefusal):
            self._wrong_tokens.add(asker.address)
            _log.warning("xiaozhi: the device %s is refused: %s", asker.mac, entry.reason)
            return plain_answer(401, "this token is not valid: start the device again, it shows a code then")
        device, identity = entry
        if self._counts.is_full:
            return plain_answer(503, "too many devices are connected")
        answer = web.WebSocketResponse(
            compress=False,
            heartbeat=limits.ping_s,
            max_msg_size=xiaozhi.MAX_TEXT_BYTES,
            timeout=limits.close_s,
        )
        await answer.prepare(request)
        _http_of(request).note_authenticated()
        live = XiaozhiConnection(
            device,
            secrets.token_hex(8),
            self._voice,
            hello_s=limits.hello_s,
            idle_s=limits.idle_s,
            now_s=time.monotonic,
        )
        await self._serve(live, answer, credential_of(asker.mac), identity)
        return answer

    async def _serve(
        self, live: XiaozhiConnection, answer: web.WebSocketResponse, credential: str, identity: Identity
    ) -> None:
        """Serve a connection to its end, as the only one of its credential."""
        older = self._live.get(credential)
        if older is not None:
            older.end(WSCloseCode.POLICY_VIOLATION, "a newer connection of this device")
        self._live[credential] = live
        try:
            async with self._identity.credentials.watch_connection(identity) as is_good:
                if not is_good:
                    live.end(WSCloseCode.POLICY_VIOLATION, "revoked")
                await live.run(answer)
        finally:
            if self._live.get(credential) is live:
                del self._live[credential]

    def _revoked(self, device_id: str) -> None:
        live = self._live.get(device_id)
        if live is not None:
            live.end(WSCloseCode.POLICY_VIOLATION, "revoked")


async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle a request, and turn its errors into plain answers."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        return plain_answer(exc.status, f"{exc.reason}: devices POST to {OTA_PATH}")
    except ProtocolError as exc:
        return plain_answer(400, exc.message)
    except MicroclawError as exc:
        # The store may fail.
        _log.warning("xiaozhi: %s was not answered: %s", _http_of(request).address, exc.message)
        return plain_answer(503, "the host's log has the reason")


def _http_of(request: web.Request) -> HttpConnection:
    http = request.protocol
    assert isinstance(http, HttpConnection)
    return http


def _asker(request: web.Request) -> DeviceIdentity:
    """Return the device and the address of a request. Raises ProtocolError if its headers are invalid."""
    mac = xiaozhi.read_mac(request.headers.get("Device-Id"))
    return DeviceIdentity(mac, xiaozhi.read_client(request.headers.get("Client-Id")), _http_of(request).address)


def _json_answer(body: dict[str, Any], status: int = 200) -> web.Response:
    response = web.json_response(body, status=status)
    response.force_close()
    return response
