"""Settings and events of the firmware's MQTT natives, which are attribute containers. Connects nowhere.

Source: esp-wasmachine a07f7c2 (wm_ext_wasm_native_mqtt.c), ESP-IDF's esp-mqtt. Of its habits: a key with the value 0
is an error, as the firmware takes it for one that it could not read; in events integers of 0 are left out, `event_id`
excepted; `topic` and `data` are read up to the next NUL in a buffer that has none behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from microclaw.addresses import DEFAULT_PORTS
from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.attributes import Attribute, AttributeContainer, AttributeType, Generation

EVENT_TAG: Final = "mqtt_attr"
BUFFER_BYTES: Final = 1024
"""esp-mqtt's buffer for a packet; a message that does not fit comes in pieces."""
DEFAULT_KEEPALIVE_S: Final = 120
SCHEMES: Final = ("mqtt", "mqtts")
CANNOT_RESOLVE: Final = 0x8001
"""ESP_ERR_ESP_TLS_CANNOT_RESOLVE_HOSTNAME"""
FAILED_TO_CONNECT: Final = 0x8004
"""ESP_ERR_ESP_TLS_FAILED_CONNECT_TO_HOST"""
_ERROR_CODE: Final = Struct("<6i")


class EventId(IntEnum):
    """esp_mqtt_event_id_t."""

    ERROR = 0
    CONNECTED = 1
    DISCONNECTED = 2
    SUBSCRIBED = 3
    UNSUBSCRIBED = 4
    PUBLISHED = 5
    DATA = 6
    BEFORE_CONNECT = 7


class AppMqttSettings(msgspec.Struct, frozen=True):
    """The settings of an app, under the container's own keys; 0 and "" are what it left out. Times are in seconds."""

    uri: str = ""
    host: str = ""
    path: str = ""
    port: int = 0
    client_id: str = ""
    username: str = ""
    password: str = ""
    lwt_topic: str = ""
    lwt_msg: str = ""
    lwt_qos: int = 0
    lwt_retain: int = 0
    lwt_msg_len: int = 0
    disable_clean_session: int = 0
    keepalive: int = DEFAULT_KEEPALIVE_S
    disable_auto_reconnect: int = 0
    cert_pem: str = ""
    client_cert_pem: str = ""

    def changed(self, data: bytes) -> AppMqttSettings:
        """With the keys of a container, unknown ones left out; ProtocolError where the firmware refuses it."""
        found: dict[str, str | int] = {}
        for attribute in AttributeContainer.decode(data).values:
            kind = _KINDS.get(attribute.key)
            if kind is None:
                continue
            if not isinstance(attribute.value, kind) or (kind is int and not attribute.value):
                raise ProtocolError(f"MQTT setting {attribute.key} cannot be {attribute.value!r}"[:200])
            found[attribute.key] = int(attribute.value) if kind is int else attribute.value
        return replace(self, **found)

    @property
    def broker(self) -> Broker | None:
        """The broker to connect to; None where nothing usable is named."""
        if not self.uri:
            if self.host:
                return Broker("mqtt", self.host, self.port or DEFAULT_PORTS["mqtt"])
            return None
        try:
            parts = urlsplit(self.uri)
            port = parts.port
        except ValueError:
            return None
        if not parts.scheme or not parts.hostname:
            return None
        default = self.port or DEFAULT_PORTS.get(parts.scheme, 0)
        return Broker(parts.scheme, parts.hostname, port or default, parts.username or "", parts.password or "")


_KINDS: Final = {name: str if kind == "str" else int for name, kind in AppMqttSettings.__annotations__.items()}


class Broker(msgspec.Struct, frozen=True):
    """A broker's address, and the name and password that its URI has."""

    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = ""


class MqttFailure(msgspec.Struct, frozen=True):
    """The values of an `error` event: esp_mqtt_error_codes_t. `kind` is 1 for the transport, 2 for a refusal."""

    tls_error: int = 0
    kind: int = 1
    return_code: int = 0
    errno: int = 0


class MqttMessage(msgspec.Struct, frozen=True):
    """A message that a broker sent."""

    topic: bytes
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    msg_id: int = 0


def encode_event(event: EventId, generation: Generation, **numbers: int) -> bytes:
    """Encode an event without texts, such as connected with `session`."""
    return _encode(event, generation, [_number(key, value) for key, value in numbers.items()])


def encode_failure(failure: MqttFailure, generation: Generation) -> bytes:
    """Encode the event `error`."""
    code = _ERROR_CODE.pack(failure.tls_error, 0, 0, failure.kind, failure.return_code, failure.errno)
    return _encode(EventId.ERROR, generation, [Attribute("error_code", AttributeType.BYTES, code)])


class MessageBuffer:
    """esp-mqtt's buffer for what comes in. It keeps old bytes, so that events show what stands behind a text in it."""

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)

    def events(self, message: MqttMessage, generation: Generation) -> Iterator[bytes]:
        """Encode the events `data` of a message: several if the buffer is shorter, only the first with a topic."""
        topic = message.topic
        total = len(message.payload)
        with_id = len(topic) + 2 + (2 if message.qos else 0)
        head = 1 + _length_bytes(with_id + total) + 2
        first = head + len(topic) + (2 if message.qos else 0)
        if first > BUFFER_BYTES:
            return  # esp-mqtt drops a message whose topic does not fit
        self._buffer[head : head + len(topic)] = topic
        if message.qos:
            self._buffer[head + len(topic) : first] = message.msg_id.to_bytes(2, "big")
        offset = 0
        start = first
        while offset < total or offset == 0:
            piece = message.payload[offset : offset + BUFFER_BYTES - start]
            self._buffer[start : start + len(piece)] = piece
            values = [
                _number("msg_id", message.msg_id),
                _number("total_len", total),
                _number("offset", offset),
                _number("qos", message.qos),
                _number("data_len", len(piece)),
                Attribute("retain", AttributeType.BOOL, message.retain),
                Attribute("dup", AttributeType.BOOL, message.dup),
            ]
            if offset == 0:
                values += [_number("topic_len", len(topic)), self._text("topic", head)]
            yield _encode(EventId.DATA, generation, [*values, self._text("data", start)])
            offset += len(piece)
            start = 0
            if not piece:
                return

    def _text(self, key: str, start: int) -> Attribute:
        return Attribute(key, AttributeType.STRING, bytes(self._buffer[start:]).partition(b"\0")[0])


def _length_bytes(remaining: int) -> int:
    return 1 + (remaining > 127) + (remaining > 16_383) + (remaining > 2_097_151)


def _number(key: str, value: int) -> Attribute:
    return Attribute(key, AttributeType.INT, value)


def _encode(event: EventId, generation: Generation, values: list[Attribute]) -> bytes:
    told = [value for value in values if value.value or value.type in (AttributeType.STRING, AttributeType.BYTES)]
    return AttributeContainer(EVENT_TAG, (_number("event_id", event.value), *told)).encode(generation, as_device=True)
