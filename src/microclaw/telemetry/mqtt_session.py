"""One connection to an MQTT broker: the one place where paho-mqtt runs, in a thread of its own. It keeps nothing.

A session is made for each connection and thrown away with it, so nothing of an old one is sent again by the library:
what has to arrive is in the store's buffer. MQTT 5, for its limits: the broker's Receive Maximum bounds what is under
way, and no message over MAX_PACKET_BYTES is taken (MQTT 5.0, 3.1.2.11.4).
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from microclaw.addresses import bracketed
from microclaw.config.settings import MqttSettings
from microclaw.errors import BrokerError, ConfigError
from microclaw.telemetry.mqtt_device import OFFLINE
from microclaw.telemetry.mqtt_topics import Topics
from microclaw.text import clean_text

if TYPE_CHECKING:
    from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

QOS: Final = 1
PLAIN_PORT: Final = 1883
TLS_PORT: Final = 8883
MAX_PASSWORD_CHARS: Final = 4_096
CONNECT_S: Final = 10.0
KEEPALIVE_S: Final = 30
MAX_PACKET_BYTES: Final = 16_384
MAX_UNDER_WAY: Final = 1_000
MAX_INCOMING: Final = 256
GOODBYE_S: Final = 2.0
_NOT_LET_IN: Final = (134, 135)  # bad user name or password, not authorized
_WRONG_VERSION: Final = 132
_LOOK_AT_URL: Final = "start the broker, or correct it: microclaw config set mqtt.url mqtt://HOST:1883"


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker is, and as whom to come. `will` is published, retained, when the connection is lost."""

    host: str
    port: int
    client_id: str
    will_topic: str
    will: bytes
    tls: ssl.SSLContext | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{'mqtt' if self.tls is None else 'mqtts'}://{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Incoming:
    topic: str
    payload: bytes
    retained: bool


