"""Requests between hosts, each with as many answers as there are: HTTPS at each host's internal address.

Both ends show a certificate of the fleet's authority that names a host; a device's opens nothing. `POST /NAME` with
the body as it is; answers are frames: the length of what follows (4 bytes, big-endian), a kind (`v` a value, `e` an
error, `z` the end), the value. Nothing is kept for a host that is away, and nothing is asked twice.
"""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, TCPConnector, web
from cryptography.hazmat.primitives.serialization import Encoding

from microclaw import errors
from microclaw.auth.certificates import HOSTS_NAME, KeyPair, host_certificate
from microclaw.cluster.hosts import Hosts
from microclaw.durable import write_private
from microclaw.errors import MicroclawError, Overloaded, ProtocolError

Handler: TypeAlias = Callable[[bytes], AsyncGenerator[bytes, None]]

MAX_SERVED: Final = 1_024  # requests of other hosts at a time
MAX_MESSAGE: Final = 6 << 20
MAX_AT_ONCE: Final = 1 << 20  # a larger body goes as a stream, through a thread
LOOK_S: Final = 0.5
ANSWER_S: Final = 5.0  # a host that has not answered a short request by then counts as away
CONNECT_S: Final = 2.0
_VALUE, _ERROR, _END = b"v", b"e", b"z"

_log = logging.getLogger(__name__)


class HostGone(Exception):
    """The asked host is not there (any more): answers may be missing. `unsent`: it did not get the request."""

    def __init__(self, text: str, *, unsent: bool = False) -> None:
        super().__init__(text)
        self.unsent = unsent


