"""One connection to an MQTT broker: paho-mqtt's protocol on asyncio's streams. It keeps nothing.

Each connection has its own client of the library, so that the library sends nothing of an old connection again:
messages that must arrive are in the store's buffer. MQTT 5 is used for its limits: the broker's Receive Maximum limits
the messages under way, and messages over MAX_PACKET_BYTES are refused.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from microclaw.addresses import DEFAULT_PORTS, bracketed
from microclaw.durable import read_given_text
from microclaw.errors import BrokerError, ConfigError
from microclaw.host.config.settings import MqttSettings
from microclaw.host.egress.destinations import Purpose
from microclaw.host.egress.exchange import StreamPair
from microclaw.host.egress.outgoing import connect
from microclaw.interfaces.mqtt.device_view import OFFLINE
from microclaw.interfaces.mqtt.topics import Topics
from microclaw.text import clean_text

QOS: Final = 1
CONNECT_S: Final = 10.0
GOODBYE_S: Final = 2.0
KEEPALIVE_S: Final = 60
# Messages without the broker's answer.
MAX_UNDER_WAY: Final = 1_000
MAX_PACKET_BYTES: Final = 16_384
# The largest packet that exists (MQTT 5.0, 1.5.5).
MAX_SENT_BYTES: Final = 268_435_455
HEADER_BYTES: Final = 16
# About 250 acknowledgements: then other tasks get a turn.
READ_BYTES: Final = 1_024
MAX_PASSWORD_BYTES: Final = 4_096
_LOOK_AT_URL: Final = "start the broker, or correct it: microclaw config set mqtt.url mqtt://HOST:1883"
_LOOK_AT_TLS: Final = "mqtts:// is for the broker's TLS port; mqtt.ca_file names its certificate's authority"
_LOOK_AT_USER: Final = "check mqtt.user and mqtt.password_file, that the broker speaks MQTT 5, and what its log says"
_log = logging.getLogger(__name__)

OnMessage: TypeAlias = Callable[[str, bytes, bool], None]
"""Takes topic and payload; and True for what was retained."""


@dataclass(slots=True)
class BrokerStatus:
    """The host at its broker, in the host's status; counts are since the host started.

    `text` is the reason for "disturbed", or a problem of a connection that still works.
    """

    state: Literal["connecting", "on", "disturbed"] = "connecting"
    text: str | None = None
    next: str | None = None
    address: str | None = None
    connections: int = 0
    acknowledged: int = 0
    too_large: int = 0

    def warn(self, text: str) -> None:
        if self.text != text:
            self.text = text
            _log.warning("MQTT: %s", text)


class BrokerConnection:
    """Made by `opened`. `read` has to run beside the rest: it ends with the connection, by a BrokerError."""

    def __init__(self, streams: StreamPair, status: BrokerStatus, client_id: str, on_message: OnMessage) -> None:
        self._streams = streams
        self._status = status
        self._on_message = on_message
        self._client = client = _Client(client_id, streams.writer)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_received
        self._is_accepted = False
        # The broker ends a connection that is silent for longer.
        self.keepalive_s = KEEPALIVE_S
        self._failure: BrokerError | None = None
        self._window = MAX_UNDER_WAY
        self._max_bytes = MAX_SENT_BYTES
        self._under_way: dict[int, asyncio.Future[bool]] = {}
        self._has_room = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, settings: MqttSettings, topics: Topics, status: BrokerStatus, on_message: OnMessage
    ) -> AsyncGenerator[BrokerConnection]:
        """Inside, it is connected; after it the broker publishes the last will. Raises BrokerError, ConfigError."""
        tls, password = await asyncio.to_thread(_read_files, settings)
        url = urlsplit(settings.url or "")
        host = url.hostname or ""
        port = url.port or DEFAULT_PORTS[url.scheme]
        address = status.address = f"{url.scheme}://{bracketed(host)}:{port}"
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(CONNECT_S):
                    streams = StreamPair(*await connect(Purpose.CONFIGURED, host, port, tls=tls), GOODBYE_S)
                    stack.push_async_callback(streams.close)
                    connection = cls(streams, status, f"microclaw-{topics.host}", on_message)
                    client = connection._client
                    client.will_set(topics.of_host("status"), OFFLINE, QOS, retain=True)
                    if settings.user is not None:
                        client.username_pw_set(settings.user, password)
                    limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                    limits.MaximumPacketSize = MAX_PACKET_BYTES
                    client.connect(host, port, KEEPALIVE_S, clean_start=True, properties=limits)
                    while not connection._is_accepted:
                        await connection._read_some()
            except TimeoutError as exc:
                raise BrokerError(f"{address} did not answer within {CONNECT_S:g} s", next_step=_LOOK_AT_URL) from exc
            except (OSError, ValueError) as exc:
                # ssl.SSLError is an OSError; an impossible host name is a ValueError.
                why = clean_text(str(exc) or type(exc).__name__, one_line=True, limit=200)
                step = _LOOK_AT_TLS if isinstance(exc, ssl.SSLError) else _LOOK_AT_URL
                raise BrokerError(f"no connection to {address}: {why}", next_step=step) from exc
            try:
                yield connection
            finally:
                client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))

    async def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> asyncio.Future[bool]:
        """Send with QoS 1, when there is room.

        The future has the broker's answer: False if it refuses the message. A message that is too large for the broker
        would end every connection: it is not sent, but counted.
        """
        while len(self._under_way) >= self._window:
            self._has_room.clear()
            await self._has_room.wait()
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if len(topic.encode()) + len(payload) + HEADER_BYTES > self._max_bytes:
            answer.set_result(True)
            self._status.too_large += 1
            self._status.warn(f"the broker takes no message as large as {len(payload):,} bytes: {topic[:200]}")
        else:
            self._under_way[self._client.publish(topic, payload, QOS, retain).mid] = answer
        await self._drain()
        return answer

    def subscribe(self, filters: Sequence[str]) -> None:
        self._client.subscribe([(topic, SubscribeOptions(qos=QOS, retainAsPublished=True)) for topic in filters])

    async def read(self) -> None:
        """Read the broker's answers and messages. Never returns; BrokerError says how the connection ended."""
        while True:
            await self._read_some()
            # If the broker reads no acknowledgements, nothing more is read from it.
            await self._drain()
            await asyncio.sleep(0)

    async def _drain(self) -> None:
        # `read` reports the error.
        with suppress(OSError):
            await self._streams.writer.drain()

    async def _read_some(self) -> None:
        try:
            data = await self._streams.reader.read(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            raise self._lost()
        try:
            self._client.take(data)
        except Exception as exc:
            # paho may raise any exception for an invalid packet.
            why = clean_text(f"{type(exc).__name__}: {exc}", one_line=True, limit=200)
            text = f"{self._status.address} sent invalid MQTT 5: {why}"
            raise self._failure or BrokerError(text, next_step="check which program listens there") from exc
        if self._failure is not None:
            raise self._failure

    def _lost(self, why: str = "") -> BrokerError:
        return BrokerError(f"the connection to {self._status.address} was lost{why}", next_step=_LOOK_AT_URL)

    # Called by paho in `take`.

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self.keepalive_s = client.keepalive or KEEPALIVE_S
        if reason.is_failure:
            self._failure = BrokerError(f"{self._status.address} refuses this host: {reason}", next_step=_LOOK_AT_USER)
        self._window = min(MAX_UNDER_WAY, getattr(properties, "ReceiveMaximum", MAX_UNDER_WAY)) or 1
        self._max_bytes = getattr(properties, "MaximumPacketSize", MAX_SENT_BYTES)
        self._is_accepted = True

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: paho.DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._failure = self._lost(f": {reason}")

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._status.warn(f"the broker refuses what this host publishes: {reason}")
        else:
            self._status.acknowledged += 1
        answer = self._under_way.pop(mid)
        # The caller may have stopped waiting.
        if not answer.done():
            answer.set_result(not reason.is_failure)
        self._has_room.set()

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, reasons: Sequence[ReasonCode], _properties: Any
    ) -> None:
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if refused is not None:
            self._status.warn(f"the broker does not let this host listen: {refused}")

    def _on_received(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            # Not every broker refuses such a topic.
            self._status.warn("a message with a topic that is not UTF-8 is left out")
            return
        asyncio.get_running_loop().call_soon(self._on_message, topic, bytes(message.payload), message.retain)


class _Client(paho.Client):
    """paho-mqtt's client on a stream that is open already, with a limit on what it reads."""

    def __init__(self, client_id: str, writer: asyncio.StreamWriter) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self.max_inflight_messages_set(MAX_UNDER_WAY)
        self._stream = _Stream(writer)

    def take(self, data: bytes) -> None:
        """Handle received bytes. Raises ValueError, or any exception of paho, if they are not valid MQTT."""
        self._stream.received += data
        while self._stream.received:
            result = self.loop_read()
            if result is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise ValueError(result.name)
        # Send what paho has queued meanwhile.
        self.loop_write()

    def _create_socket(self) -> paho.SocketLike:
        return self._stream

    def _packet_read(self) -> MQTTErrorCode:
        """Leave a broker that sends a larger packet than it may: paho would keep all of it in memory.

        The largest message is in CONNECT (MQTT 5.0, 3.1.2.11.4), the highest QoS in each subscription.
        """
        result = super()._packet_read()
        length = self._in_packet["remaining_length"]
        if length > MAX_PACKET_BYTES:
            raise ValueError(f"a message of {length:,} bytes, {MAX_PACKET_BYTES:,} is the limit")
        if self._in_messages:
            raise ValueError(f"a message of QoS 2, {QOS} is the limit")
        return result


class _Stream:
    """A socket for paho, which never blocks."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.received = bytearray()
        self._writer = writer

    def recv(self, buffer_size: int) -> bytes:
        if not self.received:
            raise BlockingIOError
        data = bytes(self.received[:buffer_size])
        del self.received[:buffer_size]
        return data

    def send(self, buffer: bytes | bytearray) -> int:
        self._writer.write(buffer)
        return len(buffer)

    def setblocking(self, flag: bool) -> None: ...

    def fileno(self) -> int:
        return -1

    def close(self) -> None: ...


def _read_files(settings: MqttSettings) -> tuple[ssl.SSLContext | None, str | None]:
    """Return TLS and the password from their present files. Raises ConfigError."""
    tls = None
    password = None
    if urlsplit(settings.url or "").scheme == "mqtts":
        try:
            tls = ssl.create_default_context(cafile=settings.ca_file and Path(settings.ca_file).expanduser())
        except OSError as exc:
            # Also ssl.SSLError.
            text = f"mqtt.ca_file {settings.ca_file} cannot be used: {exc}"
            raise ConfigError(text, next_step="it is the authority's certificate in PEM") from exc
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.password_file is not None:
        password = read_given_text(Path(settings.password_file), MAX_PASSWORD_BYTES).strip("\r\n")
        if not password.isprintable() or not password:
            text = f"mqtt.password_file {settings.password_file} does not hold a password of one line"
            raise ConfigError(text, next_step="write only the password into it")
    return tls, password
