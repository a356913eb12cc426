"""The firmware's MQTT natives: reads their arguments. The client itself is network/mqtt_client.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from microclaw.errors import ProtocolError
from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.network.app_network import MAX_CLIENTS
from microclaw.virtual.network.mqtt_client import FAIL, MqttClient
from microclaw.virtual.runtime.app import App
from microclaw.wire.wasmachine.mqtt import AppMqttSettings

INVALID_ARG: Final = 0x102
_HEAD_BYTES: Final = 6
_MAX_SETTINGS_BYTES: Final = 16_384
_MAX_MESSAGE_BYTES: Final = 262_144
_MAX_TOPIC_BYTES: Final = 65_535


def _changed(app: App, settings: AppMqttSettings, attributes: int) -> AppMqttSettings | None:
    """None, and a line, for what the firmware refuses."""
    try:
        size = int.from_bytes(app.memory.read(attributes, _HEAD_BYTES)[2:], "little") + 2
        if size > _MAX_SETTINGS_BYTES:
            raise ProtocolError(f"an attribute container of {size} bytes")
        return settings.changed(app.memory.read(attributes, size))
    except ProtocolError as exc:
        app.network.say("mqtt", exc.message)
        return None


def _init(app: App, out: int, attributes: int) -> int:
    network = app.network
    if len(network.mqtt) >= MAX_CLIENTS or (settings := _changed(app, AppMqttSettings(), attributes)) is None:
        return FAIL
    handle = network.new_handle()
    network.mqtt[handle] = MqttClient(network, handle, settings)
    app.memory.write_u32(out, handle)
    return 0


def _of_client(call: Callable[..., int], missing: int = FAIL) -> Handler:
    """A native of one client: `call` gets the app, the client and the arguments; `missing` for a null handle."""

    def run(app: App, handle: int, *arguments: int) -> int:
        client = app.network.client(app.network.mqtt, handle & 0xFFFFFFFF)
        if client is None:
            return missing
        return call(app, client, *arguments)

    return run


def _config(app: App, client: MqttClient, attributes: int) -> int:
    settings = _changed(app, client.settings, attributes)
    if settings is None:
        return FAIL
    client.change(settings)
    return 0


def _destroy(app: App, client: MqttClient) -> int:
    client.stop()
    client.abandon()
    del app.network.mqtt[client.handle]
    return 0


def _do(call: Callable[[MqttClient], int]) -> Handler:
    return _of_client(lambda _app, client: call(client), INVALID_ARG)


def _publish(
    app: App, client: MqttClient, topic: int, data: int, size: int, qos: int, retain: int = 0, keep: int = 0
) -> int:
    if not 0 <= size <= _MAX_MESSAGE_BYTES:
        return FAIL
    # Length 0 means text; a null pointer arrives as the memory's own begin, where a text is empty.
    if size:
        payload = app.memory.read(data, size)
    else:
        payload = app.memory.string(data, _MAX_MESSAGE_BYTES)
    return client.publish(_topic(app, topic), payload, qos & 0xFF, retain=bool(retain), keep=bool(keep))


def _enqueue(app: App, client: MqttClient, topic: int, data: int, size: int, qos: int, retain: int, keep: int) -> int:
    if not qos & 0xFF and not keep:
        return FAIL  # esp-mqtt's answer, though "store" reads as if it were sent at once
    return _publish(app, client, topic, data, size, qos, retain, keep)


def _set_uri(app: App, client: MqttClient, uri: int) -> int:
    text = app.memory.string(uri, _MAX_SETTINGS_BYTES).decode("utf-8", "replace")
    settings = replace(client.settings, uri=text)
    if settings.broker is None:
        return FAIL
    client.change(settings)
    return 0


def _topic(app: App, address: int) -> str:
    return app.memory.string(address, _MAX_TOPIC_BYTES).decode("utf-8", "replace")


HANDLERS: dict[str, Handler] = {
    "wasm_mqtt_init": _init,
    "wasm_mqtt_config": _of_client(_config),
    "wasm_mqtt_destory": _of_client(_destroy, INVALID_ARG),
    "wasm_mqtt_start": _do(MqttClient.start),
    "wasm_mqtt_stop": _do(MqttClient.stop),
    "wasm_mqtt_reconnect": _do(MqttClient.reconnect),
    "wasm_mqtt_disconnect": _do(MqttClient.disconnect),
    "wasm_mqtt_get_outbox_size": _do(MqttClient.outbox_bytes),
    "wasm_mqtt_publish": _of_client(_publish),
    "wasm_mqtt_enqueue": _of_client(_enqueue),
    "wasm_mqtt_subscribe": _of_client(lambda p, client, topic, qos: client.subscribe(_topic(p, topic), qos & 0xFF)),
    "wasm_mqtt_unsubscribe": _of_client(lambda p, client, topic: client.unsubscribe(_topic(p, topic))),
    "wasm_mqtt_set_uri": _of_client(_set_uri, INVALID_ARG),
}
