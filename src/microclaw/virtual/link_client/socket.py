"""One WebSocket of the board over verified TLS: connects, then sends and receives whole messages. Knows no link.

Nothing blocks after `open_link`: one thread waits in `wait` for the network, the clock and the Waker. So a host that
does not read cannot stop the heartbeat, which detects it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import ssl
import threading
import time
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from microclaw.errors import DeviceUnreachable
from microclaw.virtual.link_client.identity import LinkAddress
from microclaw.virtual.link_client.socket_close import hang_up, reset_connection
from microclaw.wire.link.frame import MAX_MESSAGE_BYTES, CloseCode

SUBPROTOCOL: Final = Subprotocol("microclaw.v1")
CONNECT_TIMEOUT_S: Final = 10.0
READ_BYTES: Final = 65_536
MAX_UNSENT_BYTES: Final = 65_536
"""Further messages stay in the lanes, which know the messages that may be dropped."""
MAX_ANSWERS_BYTES: Final = 8 * 1_048_576
MAX_REASON_BYTES: Final = 120
_CLOSE_CODES: Final[dict[int, int]] = {1009: CloseCode.TOO_LARGE, 1002: CloseCode.MALFORMED, 1007: CloseCode.NOT_BINARY}
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class _Protocol(ClientProtocol):
    """The library's protocol, with the link's close codes in place of its own (RFC 6455, 7.4.1)."""

    def fail(self, code: int, reason: str = "") -> None:
        super().fail(_CLOSE_CODES.get(int(code), code), reason)


class Waker:
    """A pipe that ends a wait from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)

    def wake(self) -> None:
        # A full pipe wakes the thread too.
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._closed:
                os.write(self._writer, b"\0")

    def wait(self, timeout_s: float, connection: socket.socket | None = None, events: int = 0) -> None:
        """Wait until `wake` is called, `connection` is ready, or the time is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            if connection is not None:
                selector.register(connection, events)
            selector.select(max(0.0, timeout_s))
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._reader)
            os.close(self._writer)


class LinkSocket:
    """An open connection. `closed` is True when it is over."""

    def __init__(self, connection: ssl.SSLSocket, protocol: ClientProtocol) -> None:
        self._connection = connection
        self._protocol = protocol
        self._unsent = bytearray()
        self._fragments: list[bytes] = []
        self._closing_until_s: float | None = None
        self.closed = False
        # The host may have closed together with its answer.
        self._flush()

    @property
    def has_room(self) -> bool:
        return len(self._unsent) < MAX_UNSENT_BYTES and self._protocol.state is State.OPEN

    @property
    def close_received(self) -> Close | None:
        """The host's close frame, also before the connection has ended."""
        return self._protocol.close_rcvd

    def send(self, message: bytes) -> None:
        """Send a message, unless the connection is closing."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(message)
            self._flush()

    def close(self, code: int, reason: str, linger_s: float = 2.0) -> None:
        """Send a close frame after the sent messages. The connection ends at the host's answer, or after `linger_s`."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))
        self._linger(linger_s)
        self._flush()

    def abort(self) -> None:
        """End the connection with a reset, as at a power cut."""
        self.closed = True
        reset_connection(self._connection)

    def wait(self, timeout_s: float, waker: Waker) -> list[bytes]:
        """Wait for messages, for `waker`, or until the time is over. Returns the messages."""
        if self.closed:
            return []
        if self._closing_until_s is not None:
            timeout_s = min(timeout_s, self._closing_until_s - time.monotonic())
        if self._protocol.events or self._connection.pending() > 0:
            timeout_s = 0
        events = selectors.EVENT_READ
        if self._unsent:
            events |= selectors.EVENT_WRITE
        waker.wait(timeout_s, self._connection, events)
        messages = self._read()
        self._flush()
        if self._closing_until_s is not None and time.monotonic() >= self._closing_until_s:
            self._end()
        return messages

    def _read(self) -> list[bytes]:
        try:
            data = self._connection.recv(READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            data = None
        except OSError as exc:
            _log.debug("the link broke: %s", exc)
            data = b""
        if data:
            self._protocol.receive_data(data)
        elif data is not None:
            self._protocol.receive_eof()
        messages = []
        for event in self._protocol.events_received():
            message = self._read_message(event)
            if message is not None:
                messages.append(message)
        if self._protocol.state is State.CLOSED or data == b"":
            self._flush()
            self._end()
        elif self._protocol.close_expected():
            self._linger(2.0)
        return messages

    def _read_message(self, event: object) -> bytes | None:
        """Return a whole message, or None. A text message closes the connection."""
        if not isinstance(event, Frame) or event.opcode not in (Opcode.BINARY, Opcode.CONT, Opcode.TEXT):
            return None
        if event.opcode is Opcode.TEXT:
            self.close(CloseCode.NOT_BINARY, "a text message")
            return None
        if self._protocol.state is not State.OPEN and self._closing_until_s is not None:
            return None
        self._fragments.append(bytes(event.data))
        if not event.fin:
            return None
        message = b"".join(self._fragments)
        self._fragments.clear()
        return message

    def _linger(self, linger_s: float) -> None:
        if self._closing_until_s is None:
            self._closing_until_s = time.monotonic() + linger_s

    def _flush(self) -> None:
        if self.closed:
            return
        self._unsent += b"".join(self._protocol.data_to_send())
        if len(self._unsent) > MAX_ANSWERS_BYTES:
            # These are pongs for a host that floods pings and does not read.
            self._end()
            return
        try:
            while self._unsent:
                piece = memoryview(self._unsent)[:READ_BYTES].tobytes()
                sent_count = self._connection.send(piece)
                del self._unsent[:sent_count]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return
        except OSError as exc:
            _log.debug("the link broke: %s", exc)
            self._end()

    def _end(self) -> None:
        if not self.closed:
            self.closed = True
            hang_up(self._connection)


def open_link(address: LinkAddress, tls: ssl.SSLContext, token: str | None) -> LinkSocket:
    """Connect, verify the host, and upgrade, within about 10 s. Raises DeviceUnreachable with the reason."""
    deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
    try:
        connection = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
    except OSError as exc:
        raise DeviceUnreachable(f"cannot reach {address.host}:{address.port}: {exc}") from exc
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = tls.wrap_socket(connection, server_hostname=address.host)
        protocol = _upgrade(connection, address, token, deadline_s)
        connection.settimeout(0)
        return LinkSocket(connection, protocol)
    except ssl.SSLCertVerificationError as exc:
        connection.close()
        raise DeviceUnreachable(f"the host's certificate is refused: {exc.verify_message}") from exc
    except (OSError, WebSocketException, EOFError) as exc:
        connection.close()
        reason = str(exc) or type(exc).__name__
        raise DeviceUnreachable(f"{address.host}:{address.port} did not take the link: {reason}") from exc
    except BaseException:
        connection.close()
        raise


def _upgrade(connection: socket.socket, address: LinkAddress, token: str | None, deadline_s: float) -> ClientProtocol:
    uri = parse_uri(address.url)
    protocol = _Protocol(uri, subprotocols=[SUBPROTOCOL], max_size=MAX_MESSAGE_BYTES + 1, logger=_log)
    request = protocol.connect()
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"
    protocol.send_request(request)
    connection.sendall(b"".join(protocol.data_to_send()))
    while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the upgrade took too long")
        connection.settimeout(left_s)
        data = connection.recv(READ_BYTES)
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
    if protocol.handshake_exc is not None:
        raise protocol.handshake_exc
    if protocol.subprotocol != SUBPROTOCOL:
        raise DeviceUnreachable(f"{address.host}:{address.port} does not speak {SUBPROTOCOL}")
    return protocol
