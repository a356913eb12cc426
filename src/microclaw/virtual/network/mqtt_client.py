"""One MQTT client of an app, as the firmware's esp-mqtt behaves, over paho-mqtt.

Where the board has no network, a broker of the lines of expectations takes its part; without one it only fails.
Its calls come from the app's thread. Events come from paho's thread, or from the clock where there is no network; each
is queued for the app as bytes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from microclaw.backoff import Backoff
from microclaw.text import clean_text
from microclaw.virtual.clock import ClockTimer
from microclaw.virtual.network.access import NetworkAccess
from microclaw.virtual.network.canned import EACCES, CannedSession
from microclaw.virtual.network.mqtt_broker import Session
from microclaw.wire.canned_lines import ANSWER_MS
from microclaw.wire.wasmachine.mqtt import (
    CANNOT_RESOLVE,
    FAILED_TO_CONNECT,
    SCHEMES,
    AppMqttSettings,
    Broker,
    EventId,
    MessageBuffer,
    MqttFailure,
    MqttMessage,
    encode_event,
    encode_failure,
)

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

OK: Final = 0
FAIL: Final = -1
FULL: Final = -2
MIN_WAIT_S: Final = 1
MAX_WAIT_S: Final = 10
"""Between attempts to connect; esp-mqtt always waits 10 s."""
CONNECT_S: Final = 10.0
OUTBOX_BYTES: Final = 65_536
"""More than a chip has room for."""
_RETURN_CODES: Final = {132: 1, 133: 2, 136: 3, 134: 4, 135: 5}  # of MQTT 5, as paho tells them, to those of 3.1.1


class MqttClient:
    """`settings` may change until `start`, and take effect with it."""

    def __init__(self, access: NetworkAccess, handle: int, settings: AppMqttSettings) -> None:
        self.settings = settings
        self.is_started = False
        self.is_connected = False
        self._access = access
        self.handle = handle
        self._buffer = MessageBuffer()
        self._backoff = Backoff(min_s=MIN_WAIT_S, max_s=MAX_WAIT_S)
        self._client: Client | None = None
        self._broker: Broker | None = None
        self._alarm: ClockTimer | None = None
        self._session: CannedSession | None = None
        self._is_abandoned = False
        self._lost = 0
        self._last_id = 0  # of messages where there is no network
        self._sent: dict[int, int] = {}  # bytes of what is under way; 0 for QoS 0, of which no event tells
        self._early: set[int] = set()  # the broker's answer came before `publish` returned
        self._sent_lock = threading.Lock()  # held for the two above alone, never while paho is called
        self._queued: list[tuple[str, bytes, bool]] = []  # enqueued with QoS 0 while there is no connection
        self._offline: list[tuple[int, str, bytes]] = []  # of QoS 1 and 2, by their ids, where there is no network

    # What apps call.

    def start(self) -> int:
        """Begin to connect, and go on trying; return FAIL if it runs already, or the settings name no broker."""
        broker = self.settings.broker
        if self.is_started or broker is None:
            return FAIL
        if broker.scheme not in SCHEMES or not 0 < broker.port < 65_536:
            self._say(f"{broker.scheme}://{broker.host}:{broker.port}: only mqtt:// and mqtts:// are imitated here")
            return FAIL
        if broker.scheme == "mqtts" and not self.settings.cert_pem:
            self._say("mqtts:// needs cert_pem: the firmware's MQTT has no certificates of its own")
            return FAIL
        if self.settings.client_cert_pem:
            self._say("client_cert_pem is not imitated here")
            return FAIL
        self._broker = broker
        self.is_started = True
        if self._access.connect is None:
            self._connect_later(ANSWER_MS)
            return OK
        try:
            self._client = self._client or self._new_client(broker)
        except (ValueError, OSError) as exc:  # ssl.SSLError is an OSError
            self._say(f"the settings cannot be used: {exc}")
            self.is_started = False
            return FAIL
        self._run(broker)
        return OK

    def stop(self) -> int:
        """Disconnect and end; return FAIL if it does not run."""
        if not self.is_started:
            return FAIL
        self.is_started = False
        return self.disconnect()

    def reconnect(self) -> int:
        """Connect now instead of later; return FAIL while it is connected, or not started."""
        if not self.is_started or self.is_connected or self._broker is None:
            return FAIL
        self.disconnect()
        if self._client is None:
            self._connect_later(ANSWER_MS)
        else:
            self._run(self._broker)
        return OK

    def disconnect(self) -> int:
        """Close the connection, until `reconnect`."""
        self._cancel_alarm()
        if self._client is not None:
            _reap(self._client)
        if self._leave():
            self._emit(EventId.DISCONNECTED)
        return OK

    def publish(self, topic: str, data: bytes, qos: int, *, retain: bool = False, keep: bool = False) -> int:
        """Send a message and return its id, 0 for QoS 0.

        Returns FAIL for QoS 0 without a connection unless `keep`, FULL if the outbox is full.
        """
        if qos > 2 or not topic or set("#+\0") & set(topic):
            return FAIL
        if not qos and not self.is_connected:
            if not keep:
                return FAIL
            return self._enqueue(topic, data, retain=retain)
        if qos and self.outbox_bytes() + len(topic) + len(data) > OUTBOX_BYTES:
            return FULL
        broker = self.settings.broker
        if self._client is None and self._access.connect is not None and broker is not None:
            self._client = self._new_client(broker)
        if self._client is None:
            return self._publish_offline(topic, data, qos)
        try:
            message_id = self._client.publish(topic, data, qos, retain).mid
        except ValueError:
            return FAIL
        if not qos:
            self._note_sent(message_id, 0)
            return OK
        if self._note_sent(message_id, len(topic) + len(data)):
            self._emit(EventId.PUBLISHED, msg_id=message_id)
        return message_id

    def subscribe(self, topic: str, qos: int) -> int:
        """Subscribe; return the message's id, FAIL without a connection or if the topic is no filter."""
        if qos > 2:
            return FAIL
        if self._session is not None:
            return self._confirm(EventId.SUBSCRIBED, is_done=self._session.subscribe(topic))
        return self._ask("subscribe", topic, qos)

    def unsubscribe(self, topic: str) -> int:
        """Unsubscribe; return the message's id, FAIL without a connection."""
        if self._session is not None:
            self._session.unsubscribe(topic)
            return self._confirm(EventId.UNSUBSCRIBED)
        return self._ask("unsubscribe", topic)

    def outbox_bytes(self) -> int:
        """Count the bytes of messages that the broker has not acknowledged, and that wait for a connection."""
        with self._sent_lock:
            return sum(self._sent.values()) + self._queued_bytes()

    def change(self, settings: AppMqttSettings) -> None:
        """Use other settings from the next start on."""
        self.settings = settings
        if not self.is_started:
            self._client = None

    def abandon(self) -> None:
        """End without a word: the app gets no event, the broker sees a connection that broke."""
        self._is_abandoned = True
        self._cancel_alarm()
        self._leave()
        client = self._client
        self._client = None
        if client is not None:
            connection = client.socket()
        else:
            connection = None
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if client is not None:
            threading.Thread(target=_reap, args=(client,), name="mqtt-end", daemon=True).start()

    # The session.

    def _new_client(self, broker: Broker) -> Client:
        # 30 ms and 4 MB that other programs save.
        from microclaw.virtual.network.mqtt_connection import CheckedClient

        assert self._access.connect is not None
        settings = self.settings
        client = CheckedClient(
            self._access.connect,
            settings.client_id or f"ESP32_{self.handle:06x}",
            clean_session=not settings.disable_clean_session,
            reconnect_on_failure=not settings.disable_auto_reconnect,
        )
        client.connect_timeout = CONNECT_S
        client.reconnect_delay_set(MIN_WAIT_S, MAX_WAIT_S)
        username = settings.username or broker.username
        password = settings.password or broker.password
        if username:
            client.username_pw_set(username, password or None)
        if settings.lwt_topic:
            will = settings.lwt_msg.encode()[: settings.lwt_msg_len or None]
            client.will_set(settings.lwt_topic, will, settings.lwt_qos, bool(settings.lwt_retain))
        if broker.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context(cadata=settings.cert_pem))
        client.on_pre_connect = lambda *_: self._emit(EventId.BEFORE_CONNECT)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._on_no_connection()
        client.on_disconnect = lambda *_: self._on_disconnect()
        client.on_message = self._on_message
        client.on_publish = lambda _client, _data, mid, *_: self._on_published(mid)
        client.on_subscribe = lambda _client, _data, mid, *_: self._emit(EventId.SUBSCRIBED, msg_id=mid)
        client.on_unsubscribe = lambda _client, _data, mid, *_: self._emit(EventId.UNSUBSCRIBED, msg_id=mid)
        return client

    def _run(self, broker: Broker) -> None:
        assert self._client is not None
        self._client.connect_async(broker.host, broker.port, self.settings.keepalive)
        self._client.loop_start()

    def _enqueue(self, topic: str, data: bytes, *, retain: bool) -> int:
        """Keep a message of QoS 0 until there is a connection."""
        if self._queued_bytes() + len(data) > OUTBOX_BYTES:
            return FULL
        self._queued.append((topic, data, retain))
        return OK

    def _queued_bytes(self) -> int:
        return sum(len(data) for _, data, _ in self._queued)

    def _note_sent(self, message_id: int, size: int) -> bool:
        """Keep the size of a message that is under way; return True if the broker has answered already."""
        with self._sent_lock:
            if message_id in self._early:
                self._early.discard(message_id)
                return True
            self._sent[message_id] = size
            return False

    def _ask(self, method: str, *arguments: Any) -> int:
        if self._client is None or not self.is_connected:
            return FAIL
        try:
            result, mid = getattr(self._client, method)(*arguments)
        except ValueError:
            return FAIL
        if result == 0 and mid is not None:
            return int(mid)
        return FAIL

    # Events, on paho's thread.

    def _on_connect(self, client: Client, _data: Any, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            code = _RETURN_CODES.get(reason.value, reason.value)
            self._fail(MqttFailure(kind=2, return_code=code), f"the broker refuses: {reason}")
            return
        self._backoff.succeeded()
        self.is_connected = True
        self._emit(EventId.CONNECTED, session=int(flags.session_present))
        queued = self._queued
        self._queued = []
        for topic, data, retain in queued:
            client.publish(topic, data, 0, retain)

    def _on_no_connection(self) -> None:
        exc = sys.exc_info()[1]  # paho calls this while it handles it
        errno = exc.errno if isinstance(exc, OSError) and not isinstance(exc, socket.gaierror) else None
        code = CANNOT_RESOLVE if isinstance(exc, socket.gaierror) else FAILED_TO_CONNECT
        self._fail(MqttFailure(code, errno=errno or 0), str(exc) or type(exc).__name__)
        self._emit(EventId.DISCONNECTED)

    def _on_disconnect(self) -> None:
        self.is_connected = False
        self._emit(EventId.DISCONNECTED)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic.encode()
        except UnicodeDecodeError:
            self._say("a message without a valid topic was left out")
            return
        got = MqttMessage(
            topic, bytes(message.payload), message.qos, bool(message.retain), bool(message.dup), message.mid
        )
        self._take(got)

    def _take(self, message: MqttMessage) -> None:
        for event in self._buffer.events(message, self._access.generation):
            self._post(event)

    def _on_published(self, mid: int) -> None:
        with self._sent_lock:
            size = self._sent.pop(mid, None)
            if size is None:
                self._early.add(mid)
        if size:
            self._emit(EventId.PUBLISHED, msg_id=mid)

    def _fail(self, failure: MqttFailure, why: str) -> None:
        wait_s = self._backoff.next_wait_s()
        if self.settings.disable_auto_reconnect:
            again = ""
        else:
            again = f", next in {wait_s:g} s"
        assert self._broker is not None
        host = clean_text(self._broker.host, one_line=True, limit=80)
        self._say(f"no connection to {host}:{self._broker.port}: {why}; attempt {self._backoff.failures}{again}")
        self._post(encode_failure(failure, self._access.generation))

    # Without a network.

    def _connect_later(self, after_ms: float) -> None:
        """Connect to a broker of the lines after a time, as one answers."""
        self._alarm = self._access.clock.call_at(self._access.clock.now_ms() + after_ms, self._connect_offline)

    def _connect_offline(self) -> None:
        assert self._broker is not None
        canned = self._access.canned
        session = Session(self._take_offline, self._lose_offline)
        self._emit(EventId.BEFORE_CONNECT)
        try:
            if canned is not None:
                canned.check_place(self._broker.host, self._broker.port)
                self._session = canned.join_broker(self._broker.host, self._broker.port, session)
        except OSError as exc:
            if exc.errno == EACCES:
                self._access.refuse("mqtt", f"{self._broker.host}:{self._broker.port}", exc.strerror)
            self._fail_offline(MqttFailure(FAILED_TO_CONNECT, errno=exc.errno or 0))
            return
        if self._session is None:
            self._access.refuse("mqtt", f"{self._broker.host}:{self._broker.port}")
            self._fail_offline(MqttFailure(CANNOT_RESOLVE))
            return
        self.is_connected = True
        self._backoff.succeeded()
        self._emit(EventId.CONNECTED, session=0)
        self._send_offline()

    def _fail_offline(self, failure: MqttFailure) -> None:
        self._post(encode_failure(failure, self._access.generation))
        self._lose_offline()

    def _lose_offline(self) -> None:
        """Note that there is no connection, and try again later."""
        self._session = None
        self.is_connected = False
        self._emit(EventId.DISCONNECTED)
        if not self.settings.disable_auto_reconnect:
            self._connect_later(self._backoff.next_wait_s() * 1000)

    def _take_offline(self, topic: str, data: bytes) -> None:
        self._take(MqttMessage(topic.encode(), data, qos=0, retain=False, dup=False, msg_id=0))

    def _publish_offline(self, topic: str, data: bytes, qos: int) -> int:
        """Send a message; one of QoS 1 or 2 waits until there is a connection."""
        if self._session is not None and not qos:
            self._session.publish(topic, data)
            return OK
        with self._sent_lock:
            self._last_id += 1
            mid = self._last_id
            self._sent[mid] = len(topic) + len(data)
            self._offline.append((mid, topic, data))
        self._send_offline()
        return mid

    def _send_offline(self) -> None:
        """Send what waits, if there is a connection."""
        session = self._session
        if session is None:
            return
        queued = self._queued
        self._queued = []
        for topic, data, _ in queued:
            session.publish(topic, data)
        with self._sent_lock:
            waiting = self._offline
            self._offline = []
        for mid, topic, data in waiting:
            session.publish(topic, data)
            self._on_published(mid)

    def _confirm(self, event: EventId, *, is_done: bool = True) -> int:
        """Tell the app that the broker did it; return the message's id."""
        if not is_done:
            return FAIL
        self._last_id += 1
        self._emit(event, msg_id=self._last_id)
        return self._last_id

    def _leave(self) -> bool:
        """Leave the broker of the lines; return True if it was connected to one."""
        session = self._session
        self._session = None
        if session is None:
            return False
        self.is_connected = False
        session.leave()
        return True

    def _cancel_alarm(self) -> None:
        alarm = self._alarm
        self._alarm = None
        if alarm is not None:
            alarm.cancel()

    def _emit(self, event: EventId, **numbers: int) -> None:
        self._post(encode_event(event, self._access.generation, **numbers))

    def _post(self, event: bytes) -> None:
        if self._is_abandoned or self._access.deliver("on_mqtt_dispatch_event", event, self.handle):
            return
        self._lost += 1
        if self._lost & (self._lost - 1) == 0:
            self._say(f"{self._lost} events lost: the program's queue is full")

    def _say(self, text: str) -> None:
        if not self._is_abandoned:
            self._access.say("mqtt", text)


def _reap(client: Client) -> None:
    """Wait for paho's thread, which ends by itself once it was told to disconnect."""
    client.disconnect()
    client.loop_stop()