class _Error(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    message: str
    next_step: str | None


class HostRequests:
    """Asks other hosts, and answers theirs by its `handlers`."""

    def __init__(self, hosts: Hosts) -> None:
        self.handlers: dict[str, Handler] = {}
        self.streams: set[str] = set()  # those of the handlers whose answers are told one by one
        self._hosts = hosts
        self._serving = 0
        self._session: ClientSession | None = None

    @property
    def host_id(self) -> str:
        return self._hosts.host_id

    @asynccontextmanager
    async def serving(self, authority: KeyPair, address: str, port: int, folder: Path) -> AsyncIterator[str]:
        """Inside, others are answered at this address; gives HOST:PORT. `folder` takes the key for a moment."""
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
                bound = runner.addresses[0]
                yield f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
            finally:
                await runner.cleanup()
                self._session = None

    async def ask(self, host: str, what: str, body: bytes = b"") -> AsyncGenerator[bytes, None]:
        """The answers of `host`. Raises its error; HostGone. Closing it early ends the work there."""
        facts = self._hosts.live.get(host)
        if self._session is None or facts is None or facts.calls is None:
            raise HostGone(f"the host {host} does not run any more", unsent=True)
        if len(body) > MAX_MESSAGE:
            raise ProtocolError(f"a message of {len(body)} bytes to another host, {MAX_MESSAGE} is the limit")
        data = body if len(body) < MAX_AT_ONCE else io.BytesIO(body)
        try:
            async with self._session.post(
                f"https://{facts.calls}/{what}", data=data, server_hostname=HOSTS_NAME
            ) as answer:
                while True:
                    size = int.from_bytes(await self._read(host, answer.content.readexactly(4)))
                    if not 0 < size <= MAX_MESSAGE:
                        raise ProtocolError(f"the host {host} answers {size} bytes, {MAX_MESSAGE} is the limit")
                    told = await self._read(host, answer.content.readexactly(size))
                    if told[:1] == _END:
                        return
                    if told[:1] == _ERROR:
                        raise _error_of(told[1:])
                    yield told[1:]
        except ClientConnectorError as exc:
            raise HostGone(f"the host {host} cannot be reached ({exc.os_error})", unsent=True) from exc
        except (ClientError, asyncio.IncompleteReadError) as exc:
            raise HostGone(f"the host {host} is gone, or was for a time ({exc})") from exc

    async def _read(self, host: str, reading: Any) -> bytes:
        """Its end, unless the host's lease ends first."""
        task = asyncio.ensure_future(reading)
        try:
            while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                if not self._hosts.is_live(host):
                    raise HostGone(f"the host {host} is gone")
            return bytes(task.result())
        finally:
            task.cancel()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        peer = request.get_extra_info("peercert") or {}
        if ("DNS", HOSTS_NAME) not in peer.get("subjectAltName", ()):
            raise web.HTTPForbidden
        body, what = await request.read(), request.match_info["what"]
        stream = web.StreamResponse() if what in self.streams else None
        if stream is not None:
            await stream.prepare(request)
        frames = bytearray()

        async def tell(kind: bytes, value: bytes = b"") -> None:
            frame = (len(value) + 1).to_bytes(4) + kind + value
            if stream is not None:
                await stream.write(frame)
            else:
                frames.extend(frame)

        self._serving += 1
        try:
            handler = self.handlers.get(what)
            if handler is None:
                raise ProtocolError(f"the host {self.host_id} does not know that request")
            if self._serving > MAX_SERVED:
                raise Overloaded(f"{MAX_SERVED} requests of other hosts run", next_step="try again soon")
            async with aclosing(handler(body)) as values:
                async for value in values:
                    await tell(_VALUE, value)
            await tell(_END)
        except MicroclawError as exc:
            await tell(_ERROR, msgspec.msgpack.encode(_Error(type(exc).__name__, exc.message, exc.next_step)))
        except ConnectionError as exc:
            _log.info("an answer for another host is lost: %s", exc)
        except Exception:  # a fault of this program: who asks must know, and others are served on
            _log.exception("a request of another host failed")
            told = _Error("MicroclawError", f"the host {self.host_id} failed: its log says why", None)
            await tell(_ERROR, msgspec.msgpack.encode(told))
        finally:
            self._serving -= 1
        return web.Response(body=frames) if stream is None else stream  # all that it has to say in one piece


async def ask_all(
    requests: HostRequests, hosts: Sequence[str], what: str, body: bytes
) -> tuple[list[tuple[str, bytes]], list[str]]:
    """What these hosts answered, each with its host, and which of them did not in time, or not as they should."""
    found: list[tuple[str, bytes]] = []
    silent: list[str] = []

    async def ask(host: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_S), aclosing(requests.ask(host, what, body)) as answers:
                found.extend([(host, data) async for data in answers])
        except (TimeoutError, HostGone):
            silent.append(host)
        except MicroclawError as exc:  # as of an older host that does not know the request
            _log.warning("the host %s does not answer %r: %s", host, what, exc.message)
            silent.append(host)

    async with asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(ask(host), name=f"cluster: {what} at {host}")
    return found, sorted(silent)


async def first_answer(requests: HostRequests, host: str, what: str, body: bytes, timeout_s: float) -> bytes | None:
    """None without one in time. Raises the host's error."""
    try:
        async with asyncio.timeout(timeout_s), aclosing(requests.ask(host, what, body)) as answers:
            return await anext(answers, None)
    except (TimeoutError, HostGone):
        return None


def _contexts(authority: KeyPair, host_id: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for both ends: who asks and who answers is a host of this authority."""
    pem = authority.certificate.public_bytes(Encoding.PEM).decode("ascii")
    own = folder / f"{host_id}.pem"
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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


def _error_of(data: bytes) -> MicroclawError:
    """MicroclawError itself for a class that takes other values, or that this version has not."""
    told = msgspec.msgpack.decode(data, type=_Error)
    kind = getattr(errors, told.kind, MicroclawError)
    if not (isinstance(kind, type) and issubclass(kind, MicroclawError)):
        kind = MicroclawError
    try:
        return kind(told.message, next_step=told.next_step)
    except TypeError:
        return MicroclawError(told.message, next_step=told.next_step)
