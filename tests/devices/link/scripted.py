"""A scripted device: a LinkSession in the device's role over aiohttp's client, and its flash in memory."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from tests.link.plain_device import request_for, show
from tests.wire.link.ends import MemoryOutbox

from microclaw.virtual.link_client.state import SystemClock
from microclaw.wire.link import actions
from microclaw.wire.link.messages import (
    AnyMessage,
    Call,
    Envelope,
    Hello,
    PairCode,
    PairDone,
    PairRequest,
    Result,
    Software,
)
from microclaw.wire.link.sequence import InboxCursor
from microclaw.wire.link.session import LinkSession

PATIENCE_S = 180.0
_GOES_ON = (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)
CAPABILITIES = (
    "gpio.set", "gpio.get", "device.info", "device.restart",
    "apps.begin", "apps.write", "apps.commit", "apps.list", "apps.remove",
)  # fmt: skip


def _echo(call: Call) -> Result:
    """Answer with the call, or with no programs."""
    return Result(ok=True, value={"apps": []} if call.method == "apps.list" else dict(call.params))


@dataclass
class ScriptedDevice:
    """`async with device.connected()`: inside it answers calls with `answer` and keeps what it gets in `got`."""

    address: str
    ca: str
    board: str = "virtual"
    capabilities: tuple[str, ...] = CAPABILITIES
    boot_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    opening: Hello | PairRequest | None = None  # instead of its hello
    token: str | None = None
    certificate: bytes | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    inbox: InboxCursor = field(default_factory=InboxCursor)
    got: asyncio.Queue[Envelope] = field(default_factory=asyncio.Queue)
    blobs: asyncio.Queue[actions.TakeBlob] = field(default_factory=asyncio.Queue)
    answer: Callable[[Call], Result | None] = _echo
    closed: int | None = None  # the close code
    session: LinkSession | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _socket: Any = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None
    _ticking: asyncio.Task[None] | None = None

    def csr(self) -> bytes:
        return request_for(self.key)

    def hello(self) -> Hello:
        return Hello(self.boot_id, Software("scripted", "1"), self.board, self.capabilities, bytes(8), 0, "power_on")

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca)
        if self.certificate is not None:
            show(context, self.key, x509.load_der_x509_certificate(self.certificate))
        return context

    @asynccontextmanager
    async def connected(self, opening: Hello | PairRequest | None = None) -> AsyncIterator[ScriptedDevice]:
        if self.token:
            headers = {"Authorization": f"Bearer {self.token}"}
        else:
            headers = {}
        self.ready.clear()
        self.closed, self._over = None, asyncio.Event()
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            self._socket = await stack.enter_async_context(
                http.ws_connect(self.address, ssl=self.context(), protocols=["microclaw.v1"], headers=headers)
            )
            self.session = LinkSession(
                opening or self.opening or self.hello(),
                outbox=self.outbox.cursor(),
                inbox=self.inbox,
                clock=SystemClock(),
                new_id=lambda: secrets.token_bytes(16),
            )
            gone = self._socket._response.connection.protocol.closed
            reading = asyncio.create_task(self._read(), name="scripted device")
            try:
                yield self
            finally:
                await self._socket.close()
                await reading
                if self._timer is not None:
                    self._timer.cancel()
                if gone is not None:
                    # TLS says goodbye after this; a loop that ended before would leave the transport open.
                    await asyncio.wait((gone,))
                    gone.exception()

    @asynccontextmanager
    async def online(self, opening: Hello | None = None) -> AsyncIterator[ScriptedDevice]:
        """Connected and greeted."""
        async with self.connected(opening):
            await self.until_ready()
            yield self

    async def send(self, body: AnyMessage, **options: Any) -> bytes:
        assert self.session is not None
        message_id = self.session.send(body, **options)
        await self._pump()
        return message_id

    async def send_raw(self, message: bytes) -> None:
        await self._socket.send_bytes(message)

    async def next(self, kind: type[Any]) -> Any:
        """The body of the next message of this type; others are dropped."""
        return (await self.next_envelope(kind)).body

    async def next_envelope(self, kind: type[Any]) -> Envelope:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                envelope = await self.got.get()
                if isinstance(envelope.body, kind):
                    return envelope

    async def until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.ready.wait()

    async def until_closed(self) -> int | None:
        """The close code."""
        async with asyncio.timeout(PATIENCE_S):
            await self._over.wait()
        return self.closed

    async def _read(self) -> None:
        assert self.session is not None
        self.session.connected()
        await self._pump()
        code: int | None = None
        while (message := await self._socket.receive()).type in _GOES_ON:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.session.receive(message.data)
                await self._pump()
        if message.type is aiohttp.WSMsgType.CLOSE:
            code = message.data  # aiohttp's close_code is 1006 when the host did not wait for our answer
        self.session.closed()
        self.closed = code or self._socket.close_code
        self._over.set()

    async def _pump(self) -> None:
        session = self.session
        assert session is not None
        while (action := session.next_action()) is not None:
            match action:
                case actions.Close(code=code):
                    await self._flush(session)
                    await self._socket.close(code=code)
                case actions.ReportPeer():
                    self.ready.set()
                case actions.Deliver(envelope=envelope, epoch=epoch):
                    self._take(envelope, epoch)
                case actions.TakeBlob():
                    self.blobs.put_nowait(action)
                case _:
                    self.outbox.carry_out(action, session)
        await self._flush(session)
        self._set_timer()

    def _set_timer(self) -> None:
        """Acks and pings of this end, when they are due."""
        assert self.session is not None
        if self._timer is not None:
            self._timer.cancel()
        due_ms = self.session.next_tick_ms()
        if due_ms is not None and not self._socket.closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, due_ms / 1000 - time.monotonic()), self._on_time)

    def _on_time(self) -> None:
        assert self.session is not None
        self.session.tick()
        self._ticking = asyncio.get_running_loop().create_task(self._pump(), name="scripted device: tick")

    async def _flush(self, session: LinkSession) -> None:
        while (message := session.lanes.take(0)) is not None and not self._socket.closed:
            await self._socket.send_bytes(message)

    def _take(self, envelope: Envelope, epoch: bytes | None) -> None:
        assert self.session is not None
        self.got.put_nowait(envelope)
        if envelope.seq is not None:
            assert epoch is not None
            self.inbox = InboxCursor(epoch, envelope.seq)
            self.session.ack_applied(epoch, envelope.seq)
        if isinstance(envelope.body, Call):
            result = self.answer(envelope.body)
            if result is not None:
                self.session.send(result, re=envelope.id)

    async def pair(self, confirm: Callable[[str], Awaitable[Any]], *, token: bool = True) -> Any:
        """Pair by code; afterwards it has its credential. What `confirm` returned."""
        if token:
            wanted = PairRequest(self.board, token_wanted=True)
        else:
            wanted = PairRequest(self.board, csr=self.csr())
        async with self.connected(wanted):
            code = await self.next(PairCode)
            confirmed = await confirm(code.code)
            done = await self.next(PairDone)
        self.token = done.token
        self.certificate = done.certificate
        return confirmed
