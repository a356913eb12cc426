"""The server that devices of xiaozhi's firmware know: their configuration and activation by HTTP, and their WebSocket.

Without TLS: the firmware takes no certificate of one's own authority. docs/protocols/xiaozhi.md is the contract.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final

from aiohttp import WSCloseCode, web

from microclaw.auth.certificates import lan_names
from microclaw.auth.codes import WrongTokens
from microclaw.auth.credentials import Refusal
from microclaw.auth.pairing import HostIdentity
from microclaw.devices.registry import Registry
from microclaw.errors import MicroclawError, ProtocolError
from microclaw.link_server.http_connection import HttpConnection, accepted
from microclaw.link_server.limits import ConnectionLimits, LinkLimits, RateLimit
from microclaw.voice.service import VoiceService
from microclaw.voice.xiaozhi.arrivals import Arrivals
from microclaw.voice.xiaozhi.connection import XiaozhiConnection
from microclaw.voice.xiaozhi.conversation import Conversation
from microclaw.voice.xiaozhi.device_tools import DeviceTools
from microclaw.voice.xiaozhi.enrolment import Asker, Enrolment, Paired, ShowCode, client_hash
from microclaw.voice.xiaozhi.http_answers import (
    BodyTooLong,
    discard_body,
    is_address,
    is_coded,
    json_answer,
    read_body,
    without_port,
    words,
)
from microclaw.wire import xiaozhi
from microclaw.wire.xiaozhi import credential_of

OTA_PATH: Final = "/xiaozhi/ota/"
ACTIVATE_PATH: Final = "/xiaozhi/ota/activate"
SOCKET_PATH: Final = "/xiaozhi/v1/"
MAX_BODY_BYTES: Final = 32_768
MAX_ADDRESSES: Final = 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class XiaozhiLimits:
    """Times in s. `requests_*` are of one address; a device asks every 3 s while it shows a code."""

    body_s: float = 10.0
    hello_s: float = 10.0
    idle_s: float = 60.0
    ping_s: float = 20.0
    close_s: float = 2.0
    requests_a_second: float = 2.0
    requests_at_once: float = 60.0
    wrong_tokens: int = 20
    connections: LinkLimits = field(
        default_factory=lambda: LinkLimits(
            handshake_s=10.0,
            arriving_in_all=128,
            arriving_an_address=16,
            connections_in_all=1000,
            connections_an_address=200,
        )
    )


class XiaozhiServer:
    """`async with XiaozhiServer(...).serving(socket)`: inside, devices are let in. Enter it inside of the voice's."""

    def __init__(
        self,
        *,
        voice: VoiceService,
        devices: Registry,
        identity: HostIdentity,
        now_ms: Callable[[], int],
        zone: tzinfo | None = None,
        limits: XiaozhiLimits = XiaozhiLimits(),
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._voice = voice
        self._devices = devices
        self._identity = identity
        self._now_ms = now_ms
        self._zone = zone
        self._limits = limits
        self._clock_s = clock_s
        self._counts = ConnectionLimits(limits.connections)
        self._arrivals = Arrivals(clock_s)
        self._wrong_tokens = WrongTokens(limits.wrong_tokens, clock_s)
        self._rates: OrderedDict[str, RateLimit] = OrderedDict()
        self._live: dict[str, Conversation] = {}  # by credential
        self._enrolment: Enrolment | None = None
        self._port = 0
        self._names: frozenset[str] = frozenset()

    @property
    def connected(self) -> int:
        return len(self._live)

    def tools_of(self, device_id: str) -> DeviceTools | None:
        """The MCP tools of a device that is connected."""
        found = (live.connection.tools for live in self._live.values() if live.connection.device_id == device_id)
        return next(found, None)

    @asynccontextmanager
    async def serving(self, listening: socket.socket) -> AsyncGenerator[None]:
        """`listening` is bound already."""
        self._port = listening.getsockname()[1]
        names = await asyncio.to_thread(lan_names)
        self._names = frozenset(name.lower() for name in names.names)
        stop_listening = self._identity.credentials.listen(self._revoked)
        async with asyncio.TaskGroup() as tasks:
            self._enrolment = Enrolment(
                self._identity, self._devices, tasks, now_ms=self._now_ms, clock_s=self._clock_s
            )
            server = web.Server(self._handle)
            accepting = tasks.create_task(self._accept(listening, server), name="xiaozhi: accept")
            try:
                yield
            finally:
                stop_listening()
                accepting.cancel()
                for live in tuple(self._live.values()):
                    live.end(WSCloseCode.GOING_AWAY, "the host is stopping")
                await server.shutdown(self._limits.close_s)
                self._enrolment.close()

    # Who comes in

    async def _accept(self, listening: socket.socket, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        async for peer, host in accepted(listening, "xiaozhi"):
            if self._counts.must_wait(host):
                self._arrivals.make_room(host)
            if not self._counts.admits(host):
                peer.close()
                continue
            self._counts.enter(host)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            timeout_s = self._limits.connections.handshake_s
            http = HttpConnection(server, self._counts, host, on_no_request=lambda: None, timeout_s=timeout_s)
            try:
                await loop.connect_accepted_socket(lambda http=http: http, peer)  # type: ignore[misc]
            except OSError:
                peer.close()
                http.leave()
                continue
            self._arrivals.enter(http)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = await self._answer(request)
        if answer.status >= 400:
            await discard_body(request)
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        http = request.protocol
        assert isinstance(http, HttpConnection)
        http.has_asked = True
        routes: dict[tuple[str, str], Callable[[web.BaseRequest, Asker], Awaitable[web.StreamResponse]]] = {
            ("POST", OTA_PATH): self._configure,
            ("POST", OTA_PATH.rstrip("/")): self._configure,
            ("POST", ACTIVATE_PATH): self._activate,
            ("GET", SOCKET_PATH): self._converse,
            ("GET", SOCKET_PATH.rstrip("/")): self._converse,
        }
        route = routes.get((request.method, request.path))
        if route is None:
            return words(404, f"not found: devices POST to {OTA_PATH}")
        if request.headers.get("Origin") is not None or not self._is_ours(request.host):
            return words(403, "forbidden: web pages and foreign names may not call this server")
        if not self._rate(http.address).allows(self._clock_s()):
            return words(429, "too many requests: wait a minute")
        if is_coded(request):
            return words(415, "no Content-Encoding is taken: send the body as it is")
        try:
            asker = Asker(
                xiaozhi.read_mac(request.headers.get("Device-Id")),
                client_hash(xiaozhi.read_client(request.headers.get("Client-Id"))),
                http.address,
            )
            return await route(request, asker)
        except BodyTooLong as exc:
            return words(413, exc.message)
        except ProtocolError as exc:
            return words(400, exc.message)
        except MicroclawError as exc:  # the store
            _log.warning("xiaozhi: %s was not answered: %s", http.address, exc.message)
            return words(503, "the host's log says why")

    def _is_ours(self, host: str) -> bool:
        """An IP address, or a name of this machine: no page's name that was rebound to it."""
        name = without_port(host).lower()
        return is_address(name) or name in self._names or name == "localhost"

    def _rate(self, address: str) -> RateLimit:
        limits = self._limits
        rate = self._rates.setdefault(
            address, RateLimit(limits.requests_a_second, limits.requests_at_once, self._clock_s())
        )
        self._rates.move_to_end(address)
        if len(self._rates) > MAX_ADDRESSES:
            self._rates.popitem(last=False)
        return rate

    # HTTP

    async def _configure(self, request: web.BaseRequest, asker: Asker) -> web.StreamResponse:
        report = xiaozhi.read_report(await self._body(request))
        assert self._enrolment is not None
        answer = await self._enrolment.start(asker, report.board.type or report.board.name)
        if isinstance(answer, Refusal):
            return words(429, f"{answer.reason}: wait two minutes")
        activation = None
        if isinstance(answer, ShowCode):
            activation = {"code": answer.code, "message": f"microclaw\n{answer.code}", "challenge": answer.challenge}
        here = f"{without_port(request.host)}:{self._port}"
        now_ms = self._now_ms()
        offset = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self._zone).utcoffset()
        return json_answer(
            xiaozhi.configuration(
                report,
                url=f"ws://{here}{SOCKET_PATH}",
                now_ms=now_ms,
                zone_minutes=int(offset.total_seconds() // 60) if offset is not None else 0,
                token=answer.token if isinstance(answer, Paired) else None,
                activation=activation,
            )
        )

    async def _activate(self, request: web.BaseRequest, asker: Asker) -> web.StreamResponse:
        await self._body(request)
        assert self._enrolment is not None
        if self._enrolment.is_showing(asker):
            return json_answer({}, status=202)
        if await self._enrolment.is_paired(asker):
            return json_answer({})
        return words(404, f"this device shows no code: it has to POST to {OTA_PATH} first")

    async def _body(self, request: web.BaseRequest) -> bytes:
        """Raises ProtocolError for one that is too long, or takes too long."""
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise BodyTooLong(MAX_BODY_BYTES)
        try:
            async with asyncio.timeout(self._limits.body_s):
                return await read_body(request, MAX_BODY_BYTES)
        except TimeoutError as exc:
            raise ProtocolError(f"the body took more than {self._limits.body_s:g} s") from exc

    # The WebSocket

    async def _converse(self, request: web.BaseRequest, asker: Asker) -> web.StreamResponse:
        http = request.protocol
        assert isinstance(http, HttpConnection)
        if self._wrong_tokens.wait_s(asker.address) > 0 or self._enrolment is None:
            return words(429, "too many wrong tokens: wait a minute")
        found = await self._enrolment.authenticate(asker, request.headers.get("Authorization"))
        if isinstance(found, Refusal):
            self._wrong_tokens.add(asker.address)
            _log.warning("xiaozhi: the device %s is refused: %s", asker.mac, found.reason)
            return words(401, "this token opens nothing here: start the device again, it shows a code then")
        device, identity = found
        if self._counts.is_full:
            return words(503, "too many devices are connected")
        answer = web.WebSocketResponse(
            compress=False,
            heartbeat=self._limits.ping_s,
            max_msg_size=xiaozhi.MAX_TEXT_BYTES,
            timeout=self._limits.close_s,
        )
        try:
            await answer.prepare(request)
        except web.HTTPException as exc:
            return words(exc.status, "a WebSocket is opened here")
        http.known()
        session_id = secrets.token_hex(8)
        connection = XiaozhiConnection(
            device.device_id,
            lambda: device.name,
            session_id,
            self._voice.parts,
            now_s=self._clock_s,
        )
        credential = credential_of(asker.mac)
        limits = self._limits
        live = Conversation(connection, self._voice, hello_s=limits.hello_s, idle_s=limits.idle_s)
        if (older := self._live.get(credential)) is not None:
            older.end(WSCloseCode.POLICY_VIOLATION, "a newer connection of this device")
        self._live[credential] = live
        try:
            async with self._identity.credentials.entered(identity) as is_good:
                if not is_good:
                    live.end(WSCloseCode.POLICY_VIOLATION, "revoked")
                await live.run(answer)
        finally:
            if self._live.get(credential) is live:
                del self._live[credential]
        return answer

    def _revoked(self, device_id: str) -> None:
        if (live := self._live.get(device_id)) is not None:
            live.end(WSCloseCode.POLICY_VIOLATION, "revoked")
