"""The check's own listener: TLS that can be made wrong, `/ca.pem`, and WebSockets as they arrive. Judges nothing."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.serialization import Encoding
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from microclaw.auth.certificates import (
    SERIAL_BYTES,
    HostNames,
    KeyPair,
    new_authority,
    new_serial,
    server_certificate,
)
from microclaw.link_check.peer import PATH, READ_BYTES, SUBPROTOCOL, Peer

HANDSHAKE_S: Final = 10.0
MAX_ARRIVALS: Final = 64
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a device did: fetched the authority, hung up in the TLS handshake, or opened a WebSocket (`peer`)."""

    kind: Literal["authority", "no_tls", "link", "other"]
    at_s: float
    peer: Peer | None = None
    request: Request | None = None
    why: str = ""

    @property
    def token(self) -> str | None:
        header = None if self.request is None else self.request.headers.get("Authorization")
        return None if header is None else header.partition(" ")[2].strip()


class CheckListener:
    """`async with CheckListener(...).serving(...)`; `arrivals` has what devices did, the oldest dropped when full.

    `is_rogue` signs the server's certificate by an authority that nobody was given, `lies` offers it as `/ca.pem`.
    """

    def __init__(self, folder: Path, names: HostNames) -> None:
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue(MAX_ARRIVALS)
        self.is_rogue = False
        self.lies = False
        self.authority = _authority()
        self._rogue = _authority()
        self._contexts = {
            is_rogue: _context(folder, pair, self.authority, names)
            for is_rogue, pair in ((False, self.authority), (True, self._rogue))
        }

    @asynccontextmanager
    async def serving(self, listening: socket.socket) -> AsyncIterator[None]:
        listening.setblocking(False)
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(self._accept(listening, tasks), name="link check: accept")
            try:
                yield
            finally:
                accepting.cancel()
                while not self.arrivals.empty():
                    left = self.arrivals.get_nowait().peer
                    if left is not None:
                        left.abort()

    async def _accept(self, listening: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listening)
            tasks.create_task(self._greet(connection), name="link check: arrival")

    async def _greet(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        at_s = time.monotonic()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._contexts[self.is_rogue], ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, ssl.SSLError) as exc:
            connection.close()
            self._note(Arrival("no_tls", at_s, why=str(exc) or type(exc).__name__))
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                arrival = await self._serve(reader, writer, at_s)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            arrival = Arrival("other", at_s, why=str(exc) or type(exc).__name__)
        except BaseException:
            transport.abort()
            raise
        if arrival.kind != "link":
            transport.close()
        self._note(arrival)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, at_s: float) -> Arrival:
        http = ServerProtocol(subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None, logger=_log)
        request: Request | None = None
        while request is None:
            data = await reader.read(READ_BYTES)
            if not data:
                return Arrival("other", at_s, why="it hung up before a request")
            http.receive_data(data)
            request = next((event for event in http.events_received() if isinstance(event, Request)), None)
            if http.handshake_exc is not None:
                return Arrival("other", at_s, why=str(http.handshake_exc))
        if request.path == "/ca.pem":
            pem = (self._rogue if self.lies else self.authority).certificate.public_bytes(Encoding.PEM)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(pem)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + pem)
            await writer.drain()
            return Arrival("authority", at_s)
        response = http.accept(request) if request.path == PATH else http.reject(404, "not found\n")
        http.send_response(response)
        peer = Peer(reader, writer, http)
        await peer.flush()
        if response.status_code != 101:
            return Arrival("other", at_s, request=request, why=f"{request.path}: HTTP {response.status_code}")
        return Arrival("link", at_s, peer, request)

    def _note(self, arrival: Arrival) -> None:
        if self.arrivals.full() and (dropped := self.arrivals.get_nowait().peer) is not None:
            dropped.abort()
        self.arrivals.put_nowait(arrival)


def serial() -> int:
    return new_serial(secrets.token_bytes(SERIAL_BYTES))


def _authority() -> KeyPair:
    return new_authority(datetime.now(UTC), serial())


def _context(folder: Path, signer: KeyPair, trusted: KeyPair, names: HostNames) -> ssl.SSLContext:
    pair = server_certificate(signer, names.names, names.addresses, datetime.now(UTC), serial())
    path = folder / f"{serial():x}.pem"
    path.touch(mode=0o600)
    path.write_bytes(pair.to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    context.load_verify_locations(cadata=trusted.certificate.public_bytes(Encoding.PEM).decode("ascii"))
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
