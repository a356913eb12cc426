"""The firmware's MQTT natives: reads their arguments. The client itself is network/mqtt_client.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from microclaw.errors import ProtocolError
from microclaw.virtual.network.access import MAX_CLIENTS
from microclaw.virtual.network.mqtt_client import FAIL, MqttClient
from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.exec_env import ExecEnv
from microclaw.wire.wasmachine.mqtt import AppMqttSettings

INVALID_ARG: Final = 0x102
_HEAD_BYTES: Final = 6
_MAX_SETTINGS_BYTES: Final = 16_384
_MAX_MESSAGE_BYTES: Final = 262_144
_MAX_TOPIC_BYTES: Final = 65_535


def _change(env: ExecEnv, settings: AppMqttSettings, attributes: int) -> AppMqttSettings | None:
    """Return the settings with the attributes at that address; print a line and return None if they are refused."""
    try:
        size = int.from_bytes(env.memory.read(attributes, _HEAD_BYTES)[2:], "little") + 2
        if size > _MAX_SETTINGS_BYTES:
            raise ProtocolError(f"an attribute container of {size} bytes")
        return settings.changed(env.memory.read(attributes, size))
    except ProtocolError as exc:
        env.network.access.say("mqtt", exc.message)
        return None


def _init(env: ExecEnv, out: int, attributes: int) -> int:
    network = env.network
    if len(network.mqtt) >= MAX_CLIENTS:
        return FAIL
    settings = _change(env, AppMqttSettings(), attributes)
    if settings is None:
        return FAIL
    handle = network.new_handle()
    network.mqtt[handle] = MqttClient(network.access, handle, settings)
    env.memory.write_u32(out, handle)
    return 0


def _of_client(call: Callable[..., int], missing: int = FAIL) -> Handler:
    """Make a native of one client: `call` gets the env, the client and the arguments; `missing` for a null handle."""

    def run(env: ExecEnv, handle: int, *arguments: int) -> int:
        client = env.network.client(env.network.mqtt, handle & 0xFFFFFFFF)
        if client is None:
            return missing
        return call(env, client, *arguments)

    return run


def _config(env: ExecEnv, client: MqttClient, attributes: int) -> int:
    settings = _change(env, client.settings, attributes)
    if settings is None:
        return FAIL
    client.change(settings)
    return 0


def _destroy(env: ExecEnv, client: MqttClient) -> int:
    client.stop()
    client.abandon()
    del env.network.mqtt[client.handle]
    return 0


def _do(call: Callable[[MqttClient], int]) -> Handler:
    return _of_client(lambda _env, client: call(client), INVALID_ARG)


def _publish(
    env: ExecEnv, client: MqttClient, topic: int, data: int, size: int, qos: int, retain: int = 0, keep: int = 0
) -> int:
    if not 0 <= size <= _MAX_MESSAGE_BYTES:
        return FAIL
    # Length 0 means text; a null pointer arrives as the memory's own begin, where a text is empty.
    if size:
        payload = env.memory.read(data, size)
    else:
        payload = env.memory.string(data, _MAX_MESSAGE_BYTES)
    return client.publish(_topic(env, topic), payload, qos & 0xFF, retain=bool(retain), keep=bool(keep))


def _enqueue(
    env: ExecEnv, client: MqttClient, topic: int, data: int, size: int, qos: int, retain: int, keep: int
) -> int:
    if not qos & 0xFF and not keep:
        # That is esp-mqtt's answer, though "store" reads as if it were sent at once.
        return FAIL
    return _publish(env, client, topic, data, size, qos, retain, keep)


def _set_uri(env: ExecEnv, client: MqttClient, uri: int) -> int:
    text = env.memory.string(uri, _MAX_SETTINGS_BYTES).decode("utf-8", "replace")
    settings = replace(client.settings, uri=text)
    if settings.broker is None:
        return FAIL
    client.change(settings)
    return 0


def _topic(env: ExecEnv, address: int) -> str:
    return env.memory.string(address, _MAX_TOPIC_BYTES).decode("utf-8", "replace")


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
    "wasm_mqtt_subscribe": _of_client(lambda env, client, topic, qos: client.subscribe(_topic(env, topic), qos & 0xFF)),
    "wasm_mqtt_unsubscribe": _of_client(lambda env, client, topic: client.unsubscribe(_topic(env, topic))),
    "wasm_mqtt_set_uri": _of_client(_set_uri, INVALID_ARG),
}
