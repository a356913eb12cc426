"""Settings and events of the firmware's MQTT natives, with their habits."""

from __future__ import annotations

import pytest

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.mqtt import AppMqttSettings, Broker, MessageBuffer, MqttMessage


def settings(**values: str | int) -> AppMqttSettings:
    return AppMqttSettings().changed(AttributeContainer.of("", values).encode(Generation.NEW))


BROKERS: tuple[tuple[dict[str, str | int], Broker | None], ...] = (
    ({"uri": "mqtt://host"}, Broker("mqtt", "host", 1883)),
    ({"uri": "mqtts://host", "host": "other"}, Broker("mqtts", "host", 8883)),
    ({"uri": "mqtt://me:word@host:2000"}, Broker("mqtt", "host", 2000, "me", "word")),
    ({"host": "host", "port": 99}, Broker("mqtt", "host", 99)),
    ({"uri": "host:1883"}, None),
    ({"uri": "mqtt://host:x"}, None),
    ({}, None),
)


def test_settings_name_a_broker_keep_what_was_set_before_and_refuse_zero_and_other_types() -> None:
    for values, broker in BROKERS:
        assert settings(**values).broker == broker
    first = settings(uri="mqtt://a", keepalive=5, other=1)
    second = first.changed(AttributeContainer.of("", {"uri": "mqtt://b"}).encode(Generation.NEW))
    assert (second.uri, second.keepalive) == ("mqtt://b", 5)
    wrong: tuple[dict[str, str | int], ...] = ({"keepalive": 0}, {"port": 0}, {"uri": 5}, {"lwt_qos": "1"})
    for values in wrong:
        with pytest.raises(ProtocolError):
            settings(**values)


def decoded(buffer: MessageBuffer, message: MqttMessage) -> list[dict[str, object]]:
    return [dict(AttributeContainer.decode(e).as_mapping()) for e in buffer.events(message, Generation.NEW)]


def test_texts_run_on_to_the_next_nul() -> None:
    buffer = MessageBuffer()
    (first,) = decoded(buffer, MqttMessage(b"topic", b"payload"))
    assert (first["topic"], first["topic_len"]) == ("topicpayload", 5)
    assert (first["data"], first["data_len"]) == ("payload", 7)
    (second,) = decoded(buffer, MqttMessage(b"topic", b"abc"))
    assert (second["data"], second["data_len"]) == ("abcload", 3)
    (third,) = decoded(buffer, MqttMessage(b"t", b"a\0b", qos=1, msg_id=9))
    assert (third["topic"], third["data"], third["data_len"], third["msg_id"]) == ("t", "a", 3, 9)
