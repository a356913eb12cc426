"""The device plane: TLS, `/link` and `/ca.pem`. Lets connections in and hands each to its owner; reads no message.

Connections are accepted by hand, so that who comes too often costs no TLS handshake.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from microclaw import __version__
from microclaw.auth.credentials import Identity, Refusal
from microclaw.auth.device_identity import HostIdentity
from microclaw.devices.link_meter import LinkMeter
from microclaw.errors import MicroclawError
from microclaw.link_server.arrival import Arrival, LinkProtocol, plain_answer
from microclaw.link_server.connection import REFUSALS, Connection, DurableOwner, Owner
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.door import PATH, Doorway
from microclaw.link_server.hub import LinkHub
from microclaw.link_server.limits import Crowd, LinkLimits
from microclaw.link_server.visitor import Visitor
from microclaw.link_server.websocket import LinkSocket
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import CloseCode, FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, ErrorMessage, Limits, Software, Token, Welcome
from microclaw.wire.link.session import LinkSession
from microclaw.wire.link.storage import InboxCursor, OutboxCursor

_log = logging.getLogger(__name__)

CA_PATH: Final = "/ca.pem"
SUBPROTOCOL: Final = "microclaw.v1"
_FAMILY: Final = "microclaw.v"
BACKLOG: Final = 1024
MAX_HEAD_FIELD_BYTES: Final = 2048
_HOST: Final = Software("microclaw", __version__)
_NO_LIMITS: Final = Limits(0, 0)  # the session fills them in


class LinkServer:
    """`async with LinkServer(...).serving()`: inside, devices are let in; leaving says 1001 to each."""

    def __init__(
        self,
        hub: LinkHub,
        identity: HostIdentity,
        *,
        limits: LinkLimits,
        meter: LinkMeter,
        knows: Callable[[str], bool],
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._identity = identity
        self._limits = limits
        self._meter = meter
        self._knows = knows
        self._random_share = random_share
        self._crowd = Crowd(limits)
        self._live: set[Connection] = set()
        self._arrivals: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._is_closing = False

    @asynccontextmanager
    async def serving(self, door: Doorway) -> AsyncIterator[None]:
        """Raises nothing for what a peer does."""
        stop_listening = self._identity.revocation.listen(self._hub.revoked)
        server = web.Server(self._handle)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            accepting = tasks.create_task(self._accept(door, server), name="link: accept")
            try:
                yield
            finally:
                stop_listening()
                accepting.cancel()
                for arrival in tuple(self._arrivals):
                    arrival.cancel()
                await self.goodbye()
                await server.shutdown(self._limits.close_s)

    # Who comes in

    async def _accept(self, door: Doorway, server: web.Server) -> None:
        assert self._tasks is not None
        loop = asyncio.get_running_loop()
        door.listener.setblocking(False)
        while True:
            try:
                peer, address = await loop.sock_accept(door.listener)
            except OSError as exc:  # no file descriptor is free: those that wait stay in the kernel's queue
                _log.warning("link: cannot accept: %s", exc)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            host = str(address[0])
            if not self._crowd.admits(host):
                self._meter.refused("too_many")
                peer.close()
                continue
            self._crowd.enter(host)
            task = self._tasks.create_task(self._greet(peer, host, door, server), name=f"link: {host} arrives")
            self._arrivals.add(task)
            task.add_done_callback(self._arrivals.discard)

    async def _greet(self, peer: socket.socket, host: str, door: Doorway, server: web.Server) -> None:
        """The TLS handshake. What the HTTP layer makes of the connection ends in `_handle`, or in its own time-out."""
        loop = asyncio.get_running_loop()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        arrival = Arrival(self._crowd, host)
        tls = {} if door.tls is None else self._tls_options(door.tls)
        try:
            await loop.connect_accepted_socket(lambda: self._protocol(server, arrival), peer, **tls)
        except (OSError, ssl.SSLError) as exc:
            self._meter.refused("tls")
            _log.debug("link: no TLS with %s: %s", host, exc)
            peer.close()
            arrival.leave()
        except BaseException:
            peer.close()
            raise

    def _tls_options(self, context: ssl.SSLContext) -> dict[str, Any]:
        limits = self._limits
        return {
            "ssl": context,
            "ssl_handshake_timeout": limits.handshake_s,
            "ssl_shutdown_timeout": limits.close_s,
        }

    def _protocol(self, server: web.Server, arrival: Arrival) -> LinkProtocol:
        return LinkProtocol(
            server,
            arrival,
            on_no_request=lambda: self._meter.refused("not_a_link"),
            **self._http_options(),
        )

    def _http_options(self) -> dict[str, Any]:
        return {
            "access_log": None,
            "keepalive_timeout": self._limits.handshake_s,  # it also ends a request that does not come
            "max_field_size": MAX_HEAD_FIELD_BYTES,
            "max_line_size": MAX_HEAD_FIELD_BYTES,
            "lingering_time": 0,
        }

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request.protocol, LinkProtocol)
        request.protocol.has_asked = True
        if request.path == CA_PATH and request.method == "GET":
            response = web.Response(body=self._identity.authority.ca_pem, content_type="application/x-pem-file")
            response.force_close()
            return response
        if request.path != PATH or request.headers.get("Upgrade", "").lower() != "websocket":
            self._meter.refused("not_a_link")
            return plain_answer(404, "not found: /link is a WebSocket, /ca.pem the authority's certificate")
        offered = {name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")}
        if SUBPROTOCOL not in offered:
            if any(name.startswith(_FAMILY) for name in offered):
                return await self._tell_version(request)
            self._meter.refused("not_a_link")
            return plain_answer(400, f"the subprotocol is {SUBPROTOCOL}")
        try:
            return await self._link(request)
        except (OSError, MicroclawError) as exc:
            _log.warning("link: the connection of %s ended: %s", request.remote, exc)
            raise
        except Exception:  # a fault of ours with one device must not become an HTTP answer on its WebSocket
            _log.exception("link: the connection of %s failed", request.remote)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the connection failed") from None

    async def _tell_version(self, request: web.BaseRequest) -> web.StreamResponse:
        """A device of another version of the link hears in this one's words what is spoken here."""
        self._meter.refused("version")
        parts = self._hub.parts
        error = ErrorMessage("unsupported_version", f"this host speaks {SUBPROTOCOL}", fatal=True)
        message = encode(Envelope(parts.new_id(), error, parts.clock.unix_us() // 1000))
        answer = web.WebSocketResponse(compress=False, autoping=False, timeout=self._limits.close_s)
        await answer.prepare(request)
        await answer.send_bytes(encode_frame(FrameType.CONTROL, message))
        await answer.close(code=CloseCode.MALFORMED, message=b"unsupported_version")
        return answer

    async def _link(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        limits = self._limits
        link_socket = LinkSocket(limits.session.limits, SUBPROTOCOL, write_buffer_bytes=limits.write_buffer_bytes)
        if transport is None:
            raise ConnectionResetError("the connection went away")
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        answer = await self._identity.authenticator.authenticate(certificate, request.headers.get("Authorization"))
        assert isinstance(request.protocol, LinkProtocol)
        request.protocol.link_socket = link_socket
        await link_socket.open(request, transport)
        visit = _Visit(link_socket, transport, request.remote or "?")
        try:
            await self._decide(visit, answer, request)
        except MicroclawError as exc:
            _log.warning("link: %s is turned away: %s", visit.address, exc.message)
            await self._turn_away(visit, CloseCode.OVERLOADED, type(exc).code)
        return link_socket.response

    # What becomes of them

    async def _decide(self, visit: _Visit, answer: Identity | Refusal, request: web.BaseRequest) -> None:
        if not isinstance(answer, Refusal):
            assert isinstance(request.protocol, LinkProtocol)
            request.protocol.arrival.known()
        if self._crowd.is_full or self._is_closing:
            code = CloseCode.SHUTTING_DOWN if self._is_closing else CloseCode.TOO_MANY
            await self._turn_away(visit, code, "full" if not self._is_closing else "the host is shutting down")
        elif isinstance(answer, Identity):
            await self._serve_device(visit, answer)
        elif answer.may_pair:
            await self._serve_stranger(visit)
        else:
            _log.warning("link: %s refused: %s", answer.device_id or visit.address, answer.reason)
            await self._refuse(visit, answer)

    async def _serve_device(self, visit: _Visit, identity: Identity) -> None:
        link = self._hub.link(identity.device_id)
        if not self._knows(link.endpoint):
            await self._turn_away(visit, CloseCode.REVOKED, "this device was removed")
            return
        async with link.arriving:
            if (older := link.wire) is not None:
                older.close(CloseCode.REPLACED, "a newer connection of this device")
                await older.gone.wait()  # bounded: it is aborted when it does not close in time
                await link.detach(older)

            def make(outbox: OutboxCursor, inbox: InboxCursor) -> Connection:
                return self._connection(visit, link, link, outbox, inbox)

            connection = await link.attach(make)
            assert isinstance(connection, Connection)
        self._live.add(connection)
        try:
            if not await self._identity.authenticator.is_still_valid(identity):
                await self._turn_away(visit, CloseCode.REVOKED, "revoked")
                return
            connection.on_ready = lambda: self._after_hello(link, connection, identity)
            await connection.serve()
        finally:
            connection.gone.set()
            self._live.discard(connection)
            await link.detach(connection)

    async def _after_hello(self, link: DeviceLink, connection: Connection, identity: Identity) -> None:
        await link.note_presence()
        issued = await self._identity.tokens.rotate(identity)
        if issued is not None:
            connection.session.send(Token(issued.token, issued.expires_ms))

    async def _serve_stranger(self, visit: _Visit) -> None:
        async with asyncio.TaskGroup() as tasks:
            visitor = Visitor(visit.address, self._identity.desk, tasks)
            cursor = OutboxCursor(bytes(8))
            connection = self._connection(visit, visitor, None, cursor, InboxCursor())
            visitor.wire = connection
            self._live.add(connection)
            try:
                await connection.serve()
            finally:
                self._live.discard(connection)
                visitor.leave()

    def _connection(
        self, visit: _Visit, owner: Owner, store: DurableOwner | None, outbox: OutboxCursor, inbox: InboxCursor
    ) -> Connection:
        parts = self._hub.parts
        session = LinkSession(
            Welcome(parts.new_id(), _HOST, 0, 0, bytes(8), 0, _NO_LIMITS),
            outbox=outbox,
            inbox=inbox,
            clock=parts.clock,
            new_id=parts.new_id,
            config=self._limits.session,
            authenticated=store is not None,
        )
        return Connection(
            visit.socket,
            session,
            owner,
            store,
            address=visit.address,
            transport=visit.transport,
            clock=parts.clock,
            limits=self._limits,
            meter=self._meter,
        )

    async def _refuse(self, visit: _Visit, refusal: Refusal) -> None:
        await self._turn_away(visit, refusal.close_code, str(refusal.reason))

    async def _turn_away(self, visit: _Visit, code: int, reason: str) -> None:
        """Say why on a WebSocket, and close it."""
        self._meter.refused(REFUSALS.get(code, "other"))
        try:
            async with asyncio.timeout(self._limits.close_s):
                await visit.socket.turn_away(code, reason)
        except (OSError, TimeoutError):
            pass
        finally:
            visit.transport.abort()

    async def goodbye(self) -> None:
        """1001 to everybody, each with its own time to come back; nobody is let in any more."""
        self._is_closing = True
        limits = self._limits
        for connection in tuple(self._live):
            retry_after_s = limits.retry_after_s + round(self._random_share() * limits.retry_spread_s)
            connection.close(CloseCode.SHUTTING_DOWN, "the host is shutting down", retry_after_s=retry_after_s)
        for connection in tuple(self._live):
            await connection.gone.wait()


@dataclass(frozen=True, slots=True)
class _Visit:
    """A WebSocket that was accepted, before it is known what becomes of it."""

    socket: LinkSocket
    transport: asyncio.Transport
    address: str


_ACCEPT_PAUSE_S: Final = 0.1
