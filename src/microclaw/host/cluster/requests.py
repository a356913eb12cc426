"""Requests between hosts, each with any number of answers: HTTPS at each host's internal address.

Both ends show a certificate of the fleet's authority that names a host; a device's certificate is refused. `POST /NAME`
has the message as msgpack; answers are frames: the length of what follows (4 bytes, big-endian), a kind (`v` a value,
`e` an error, `z` the end), the value. Nothing is stored for a host that is away, and nothing is asked twice.
"""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from microclaw import errors
from microclaw.conversion import decode_msgpack
from microclaw.durable import write_private
from microclaw.errors import MicroclawError, OutcomeUnknown, Overloaded, ProtocolError
from microclaw.host.auth.certificates import HOSTS_NAME, KeyPair, host_certificate
from microclaw.host.cluster.hosts import Hosts

A = TypeVar("A")
Q = TypeVar("Q")

# Requests of other hosts at a time.
MAX_SERVED: Final = 1_024
MAX_MESSAGE: Final = 6 << 20
# A larger body is sent as a stream, through a thread.
MAX_AT_ONCE: Final = 1 << 20
LOOK_S: Final = 0.5
# A host that has not answered a short request in this time counts as away.
ANSWER_S: Final = 5.0
CONNECT_S: Final = 2.0
VERSION_STEP: Final = "give all hosts of the cluster the same version: microclaw status --cluster"
_VALUE = b"v"
_ERROR = b"e"
_END = b"z"

_log = logging.getLogger(__name__)


class HostGone(Exception):
    """The error for a host that is away, or went away: answers may be missing. `unsent`: it did not get the request."""

    def __init__(self, text: str, *, unsent: bool = False) -> None:
        super().__init__(text)
        self.unsent = unsent


class _Error(msgspec.Struct, frozen=True, array_like=True):
    """An error in a frame. `kind` is its class in errors.py, `more` are the values that not every error has."""

    kind: str
    message: str
    next_step: str | None
    more: dict[str, Any] = {}


_MORE: Final = ("foreign", "outcome", "silent")
_ERRORS: Final = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MicroclawError)
}


class _Handler(Struct, frozen=True):
    kind: Any
    work: Callable[[Any], AsyncGenerator[object, None]]
    is_stream: bool


