"""One connection to an MQTT broker, in a thread of paho-mqtt's own. It keeps nothing.

A session is made for each connection and thrown away with it, so nothing of an old one is sent again by the library:
what has to arrive is in the store's buffer. MQTT 5, for its limits: the broker's Receive Maximum bounds what is under
way, and no message over MAX_PACKET_BYTES is taken.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from microclaw.errors import BrokerError
from microclaw.telemetry.mqtt_broker import CONNECT_S, MAX_UNDER_WAY, QOS, BrokerOptions
from microclaw.text import clean_text

if TYPE_CHECKING:
    from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from microclaw.telemetry.mqtt_client import GuardedClient

MAX_SENT_BYTES: Final = 268_435_455  # MQTT 5.0, 1.5.5: the largest packet there is
HEADER_BYTES: Final = 16
_NEEDED: Final = {"MaximumQoS": "QoS 1", "RetainAvailable": "retained messages"}
MAX_INCOMING: Final = 256
GOODBYE_S: Final = 2.0
_LOOK_AT_URL: Final = "start the broker, or correct it: microclaw config set mqtt.url mqtt://HOST:1883"


class Incoming(Struct, frozen=True):
    topic: str
    payload: bytes
    retained: bool


class Acknowledgement(Struct, frozen=True):
    """The broker's answer to a message: it has it, or why it `refused` it."""

    token: object
    refused: str | None = None


class MqttSession:
    """Made by `MqttSession.opened`. Use it on the event loop; `ended` is done with the reason when it is over.

    `acknowledged` gets the broker's answers, many at once; `received` the messages that came, and how many were dropped
    because more came than are read; `deaf` why the broker lets this host not listen.
    """

    def __init__(
        self,
        options: BrokerOptions,
        *,
        acknowledged: Callable[[Sequence[Acknowledgement]], None],
        received: Callable[[Sequence[Incoming], int], None],
        deaf: Callable[[str], None],
    ) -> None:
        self._options = options
        self._acknowledged, self._received, self._deaf = acknowledged, received, deaf
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[BrokerError] = self._loop.create_future()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._client: GuardedClient | None = None
        self._window = MAX_UNDER_WAY
        self._max_bytes = MAX_SENT_BYTES
        self._lock = threading.Lock()  # held for what follows alone, never while paho is called
        self._under_way: dict[int, object] = {}
        self._early: dict[int, str | None] = {}  # the broker's answer came before `publish` returned
        self._acks: list[Acknowledgement] = []
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
        acknowledged: Callable[[Sequence[Acknowledgement]], None],
        received: Callable[[Sequence[Incoming], int], None],
        deaf: Callable[[str], None],
    ) -> AsyncGenerator[MqttSession]:
        """Inside, it is connected, until `ended`. Raises BrokerError when the broker is not there or refuses."""
        session = cls(options, acknowledged=acknowledged, received=received, deaf=deaf)
        try:
            await session._connect()
            yield session
        finally:
            await asyncio.shield(asyncio.to_thread(session._close))

    @property
    def room(self) -> int:
        """The number of messages that may be published now."""
        return self._window - len(self._under_way)

    def fits(self, topic: str, payload: bytes) -> bool:
        """True if the broker takes a message of this size."""
        return len(topic.encode()) + len(payload) + HEADER_BYTES <= self._max_bytes

    def publish(self, topic: str, payload: bytes, token: object, *, retain: bool) -> None:
        """Send with QoS 1; `token` comes back when the broker has it. Ask for `room` before."""
        assert self._client is not None
        info = self._client.publish(topic, payload, QOS, retain)
        with self._lock:
            if info.mid not in self._early:
                self._under_way[info.mid] = token
                return
            self._acks.append(Acknowledgement(token, self._early.pop(info.mid)))
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
        from microclaw.telemetry.mqtt_client import dial  # paho: 30 ms and 4 MB that hosts without a broker save

        options = self._options
        client = None
        try:
            client = self._new_client()
            dial(client, options)
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

    def _new_client(self) -> GuardedClient:
        from microclaw.telemetry.mqtt_client import new_client

        client = new_client(self._options, broken=self._on_broken)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
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
        lacks = [what for name, what in _NEEDED.items() if not getattr(properties, name, 1)]
        if lacks:
            text = f"{self._options.address} takes no {' and no '.join(lacks)}"
            self._call(self._settle, BrokerError(text, next_step="use a broker that does, such as mosquitto"))
            return
        self._window = min(MAX_UNDER_WAY, getattr(properties, "ReceiveMaximum", MAX_UNDER_WAY))
        self._max_bytes = getattr(properties, "MaximumPacketSize", self._max_bytes)
        self._call(self._settle, None)

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        why = f": {reason}" if flags.is_disconnect_packet_from_server else ""
        error = BrokerError(f"the connection to {self._options.address} was lost{why}", next_step=_LOOK_AT_URL)
        self._call(self.end, error)

    def _on_broken(self, exc: Exception) -> None:
        why = clean_text(f"{type(exc).__name__}: {exc}", one_line=True, limit=200)
        text = f"{self._options.address} sent what is no MQTT 5: {why}"
        self._call(self.end, BrokerError(text, next_step="see what listens there"))

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        refused = str(reason) if reason.is_failure else None
        with self._lock:
            if mid in self._under_way:
                self._acks.append(Acknowledgement(self._under_way.pop(mid), refused))
            else:
                self._early[mid] = refused
                return
        self._wake()

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, reasons: Sequence[ReasonCode], _properties: Any
    ) -> None:
        refused = next((str(reason) for reason in reasons if reason.is_failure), None)
        if refused is not None:
            self._call(self._deaf, refused)

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


def _subscription() -> Any:
    from paho.mqtt.subscribeoptions import SubscribeOptions

    return SubscribeOptions(qos=QOS)


def _let_go(client: GuardedClient) -> None:
    """paho closes its sockets when nobody refers to it any more: a callback of ours would keep it."""
    client.on_connect = client.on_disconnect = client.on_publish = client.on_message = client.on_subscribe = None
    client.broken = _nobody


def _nobody(_: Exception) -> None:
    """For a client that has been let go."""


def _read(connected: asyncio.Future[None]) -> None:
    """Nobody may wait any more for how it ended."""
    if not connected.cancelled():
        connected.exception()


def _refusal(options: BrokerOptions, reason: ReasonCode) -> BrokerError:
    step = "check mqtt.user and mqtt.password_file, that the broker speaks MQTT 5, and what its log says"
    return BrokerError(f"{options.address} refuses this host: {reason}", next_step=step)


def _no_connection(options: BrokerOptions, exc: Exception) -> BrokerError:
    why = clean_text(str(exc) or type(exc).__name__, one_line=True, limit=200)
    is_tls = isinstance(exc, ssl.SSLError)
    step = (
        "mqtts:// is for the broker's TLS port; mqtt.ca_file names its certificate's authority"
        if is_tls
        else _LOOK_AT_URL
    )
    return BrokerError(f"no connection to {options.address}: {why}", next_step=step)
