"""Devices for bench.link that cost next to nothing: TLS, WebSocket frames and greetings by hand, no session behind."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections import deque
from typing import cast

from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import (
    AnyMessage,
    AudioFormat,
    Envelope,
    Hello,
    Ping,
    Pong,
    Software,
    StartAsr,
    Welcome,
)

WAIT_S = 30.0
_UPGRADE = (
    "GET /link HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: microclaw.v1\r\n"
    "Authorization: Bearer {token}\r\n\r\n"
)


def websocket_frame(message: bytes) -> bytes:
    """A client's binary frame. Its mask is zero (RFC 6455 allows any): the server unmasks all the same."""
    size = len(message)
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = b"\xfe" + size.to_bytes(2, "big")
    return b"\x82" + length + bytes(4) + message


def next_message(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take opcode and payload of the host's next WebSocket frame, once it is whole; hosts send them in one piece."""
    if len(buffer) < 2:
        return None
    size = buffer[1] & 0x7F
    begin = 2
    if size == 126:
        if len(buffer) < 4:
            return None
        size = int.from_bytes(buffer[2:4], "big")
        begin = 4
    if len(buffer) < begin + size:
        return None
    opcode = buffer[0] & 0x0F
    message = bytes(buffer[begin : begin + size])
    del buffer[: begin + size]
    return opcode, message


def upgrade_request(token: str) -> bytes:
    return _UPGRADE.format(key="AAAAAAAAAAAAAAAAAAAAAA==", token=token).encode()


def control_frame(body: AnyMessage, re: bytes | None = None) -> bytes:
    payload = encode(Envelope(secrets.token_bytes(16), body, re=re))
    return websocket_frame(encode_frame(FrameType.CONTROL, payload))


def hello(boot_id: bytes) -> Hello:
    return Hello(
        boot_id,
        Software("bench", "1"),
        "virtual",
        ("gpio.get",),
        secrets.token_bytes(8),
        0,
        "power_on",
        audio=AudioFormat(("pcm16",), 16_000, 20, 200),
    )


START_AUDIO = StartAsr(1, "pcm16", 16_000, "button", 0)


class Messages(asyncio.Protocol):
    """One connection; `expect` is a future that is done when so many more messages (or bytes, when raw) have come."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.received = 0
        self.reason = "the host closed the connection"
        self._buffer = bytearray()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(ConnectionResetError(self.reason))

    def expect(self, count: int) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.received + count, waiter))
        return waiter

    def got(self, count: int) -> None:
        self.received += count
        while self._waiting and self._waiting[0][0] <= self.received:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)


class RawClient(Messages):
    """Counts bytes."""

    def data_received(self, data: bytes) -> None:
        self.got(len(data))


class DeviceClient(Messages):
    """Counts messages of one kind: audio frames, or pongs. `welcomed` is done when the host said welcome."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.boot_id = secrets.token_bytes(16)
        self._token = token
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(upgrade_request(self._token))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionResetError(f"before its welcome {self.reason}"))

    def opened(self) -> None:
        """The WebSocket is there: say hello."""
        self.say(hello(self.boot_id))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open and not self._upgraded():
            return
        while (message := self._next()) is not None:
            if message[0] == FrameType.CONTROL:
                self._control(message)
            else:
                self.got(1)

    def say(self, body: AnyMessage, re: bytes | None = None) -> None:
        self.transport.write(control_frame(body, re))

    def start_audio(self) -> None:
        self.say(START_AUDIO)

    def _upgraded(self) -> bool:
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if b" 101 " not in head.split(b"\r\n")[0] + b" ":
            raise ConnectionError(head.decode("latin-1"))
        self._buffer = bytearray(rest)
        self._is_open = True
        self.opened()
        return True

    def _next(self) -> bytes | None:
        found = next_message(self._buffer)
        if found is None:
            return None
        opcode, message = found
        if opcode != 2:
            self.reason = f"the host closed: {int.from_bytes(message[:2], 'big')} {message[2:].decode()}"
            self.transport.abort()
            return None
        return message

    def _control(self, message: bytes) -> None:
        envelope = decode(message[1:])
        match envelope.body:
            case Welcome():
                self.welcomed.set_result(None)
            case Ping(n=n, t0=t0):
                self.say(Pong(n, t0, t0, t0), re=envelope.id)
            case Pong():
                self.got(1)
            case _:
                pass


class BareClient(DeviceClient):
    """A WebSocket without the link: counts what an echo sends back."""

    def opened(self) -> None:
        self.welcomed.set_result(None)


async def connect_device(
    port: int,
    token: str,
    tls: ssl.SSLContext,
    kind: type[DeviceClient] = DeviceClient,
    *,
    address: str = "127.0.0.1",
) -> DeviceClient:
    """Connected, greeted, welcomed."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_S):
        _, device = await loop.create_connection(
            lambda: kind(token), address, port, ssl=tls, server_hostname="localhost"
        )
        await device.welcomed
    return device


async def connect_raw(port: int, tls: ssl.SSLContext) -> RawClient:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(RawClient, "127.0.0.1", port, ssl=tls, server_hostname="localhost")
    return client
