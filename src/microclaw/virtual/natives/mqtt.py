"""The firmware's MQTT natives: reads their arguments. The client itself is network/mqtt_client.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from microclaw.errors import ProtocolError
from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.network.app_network import MAX_CLIENTS
from microclaw.virtual.network.mqtt_client import FAIL, MqttClient
from microclaw.virtual.runtime.process import Process
from microclaw.wire.wasmachine.mqtt import MqttSettings

INVALID_ARG: Final = 0x102
_HEAD_BYTES: Final = 6
_MAX_SETTINGS_BYTES: Final = 16_384
_MAX_MESSAGE_BYTES: Final = 262_144
_MAX_TOPIC_BYTES: Final = 65_535


def _client(process: Process, handle: int) -> MqttClient | None:
    return process.network.client(process.network.mqtt, handle & 0xFFFFFFFF)


def _changed(process: Process, settings: MqttSettings, attributes: int) -> MqttSettings | None:
    """None, and a line, for what the firmware refuses."""
    try:
        size = int.from_bytes(process.memory.read(attributes, _HEAD_BYTES)[2:], "little") + 2
        if size > _MAX_SETTINGS_BYTES:
            raise ProtocolError(f"an attribute container of {size} bytes")
        return settings.changed(process.memory.read(attributes, size))
    except ProtocolError as exc:
        process.network.print_line(f"mqtt: {exc.message}")
        return None


def _init(process: Process, out: int, attributes: int) -> int:
    network = process.network
    if len(network.mqtt) >= MAX_CLIENTS or (settings := _changed(process, MqttSettings(), attributes)) is None:
        return FAIL
    handle = network.new_handle()
    network.mqtt[handle] = MqttClient(network, handle, settings)
    process.memory.write_u32(out, handle)
    return 0


def _config(process: Process, handle: int, attributes: int) -> int:
    client = _client(process, handle)
    if client is None or (settings := _changed(process, client.settings, attributes)) is None:
        return FAIL
    client.change(settings)
    return 0


def _destroy(process: Process, handle: int) -> int:
    client = _client(process, handle)
    if client is None:
        return INVALID_ARG
    client.stop()
    client.abandon()
    del process.network.mqtt[handle & 0xFFFFFFFF]
    return 0


def _do(call: Callable[[MqttClient], int]) -> Handler:
    def run(process: Process, handle: int) -> int:
        client = _client(process, handle)
        return INVALID_ARG if client is None else call(client)

    return run


def _enqueue(process: Process, handle: int, topic: int, data: int, size: int, qos: int, retain: int, keep: int) -> int:
    if not qos & 0xFF and not keep:
        return FAIL  # esp-mqtt's answer, though "store" reads as if it were sent at once
    return _publish(process, handle, topic, data, size, qos, retain, keep)


def _publish(
    process: Process, handle: int, topic: int, data: int, size: int, qos: int, retain: int = 0, keep: int = 0
) -> int:
    client = _client(process, handle)
    if client is None or size < 0 or size > _MAX_MESSAGE_BYTES:
        return FAIL
    # Length 0 means text; a null pointer arrives as the memory's own begin, where a text is empty.
    payload = process.memory.read(data, size) if size else process.memory.string(data, _MAX_MESSAGE_BYTES)
    return client.publish(_topic(process, topic), payload, qos & 0xFF, retain=bool(retain), keep=bool(keep))


def _subscribe(process: Process, handle: int, topic: int, qos: int) -> int:
    client = _client(process, handle)
    return FAIL if client is None else client.subscribe(_topic(process, topic), qos & 0xFF)


def _unsubscribe(process: Process, handle: int, topic: int) -> int:
    client = _client(process, handle)
    return FAIL if client is None else client.unsubscribe(_topic(process, topic))


def _set_uri(process: Process, handle: int, uri: int) -> int:
    client = _client(process, handle)
    if client is None:
        return INVALID_ARG
    text = process.memory.string(uri, _MAX_SETTINGS_BYTES).decode("utf-8", "replace")
    settings = replace(client.settings, uri=text)
    if settings.broker is None:
        return FAIL
    client.change(settings)
    return 0


def _topic(process: Process, address: int) -> str:
    return process.memory.string(address, _MAX_TOPIC_BYTES).decode("utf-8", "replace")


HANDLERS: dict[str, Handler] = {
    "wasm_mqtt_init": _init,
    "wasm_mqtt_config": _config,
    "wasm_mqtt_destory": _destroy,
    "wasm_mqtt_start": _do(MqttClient.start),
    "wasm_mqtt_stop": _do(MqttClient.stop),
    "wasm_mqtt_reconnect": _do(MqttClient.reconnect),
    "wasm_mqtt_disconnect": _do(MqttClient.disconnect),
    "wasm_mqtt_get_outbox_size": _do(MqttClient.outbox_bytes),
    "wasm_mqtt_publish": _publish,
    "wasm_mqtt_enqueue": _enqueue,
    "wasm_mqtt_subscribe": _subscribe,
    "wasm_mqtt_unsubscribe": _unsubscribe,
    "wasm_mqtt_set_uri": _set_uri,
}
