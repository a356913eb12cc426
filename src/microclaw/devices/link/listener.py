"""Listens for devices: TLS, `/link` and `/ca.pem`. Gives each connection to its owner; reads no message.

It accepts connections itself, so that a client that connects too often costs no TLS handshake. aiohttp does only the
WebSocket's handshake.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

from aiohttp import WSCloseCode, web

from microclaw import __version__
from microclaw.devices.link.connection import ConnectionOwner, LinkConnection
from microclaw.devices.link.device_session import DeviceSession
from microclaw.devices.link.downloads import Downloads
from microclaw.devices.link.http_connection import HttpConnection, WebSocketRequest, accept_connections, plain_answer
from microclaw.devices.link.limits import ConnectionLimits, LinkLimits, RateLimit
from microclaw.devices.link.links import PATH, LinkRegistry
from microclaw.devices.link.meter import FAULTS, HandshakeEnd, LinkMeter
from microclaw.devices.link.pairing import UnauthenticatedConnection
from microclaw.errors import MicroclawError, StoreError
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.auth.credentials import CredentialRefusal, Identity
from microclaw.host.auth.pairing import HostIdentity
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import MAX_AUDIO_BYTES, MAX_CONTROL_BYTES, CloseCode, FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, ErrorMessage, MessageLimits, Software, Welcome
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor
from microclaw.wire.link.session import LinkSession

_log = logging.getLogger(__name__)

CA_PATH: Final = "/ca.pem"
SUBPROTOCOL: Final = "microclaw.v1"
_FAMILY: Final = "microclaw.v"
_HOST: Final = Software("microclaw", __version__)
# The log's lines about TLS handshakes that ended: a scanner must not fill it.
_LINES_A_MINUTE: Final = 1
_LINES_AT_ONCE: Final = 20
_MESSAGE_LIMITS: Final = MessageLimits(MAX_CONTROL_BYTES, MAX_AUDIO_BYTES)


class Listener:
    """The link's listener. Inside `async with listener.serving(...)` devices connect; its end closes each with 1001."""

    def __init__(
        self,
        links: LinkRegistry,
        identity: HostIdentity,
        *,
        limits: LinkLimits,
        meter: LinkMeter,
        find_owner: Callable[[str], Awaitable[object]],
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._links = links
        self._identity = identity
        self._limits = limits
        self._meter = meter
        self._find_owner = find_owner
        self._random_share = random_share
        self._counts = ConnectionLimits(limits)
        # The oldest first.
        self._handshakes: list[_Handshake] = []
        now_s = asyncio.get_running_loop().time()
        self._log_rate = RateLimit(_LINES_A_MINUTE / 60, _LINES_AT_ONCE, now_s)
        self._live: set[LinkConnection] = set()
        self._is_closing = False
        self._downloads = Downloads(links.parts.updates)

    @asynccontextmanager
    async def serving(self, listening: socket.socket, tls: ssl.SSLContext) -> AsyncIterator[None]:
        """Accept connections inside. Raises nothing for faults of a device."""
        stop_listening = self._identity.credentials.listen(self._links.revoked)
        async with asyncio.TaskGroup() as tasks:
            server = web.Server(self._handle)
            accepting = tasks.create_task(self._accept(listening, tls, server), name="link: accept")
            try:
                yield
            finally:
                stop_listening()
                accepting.cancel()
                await self.goodbye()
                await server.shutdown(self._limits.close_s)
                # The goodbyes of TLS are on the way; a peer that does not answer them is not waited for.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.close_s):
                        await self._counts.wait_until_empty()

    # Accepting connections

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext, server: web.Server) -> None:
        """Accept connections until it is cancelled, which also ends the connections in their TLS handshake."""
        async with asyncio.TaskGroup() as arrivals:
            async for peer, host in accept_connections(listening, "link"):
                if not self._counts.admits(host):
                    self._make_room(host)
                if not self._counts.admits(host):
                    self._meter.count_refused("too_many")
                    peer.close()
                    continue
                self._counts.enter(host)
                http = HttpConnection(
                    server,
                    self._counts,
                    host,
                    on_no_request=lambda: self._meter.count_refused("not_a_link"),
                    timeout_s=self._limits.request_s,
                )
                arrivals.create_task(self._greet(peer, http, tls), name=f"link: {host} arrives")

    def _make_room(self, host: str) -> None:
        """End the oldest handshake of the address that has the most, so that a flood displaces only itself.

        Each handshake has at least `handshake_when_full_s`, so that a flood does not displace a board sooner.
        """
        oldest = self._oldest_of_fullest(host)
        if oldest is None:
            return
        age_s = asyncio.get_running_loop().time() - oldest.began_s
        if age_s >= self._limits.handshake_when_full_s:
            self._handshakes.remove(oldest)
            oldest.http.leave()
            # It may have ended just now.
            with suppress(OSError):
                oldest.peer.shutdown(socket.SHUT_RDWR)

    def _oldest_of_fullest(self, host: str) -> _Handshake | None:
        """Return the oldest handshake of `host` if it has all its places, else of the address with the most.

        Returns None if there are free places.
        """
        is_host_full = self._counts.is_full_for(host)
        is_full = self._counts.arriving >= self._limits.arriving_in_all
        if not self._handshakes or not (is_host_full or is_full):
            return None
        address = host
        if not is_host_full:
            addresses = Counter(handshake.http.address for handshake in self._handshakes)
            address = addresses.most_common(1)[0][0]
        return next((handshake for handshake in self._handshakes if handshake.http.address == address), None)

    async def _greet(self, peer: socket.socket, http: HttpConnection, tls: ssl.SSLContext) -> None:
        """Do the TLS handshake. The HTTP layer then calls `_handle`, or ends the connection by its own time-out."""
        loop = asyncio.get_running_loop()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        limits = self._limits
        handshake = _Handshake(http, peer, loop.time())
        self._handshakes.append(handshake)
        options = {"ssl_handshake_timeout": limits.handshake_s, "ssl_shutdown_timeout": limits.close_s}
        try:
            await loop.connect_accepted_socket(lambda: http, peer, ssl=tls, **options)
        except (OSError, ssl.SSLError) as exc:
            self._handshake_ended(http, exc)
            if isinstance(exc, ssl.SSLCertVerificationError):
                text = f"in TLS: {exc.verify_message}"
                self._identity.record(AuditEvent(AuditKind.CERTIFICATE_FOREIGN, text, address=http.address))
            peer.close()
            http.leave()
        except BaseException:
            peer.close()
            http.leave()
            raise
        finally:
            if handshake in self._handshakes:
                self._handshakes.remove(handshake)

    def _handshake_ended(self, http: HttpConnection, exc: OSError) -> None:
        """Count it, note it for `device show`, and log it if there were not too many."""
        reason = self._handshake_fault(exc)
        if not http.is_arriving:
            reason = "its place was needed"
        at_ms = int(self._links.parts.clock.unix_us() // 1000)
        self._meter.handshake_ended(HandshakeEnd(http.address, at_ms, reason))
        if self._log_rate.allows(asyncio.get_running_loop().time()):
            _log.warning("link: a connection from %s ended in its TLS handshake: %s", http.address, reason)

    def _handshake_fault(self, exc: OSError) -> str:
        """Return in a few words what ended a TLS handshake."""
        if isinstance(exc, ssl.SSLCertVerificationError):
            return exc.verify_message
        if isinstance(exc, ssl.SSLError):
            return (exc.reason or "no TLS").lower().replace("_", " ")
        if isinstance(exc, ConnectionAbortedError):
            return f"not over after {self._limits.handshake_s:g} s"
        return "the other end went away"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, with 503 while the store cannot look up its credential."""
        try:
            return await self._answer(request)
        except StoreError as exc:
            self._meter.count_refused("other")
            return plain_answer(503, exc.message)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        http = request.protocol
        assert isinstance(http, HttpConnection)
        http.has_asked = True
        if request.path == CA_PATH and request.method == "GET":
            response = web.Response(body=self._identity.authority.ca_pem, content_type="application/x-pem-file")
            response.force_close()
            return response
        sha256 = self._downloads.requested_sha256(request)
        if sha256 is not None:
            return await self._download(request, http, sha256)
        if request.path != PATH or request.headers.get("Upgrade", "").lower() != "websocket":
            self._meter.count_refused("not_a_link")
            return plain_answer(404, "not found: /link is a WebSocket, /ca.pem the authority's certificate")
        header = request.headers.get("Sec-WebSocket-Protocol", "")
        subprotocols = {name.strip() for name in header.split(",")}
        if SUBPROTOCOL not in subprotocols and any(name.startswith(_FAMILY) for name in subprotocols):
            return await self._send_version(request)
        upgrade = _Upgrade(protocols=(SUBPROTOCOL,), compress=False)
        if SUBPROTOCOL not in subprotocols or not upgrade.can_prepare(request):
            self._meter.count_refused("not_a_link")
            return plain_answer(400, f"not the handshake of a WebSocket with the subprotocol {SUBPROTOCOL}")
        return await self._upgrade(request, http, upgrade)

    async def _upgrade(self, request: web.BaseRequest, http: HttpConnection, upgrade: _Upgrade) -> web.StreamResponse:
        try:
            await self._link(request, http, upgrade)
            return upgrade
        except (OSError, MicroclawError) as exc:
            _log.warning("link: the connection of %s ended: %s", request.remote, exc)
            raise
        except Exception:
            # A defect of the host must not become an HTTP answer on the device's WebSocket.
            _log.exception("link: the connection of %s failed", request.remote)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the connection failed") from None

    async def _download(self, request: web.BaseRequest, http: HttpConnection, sha256: str) -> web.StreamResponse:
        """Answer with a payload, if the request has the credential of a device's link."""
        credential = await self._authenticate(request)
        if isinstance(credential, CredentialRefusal):
            # A device that may still pair has no credential that could be foreign.
            if not credential.may_pair:
                self._identity.record(credential.event(http.address))
            self._meter.count_refused("not_authenticated")
            return plain_answer(401, "an update is for the devices of this host: bring the link's credential")
        link = self._links.link(credential.device_id)
        if self._is_closing or await self._find_owner(link.endpoint) is None:
            return plain_answer(403, "this device was removed, or the host is shutting down")
        http.note_authenticated()
        return await self._downloads.answer(request, link.link_id, sha256)

    async def _authenticate(self, request: web.BaseRequest) -> Identity | CredentialRefusal:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the connection went away")
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            certificate = tls.getpeercert(binary_form=True)
        else:
            certificate = None
        return await self._identity.credentials.authenticate(certificate, request.headers.get("Authorization"))

    async def _send_version(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send a device of another version of the link the version of this host, in an error of this version."""
        self._meter.count_refused("version")
        parts = self._links.parts
        error = ErrorMessage("unsupported_version", f"this host speaks {SUBPROTOCOL}", fatal=True)
        message = encode(Envelope(parts.new_id(), error, parts.clock.unix_us() // 1000))
        answer = web.WebSocketResponse(compress=False, autoping=False, timeout=self._limits.close_s)
        await answer.prepare(request)
        await answer.send_bytes(encode_frame(FrameType.CONTROL, message))
        await answer.close(code=CloseCode.MALFORMED, message=b"unsupported_version")
        return answer

    # Serving connections

    async def _link(self, request: web.BaseRequest, http: HttpConnection, upgrade: _Upgrade) -> None:
        """Decide about a connection before its handshake is answered, so that none of its messages must wait."""
        credential = await self._authenticate(request)
        if http.transport is None:
            raise ConnectionResetError("the connection went away")
        arrival = WebSocketRequest(http, http.transport, partial(upgrade.prepare, request))
        if isinstance(credential, Identity):
            http.note_authenticated()
        try:
            if self._is_closing:
                await self._turn_away(arrival, CloseCode.SHUTTING_DOWN, "the host is shutting down")
            elif self._counts.is_full:
                await self._turn_away(arrival, CloseCode.TOO_MANY, "full")
            elif isinstance(credential, Identity):
                await self._serve_device(arrival, credential)
            elif credential.may_pair:
                await self._serve_unauthenticated(arrival)
            else:
                self._identity.record(credential.event(http.address))
                _log.warning("link: %s refused: %s", credential.device_id or http.address, credential.reason)
                await self._turn_away(arrival, credential.reason.close_code, str(credential.reason))
        except MicroclawError as exc:
            _log.warning("link: %s is turned away: %s", http.address, exc.message)
            await self._turn_away(arrival, CloseCode.OVERLOADED, type(exc).code)

    async def _serve_device(self, arrival: WebSocketRequest, identity: Identity) -> None:
        link = self._links.link(identity.device_id)
        if await self._find_owner(link.endpoint) is None:
            await self._turn_away(arrival, CloseCode.REVOKED, "this device was removed")
            return
        credentials = self._identity.credentials
        owner = DeviceSession(link, self._links.parts, credentials, identity)
        async with link.arriving:
            older = link.connection
            if older is not None:
                older.close(CloseCode.REPLACED, "a newer connection of this device")
                # This wait has an end: a connection that does not close in time is aborted.
                await older.ending.has_ended.wait()
                await link.detach(older)
            connection = await link.attach(partial(self._connection, arrival, owner, is_authenticated=True))
        self._live.add(connection)
        try:
            async with credentials.watch_connection(identity) as is_good:
                if not is_good:
                    connection.close(CloseCode.REVOKED, "revoked")
                await connection.serve()
        finally:
            connection.ending.has_ended.set()
            self._live.discard(connection)
            await link.detach(connection)

    async def _serve_unauthenticated(self, arrival: WebSocketRequest, refusal: tuple[int, str] | None = None) -> None:
        owner = UnauthenticatedConnection(self._identity)
        connection = self._connection(arrival, owner, OutboxCursor(bytes(8)), InboxCursor(), is_authenticated=False)
        if refusal is not None:
            connection.close(*refusal)
        self._live.add(connection)
        try:
            await connection.serve()
        finally:
            self._live.discard(connection)

    def _connection(
        self,
        arrival: WebSocketRequest,
        owner: ConnectionOwner,
        outbox: OutboxCursor,
        inbox: InboxCursor,
        *,
        is_authenticated: bool,
    ) -> LinkConnection:
        parts = self._links.parts
        session = LinkSession(
            Welcome(parts.new_id(), _HOST, 0, 0, bytes(8), 0, _MESSAGE_LIMITS),
            outbox=outbox,
            inbox=inbox,
            clock=parts.clock,
            new_id=parts.new_id,
            config=self._limits.session,
            authenticated=is_authenticated,
        )
        rate = self._limits.message_rate(parts.clock.now_ms() / 1000, is_authenticated=is_authenticated)
        return LinkConnection(
            arrival,
            session,
            owner,
            rate,
            clock=parts.clock,
            limits=self._limits,
            meter=self._meter,
        )

    async def _turn_away(self, arrival: WebSocketRequest, code: int, reason: str) -> None:
        """Answer the handshake only to close the WebSocket with a reason."""
        if code not in FAULTS:
            self._meter.count_refused("other")
        await self._serve_unauthenticated(arrival, (code, reason))

    async def goodbye(self) -> None:
        """Close every connection with 1001 and its own time to reconnect, and accept no more."""
        self._is_closing = True
        limits = self._limits
        for connection in tuple(self._live):
            retry_after_s = limits.retry_after_s + round(self._random_share() * limits.retry_spread_s)
            connection.close(CloseCode.SHUTTING_DOWN, "the host is shutting down", retry_after_s=retry_after_s)
        for connection in tuple(self._live):
            await connection.ending.has_ended.wait()


class _Handshake(NamedTuple):
    """A TLS handshake under way; `began_s` is a time of the loop's clock."""

    http: HttpConnection
    peer: socket.socket
    began_s: float


class _Upgrade(web.WebSocketResponse):
    """aiohttp's handshake, without aiohttp's close: the link closes the WebSocket itself."""

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:  # noqa: ARG002
        return False