class MqttSession:
    """Made by `MqttSession.opened`. Use it on the event loop; `ended` is done with the reason when it is over.

    `acknowledged` gets the tokens of messages that the broker has, many at once; `received` the messages that came,
    and how many were dropped because more came than are read.
    """

    def __init__(
        self,
        options: BrokerOptions,
        *,
        acknowledged: Callable[[Sequence[object]], None],
        received: Callable[[Sequence[Incoming], int], None],
    ) -> None:
        self._options = options
        self._acknowledged, self._received = acknowledged, received
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[BrokerError] = self._loop.create_future()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._client: Client | None = None
        self._window = MAX_UNDER_WAY
        self._lock = threading.Lock()  # held for what follows alone, never while paho is called
        self._under_way: dict[int, object] = {}
        self._early: set[int] = set()  # the broker's answer came before `publish` returned
        self._acks: list[object] = []
        self._incoming: list[Incoming] = []
        self._dropped = 0
        self._woken = False
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        options: BrokerOptions,
        *,
        acknowledged: Callable[[Sequence[object]], None],
        received: Callable[[Sequence[Incoming], int], None],
    ) -> AsyncGenerator[MqttSession]:
        """Inside, it is connected, until `ended`. Raises BrokerError when the broker is not there or refuses."""
        session = cls(options, acknowledged=acknowledged, received=received)
        try:
            await session._connect()
            yield session
        finally:
            await asyncio.shield(asyncio.to_thread(session._close))

    @property
    def room(self) -> int:
        """How many messages may be published now."""
        return self._window - len(self._under_way)

    def publish(self, topic: str, payload: bytes, token: object, *, retain: bool) -> None:
        """Send with QoS 1; `token` comes back when the broker has it. Ask for `room` before."""
        assert self._client is not None
        info = self._client.publish(topic, payload, QOS, retain)
        with self._lock:
            if info.mid not in self._early:
                self._under_way[info.mid] = token
                return
            self._early.discard(info.mid)
            self._acks.append(token)
        self._wake()

    def subscribe(self, filters: Sequence[str]) -> None:
        assert self._client is not None
        self._client.subscribe([(topic, _subscription()) for topic in filters])

    def end(self, error: BrokerError) -> None:
        """It is over, for this reason."""
        self._settle(error)
        if not self.ended.done():
            self.ended.set_result(error)

    async def _connect(self) -> None:
        self._connected.add_done_callback(_read)
        threading.Thread(target=self._dial, name="mqtt-connect", daemon=True).start()  # names and TLS may take long
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._connected
        except TimeoutError as exc:
            raise BrokerError(
                f"{self._options.address} did not answer within {CONNECT_S:g} s", next_step=_LOOK_AT_URL
            ) from exc

    def _dial(self) -> None:
        """On a thread of its own, which ends when paho's begins."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        options = self._options
        client = None
        try:
            client = self._new_client()
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            client.connect(options.host, options.port, KEEPALIVE_S, clean_start=True, properties=properties)
        except (OSError, ValueError) as exc:  # ssl.SSLError and socket.gaierror are OSErrors
            self._call(self._settle, _no_connection(options, exc))
            if client is not None:
                _let_go(client)
            return
        with self._lock:
            if not self._closed:
                self._client = client
                client.loop_start()
                return
        client.disconnect()  # nobody waits for it any more
        _let_go(client)

    def _new_client(self) -> Client:
        from paho.mqtt import client as paho  # 30 ms and 4 MB that hosts without a broker save
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        options = self._options
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            options.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(MAX_UNDER_WAY)
        client.will_set(options.will_topic, options.will, QOS, retain=True)
        if options.user is not None:
            client.username_pw_set(options.user, options.password)
        if options.tls is not None:
            client.tls_set_context(options.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()  # joins its thread
            _let_go(client)

    # On paho's thread.

    def _on_connect(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._call(self._settle, _refusal(self._options, reason))
            return
        allowed = getattr(properties, "ReceiveMaximum", MAX_UNDER_WAY)
        self._window = min(MAX_UNDER_WAY, allowed)
        self._call(self._settle, None)

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        error = BrokerError(f"the connection to {self._options.address} was lost: {reason}", next_step=_LOOK_AT_URL)
        self._call(self.end, error)

    def _on_publish(self, _client: Client, _data: Any, mid: int, *_: Any) -> None:
        with self._lock:
            if mid not in self._under_way:
                self._early.add(mid)
                return
            self._acks.append(self._under_way.pop(mid))
        self._wake()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        with self._lock:
            if len(self._incoming) >= MAX_INCOMING or not topic:
                self._dropped += 1
            else:
                self._incoming.append(Incoming(topic, bytes(message.payload), bool(message.retain)))
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._woken:
                return
            self._woken = True
        self._call(self._hand_over)

    def _call(self, work: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work, *arguments)

    # Back on the loop.

    def _hand_over(self) -> None:
        with self._lock:
            acks, self._acks = self._acks, []
            incoming, self._incoming = self._incoming, []
            dropped, self._dropped = self._dropped, 0
            self._woken = False
        if acks:
            self._acknowledged(acks)
        if incoming or dropped:
            self._received(incoming, dropped)

    def _settle(self, error: BrokerError | None) -> None:
        if self._connected.done():
            return
        if error is None:
            self._connected.set_result(None)
        else:
            self._connected.set_exception(error)


def read_options(settings: MqttSettings, topics: Topics) -> BrokerOptions:
    """How the settings say to connect; the files are read anew each time. Raises ConfigError."""
    parts = urlsplit(settings.url or "")
    is_tls = parts.scheme == "mqtts"
    return BrokerOptions(
        host=parts.hostname or "",
        port=parts.port or (TLS_PORT if is_tls else PLAIN_PORT),
        client_id=f"microclaw-{topics.host}",
        will_topic=topics.of_host("status"),
        will=OFFLINE,
        tls=_tls(settings.ca_file) if is_tls else None,
        user=settings.user,
        password=None if settings.password_file is None else _password(settings.password_file),
    )


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else Path(ca_file).expanduser())
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(
            f"mqtt.ca_file {ca_file} cannot be used: {exc}", next_step="it is the authority's certificate in PEM"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _password(file: str) -> str:
    try:
        with Path(file).expanduser().open(encoding="utf-8") as opened:
            text = opened.read(MAX_PASSWORD_CHARS + 1)
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise ConfigError(
            f"mqtt.password_file {file} cannot be read: {why}", next_step="a file with the password on one line"
        ) from exc
    password = text.strip("\r\n")
    if not password or len(text) > MAX_PASSWORD_CHARS or not password.isprintable():
        raise ConfigError(
            f"mqtt.password_file {file} does not hold a password of one line, at most {MAX_PASSWORD_CHARS} characters",
            next_step="write the password alone into it",
        )
    return password


def _subscription() -> Any:
    from paho.mqtt.subscribeoptions import SubscribeOptions

    return SubscribeOptions(qos=QOS)


def _let_go(client: Client) -> None:
    """paho closes its sockets when nobody refers to it any more: a callback of ours would keep it."""
    client.on_connect = client.on_disconnect = client.on_publish = client.on_message = None


def _read(connected: asyncio.Future[None]) -> None:
    """Nobody may wait any more for how it ended."""
    if not connected.cancelled():
        connected.exception()


def _refusal(options: BrokerOptions, reason: ReasonCode) -> BrokerError:
    if reason.value in _NOT_LET_IN:
        step = "check mqtt.user and mqtt.password_file, and what the broker allows them"
    elif reason.value == _WRONG_VERSION:
        step = "it needs MQTT 5: mosquitto 1.6 or newer, or another broker that speaks it"
    else:
        step = "the broker's log says why"
    return BrokerError(f"{options.address} refuses this host: {reason}", next_step=step)


def _no_connection(options: BrokerOptions, exc: Exception) -> BrokerError:
    why = clean_text(str(exc) or type(exc).__name__, one_line=True, limit=200)
    if isinstance(exc, ssl.SSLCertVerificationError):
        step = "mqtt.ca_file names the authority that signed the broker's certificate, mqtt.url the name in it"
    elif isinstance(exc, ssl.SSLError):
        step = "mqtts:// is for the broker's TLS port, mqtt:// for the other"
    else:
        step = _LOOK_AT_URL
    return BrokerError(f"no connection to {options.address}: {why}", next_step=step)
