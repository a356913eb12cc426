"""One end of a WebSocket over TLS that can also say what no honest end says. Knows no message, judges nothing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from microclaw.addresses import bracketed
from microclaw.errors import DeviceUnreachable

PATH: Final = "/link"
SUBPROTOCOL: Final = "microclaw.v1"
CONNECT_S: Final = 10.0
READ_BYTES: Final = 65_536
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class UpgradeRefused(Exception):
    """The WebSocket's handshake was answered with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Closed:
    """The other end closed; `code` is None when the connection broke without a close."""

    code: int | None
    reason: str = ""

    def __str__(self) -> str:
        return "the connection broke without a close" if self.code is None else f"close {self.code} {self.reason!r}"


class Peer:
    """An open WebSocket; `protocol` is of the library, without IO. `next` hands out whole messages, then Closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: Protocol) -> None:
        self.protocol = protocol
        self._reader = reader
        self._writer = writer
        self._fragments: list[bytes] = []
        self._messages: list[bytes | str] = []
        self._is_over = False

    @property
    def certificate(self) -> bytes | None:
        """What the other end proved itself with, in DER form."""
        tls = self._writer.get_extra_info("ssl_object")
        found: bytes | None = tls.getpeercert(binary_form=True)
        return found

    @property
    def is_resumed(self) -> bool:
        return bool(self._writer.get_extra_info("ssl_object").session_reused)

    async def send(self, message: bytes | str) -> None:
        """Nothing happens once the other end has closed: `next` says so."""
        if self.protocol.state is not State.OPEN:
            return
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        await self.flush()

    async def send_bytes(self, data: bytes) -> None:
        """Bytes that are no WebSocket frame of the library's making."""
        self._writer.write(data)
        await self._drain()

    async def next(self, timeout_s: float) -> bytes | str | Closed:
        """TimeoutError when nothing came."""
        async with asyncio.timeout(timeout_s):
            while not self._messages:
                if self._is_over:
                    received = self.protocol.close_rcvd
                    return Closed(None) if received is None else Closed(received.code, received.reason)
                await self._read()
        return self._messages.pop(0)

    async def close(self, code: int = 1000, reason: str = "", *, wait_s: float = 3.0) -> None:
        """Close in order; the connection is gone when this returns."""
        try:
            if self.protocol.state is State.OPEN:
                self.protocol.send_close(code, reason)
                await self.flush()
            async with asyncio.timeout(wait_s):
                while not self._is_over:
                    await self._read()
        except (TimeoutError, OSError):
            pass  # it did not answer the close: the transport ends all the same
        finally:
            self.abort()

    def abort(self) -> None:
        self._is_over = True
        self._writer.transport.abort()

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self._writer.write(data)
        await self._drain()

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError as exc:
            _log.debug("the other end is gone: %s", exc)  # what it said last is still read

    async def _read(self) -> None:
        try:
            data = await self._reader.read(READ_BYTES)
        except (OSError, ssl.SSLError) as exc:
            _log.debug("the connection broke: %s", exc)
            data = b""
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        await self.flush()
        if not data or self.protocol.close_rcvd is not None:
            self._is_over = True

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            return
        if frame.opcode is Opcode.TEXT and frame.fin:
            self._messages.append(bytes(frame.data).decode(errors="replace"))
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            self._messages.append(b"".join(self._fragments))
            self._fragments.clear()


async def dial(
    host: str,
    port: int,
    tls: ssl.SSLContext,
    *,
    server_name: str | None = None,
    token: str | None = None,
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
    offers_compression: bool = False,
) -> Peer:
    """Connect as a device does. DeviceUnreachable when nobody is there, UpgradeRefused for an HTTP error."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=server_name or host)
    except (OSError, TimeoutError) as exc:
        raise DeviceUnreachable(
            f"no link with {bracketed(host)}:{port}: {exc or 'it does not answer'}",
            next_step="check the address, and the fingerprint that it was provisioned with",
        ) from exc
    protocol = ClientProtocol(
        parse_uri(f"wss://{bracketed(host)}:{port}{PATH}"),
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        extensions=[ClientPerMessageDeflateFactory()] if offers_compression else None,
        max_size=None,
        logger=_log,
    )
    request = protocol.connect()
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"
    protocol.send_request(request)
    peer = Peer(reader, writer, protocol)
    try:
        async with asyncio.timeout(CONNECT_S):
            await peer.flush()
            while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
                await peer._read()
    except BaseException:
        peer.abort()
        raise
    if (failed := protocol.handshake_exc) is not None:
        peer.abort()
        if isinstance(failed, InvalidStatus):
            raise UpgradeRefused(failed.response.status_code)
        if isinstance(failed, (WebSocketException, EOFError)):
            raise DeviceUnreachable(f"{bracketed(host)}:{port} made no WebSocket of it: {failed}") from failed
        raise failed
    return peer