class HostRequests:
    """Asks other hosts, and answers them. Messages and answers are msgspec types, checked when they arrive."""

    def __init__(self, hosts: Hosts) -> None:
        self._handlers: dict[str, _Handler] = {}
        self._hosts = hosts
        self._serving = 0
        self._session: ClientSession | None = None

    @property
    def host_id(self) -> str:
        return self._hosts.host_id

    def answer(
        self, what: str, kind: type[Q], work: Callable[[Q], AsyncGenerator[object, None]], *, is_stream: bool = False
    ) -> None:
        """Let `work` make the answers to messages of this kind.

        The answers of a stream are sent one by one, others together.
        """
        self._handlers[what] = _Handler(kind, work, is_stream)

    @asynccontextmanager
    async def serving(self, authority: KeyPair, address: str, port: int, folder: Path) -> AsyncIterator[str]:
        """Answer other hosts at this address inside the block; yield HOST:PORT. `folder` has the key for a moment."""
        server, client = await asyncio.to_thread(_contexts, authority, self.host_id, folder)
        app = web.Application(client_max_size=MAX_MESSAGE)
        app.router.add_post("/{what}", self._serve)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        connector = TCPConnector(ssl=client, limit=0, keepalive_timeout=60)
        async with ClientSession(
            connector=connector, timeout=ClientTimeout(total=None, sock_connect=CONNECT_S), auto_decompress=False
        ) as self._session:
            try:
                await web.TCPSite(runner, address, port, ssl_context=server).start()
                host, bound_port = runner.addresses[0][:2]
                if ":" in host:
                    host = f"[{host}]"
                yield f"{host}:{bound_port}"
            finally:
                await runner.cleanup()
                self._session = None

    async def ask(self, host: str, what: str, message: object, kind: type[A]) -> AsyncGenerator[A, None]:
        """Send a message to `host` and yield its answers, of this kind. Closing it early ends the work there.

        Raises the host's error; HostGone if the host is away or goes away.
        """
        facts = self._hosts.live.get(host)
        if self._session is None or facts is None or facts.calls is None:
            raise HostGone(f"the host {host} is not there, or is just starting", unsent=True)
        body = msgspec.msgpack.encode(message)
        if len(body) > MAX_MESSAGE:
            raise ProtocolError(f"a message of {len(body)} bytes to another host, {MAX_MESSAGE} is the limit")
        data = body if len(body) < MAX_AT_ONCE else io.BytesIO(body)
        try:
            request = self._session.post(f"https://{facts.calls}/{what}", data=data, server_hostname=HOSTS_NAME)
            async with await self._while_live(host, request) as response:
                while True:
                    frame = await self._read_frame(host, response)
                    if frame[:1] == _END:
                        return
                    if frame[:1] == _ERROR:
                        raise _error_of(_decode(frame[1:], _Error, f"the host {host} refused {what} with"))
                    yield _decode(frame[1:], kind, f"the host {host} answered {what} with")
        except ClientConnectorError as exc:
            raise HostGone(f"the host {host} cannot be reached ({exc.os_error})", unsent=True) from exc
        except (ClientError, asyncio.IncompleteReadError) as exc:
            raise HostGone(f"the host {host} is gone, or was for a time ({exc})") from exc

    async def _read_frame(self, host: str, response: ClientResponse) -> bytes:
        """Read the kind and the value of a frame."""
        size = int.from_bytes(await self._while_live(host, response.content.readexactly(4)))
        if not 0 < size <= MAX_MESSAGE:
            raise ProtocolError(f"the host {host} answers {size} bytes, {MAX_MESSAGE} is the limit")
        return await self._while_live(host, response.content.readexactly(size))

    async def ask_first(self, host: str, what: str, message: object, kind: type[A], timeout_s: float) -> A | None:
        """Return the first answer; None if there is none in time. Raises the host's error."""
        try:
            async with asyncio.timeout(timeout_s), aclosing(self.ask(host, what, message, kind)) as answers:
                return await anext(answers, None)
        except (TimeoutError, HostGone):
            return None

    async def ask_all(self, what: str, message: object, kind: type[A]) -> tuple[list[tuple[str, A]], list[str]]:
        """Ask all other hosts; return (host, answer) pairs, and the hosts that failed, sorted.

        A host fails if it does not answer within ANSWER_S, or with an error.
        """
        pairs: list[tuple[str, A]] = []
        failed_hosts: list[str] = []

        async def ask(host: str) -> None:
            try:
                async with asyncio.timeout(ANSWER_S), aclosing(self.ask(host, what, message, kind)) as answers:
                    pairs.extend([(host, answer) async for answer in answers])
            except (TimeoutError, HostGone):
                failed_hosts.append(host)
            # For example of an older host that does not know the request.
            except MicroclawError as exc:
                _log.warning("the host %s does not answer %r: %s", host, what, exc.message)
                failed_hosts.append(host)

        async with asyncio.TaskGroup() as group:
            for host in self._hosts.others():
                group.create_task(ask(host), name=f"cluster: {what} at {host}")
        return pairs, sorted(failed_hosts)

    async def _while_live(self, host: str, reading: Coroutine[Any, Any, A]) -> A:
        """Return the result of `reading`. Raises HostGone if the host's lease ends before."""
        task = asyncio.ensure_future(reading)
        try:
            while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                if not self._hosts.is_live(host):
                    raise HostGone(f"the host {host} is gone")
            return task.result()
        finally:
            task.cancel()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        peer = request.get_extra_info("peercert") or {}
        if ("DNS", HOSTS_NAME) not in peer.get("subjectAltName", ()):
            raise web.HTTPForbidden
        handler = self._handlers.get(request.match_info["what"])
        self._serving += 1
        try:
            async with aclosing(self._frames(handler, await request.read())) as frames:
                # Without a stream all answers are one body.
                if handler is None or not handler.is_stream:
                    return web.Response(body=b"".join([frame async for frame in frames]))
                stream = web.StreamResponse()
                await stream.prepare(request)
                # The other host may leave before the last answer.
                with suppress(ConnectionError):
                    async for frame in frames:
                        await stream.write(frame)
                return stream
        finally:
            self._serving -= 1

    async def _frames(self, handler: _Handler | None, body: bytes) -> AsyncGenerator[bytes, None]:
        """Yield a frame for each answer, and then the end or the error."""
        try:
            if handler is None:
                raise ProtocolError(f"the host {self.host_id} does not know that request")
            if self._serving > MAX_SERVED:
                raise Overloaded(f"{MAX_SERVED} requests of other hosts run", next_step="try again soon")
            message = _decode(body, handler.kind, "a request of another host has")
            async with aclosing(handler.work(message)) as values:
                async for value in values:
                    yield _frame(_VALUE, msgspec.msgpack.encode(value))
            yield _frame(_END)
        except MicroclawError as exc:
            yield _error_frame(exc)
        # A fault of this program: the other host must know it, and further requests are served.
        except Exception:
            _log.exception("a request of another host failed")
            text = f"the host {self.host_id} failed, its log says why: outcome unknown"
            yield _error_frame(OutcomeUnknown(text, next_step="look what was done, then repeat it if need be"))


def _contexts(authority: KeyPair, host_id: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make TLS contexts for serving and for asking: both require a certificate of this authority."""
    pem = authority.certificate.public_bytes(Encoding.PEM).decode("ascii")
    own = folder / f"{host_id}.pem"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        write_private(own, host_certificate(authority, host_id).to_pem())
        for context in (server, client):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_verify_locations(cadata=pem)
            context.load_cert_chain(own)
    finally:
        own.unlink(missing_ok=True)
    server.verify_mode = ssl.CERT_REQUIRED
    return server, client


def _frame(kind: bytes, value: bytes = b"") -> bytes:
    return (len(value) + 1).to_bytes(4) + kind + value


def _decode(data: bytes, kind: type[A], what: str) -> A:
    """Decode a value. `what` is the begin of the error's text. Raises ProtocolError."""
    try:
        return decode_msgpack(data, kind)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ProtocolError(f"{what} what this one cannot read: {exc}", next_step=VERSION_STEP) from exc


def _error_frame(error: MicroclawError) -> bytes:
    """Return the frame of an error, with the nearest class that is in errors.py."""
    kind = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS)
    more = {name: value for name, value in vars(error).items() if name in _MORE}
    return _frame(_ERROR, msgspec.msgpack.encode(_Error(kind, error.message, error.next_step, more)))


def _error_of(error: _Error) -> MicroclawError:
    """Return the error of a frame; a MicroclawError if its class takes other values, or is unknown here."""
    try:
        return _ERRORS.get(error.kind, MicroclawError)(error.message, next_step=error.next_step, **error.more)
    except TypeError:
        return MicroclawError(error.message, next_step=error.next_step)
