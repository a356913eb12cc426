"""Every discovery message against Home Assistant's own rules, and what becomes of entities."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs
from tests.interfaces.mqtt.conftest import Boards, publishing, until
from tests.mosquitto import Broker, Listener

from microclaw.host.config.settings import MqttSettings
from microclaw.interfaces.mqtt.device_view import DeviceView, FirmwareVersions, MqttPin, MqttProgram
from microclaw.interfaces.mqtt.discovery import SENSORS, Discovery, with_sensors
from microclaw.interfaces.mqtt.topics import Topics


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOPIC: Final = re.compile(r"[^+#\x00-\x1f\x7f]{1,1000}")
DISCOVERY_TOPIC: Final = re.compile(r".+/device/[a-zA-Z0-9_-]+/config")
ROOT: Final = words("dev o cmps availability availability_mode qos")
DEVICE: Final = words("ids name mf mdl sn sw")
COMMON: Final = words("platform unique_id name icon entity_category json_attributes_topic")
STATE: Final = words("state_topic value_template")
# Of each platform: the keys that it needs, and others that it knows.
PLATFORMS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "binary_sensor": (words("state_topic"), STATE),
    "button": (words("command_topic"), words("payload_press")),
    "sensor": (words("state_topic"), STATE | words("device_class state_class unit_of_measurement")),
    "switch": (words("command_topic"), STATE),
    "update": (frozenset(), words("state_topic device_class")),
}
UNITS: Final = {
    "atmospheric_pressure": "hPa", "current": "mA", "data_size": "B", "duration": "s", "humidity": "%", "power": "mW",
    "signal_strength": "dBm", "temperature": "°C", "voltage": "V",
}  # fmt: skip


def check_discovery(topic: str, payload: bytes) -> dict[str, dict[str, Any]]:
    """The components of a discovery message by their keys; AssertionError names what Home Assistant would not take."""
    assert DISCOVERY_TOPIC.fullmatch(topic), topic
    root = json.loads(payload)
    assert {"dev", "o", "cmps"} <= root.keys() <= ROOT, root.keys()
    assert {"ids"} <= root["dev"].keys() <= DEVICE
    assert all(isinstance(value, str) for key, value in root["dev"].items() if key != "ids")
    assert root["o"]["name"]
    assert all(row.keys() == {"topic"} and TOPIC.fullmatch(row["topic"]) for row in root["availability"])
    assert root["availability_mode"] == "all"
    found = {}
    for key, component in root["cmps"].items():
        found[key] = {"platform": component.pop("p"), **component}
        if component:  # else the entity is taken away
            _check_component(key, found[key])
    ids = [component["unique_id"] for component in found.values() if "unique_id" in component]
    assert len(ids) == len(set(ids)), "two entities have one unique_id"
    return found


def _check_component(key: str, component: Mapping[str, Any]) -> None:
    platform = component["platform"]
    needed, known = PLATFORMS[platform]
    assert component.keys() >= needed | {"unique_id"}, f"{key}: {needed - component.keys()}"
    assert component.keys() <= COMMON | needed | known, f"{key}: {component.keys() - known}"
    for name, value in component.items():
        assert isinstance(value, str), f"{key}.{name}"
        if name.endswith("_topic"):
            assert TOPIC.fullmatch(value), f"{key}.{name}: {value!r}"
        if name.endswith("_template"):
            assert value.count("{{") == value.count("}}") == 1, f"{key}.{name}: {value!r}"
    assert component.get("entity_category") in (None, "config", "diagnostic")
    assert component.get("state_class") in (None, "measurement", "total", "total_increasing")
    device_class = component.get("device_class")
    if platform == "sensor" and device_class is not None:
        assert component["unit_of_measurement"] == UNITS[device_class], key
    else:
        assert device_class in (None, "firmware"), key
    assert len(component["unique_id"]) <= 255


ODD = 'a+b/#"}} {% set x %}\n\x07ü'
FULL = DeviceView(
    "d-01",
    "desk",
    "a board",
    "ESP32-S3",
    True,
    FirmwareVersions("microclaw", "0.1.0"),
    (MqttPin("led", 2), MqttPin("lamp", 5, True)),
    (
        MqttProgram("blink", True, "reported"),
        MqttProgram(ODD, False, "accepted"),
        MqttProgram("ü" * 126, True, "accepted"),
    ),
    frozenset({*SENSORS, "something_new"}),
)
PLAIN = DeviceView("d-02", "shelf", "a board", "ESP32-C3", False)


def discovery(*, takes_commands: bool = True) -> Discovery:
    return Discovery("homeassistant", Topics("home/microclaw", "h-1"), takes_commands)


@pytest.mark.parametrize("takes_commands", [True, False])
@pytest.mark.parametrize("view", [FULL, PLAIN])
def test_home_assistant_takes_every_message(view: DeviceView, takes_commands: bool) -> None:
    made = discovery(takes_commands=takes_commands)
    message = made.message(view, made.components(view), {"switch_gone": "switch", "sensor_gone": "sensor"})
    found = check_discovery(made.topic(view.device_id), message)
    platforms = {component["platform"] for key, component in found.items() if not key.endswith("_gone")}
    if view is FULL:
        if takes_commands:
            wanted = {"switch", "button"}
        else:
            wanted = {"binary_sensor"}
        assert platforms == wanted | {"sensor", "update"}
        assert len(found) == 2 + 3 + len(SENSORS) + 1 + takes_commands + 2
    else:
        assert platforms == set()


def test_names_from_outside_stay_one_part_of_a_topic_and_steer_no_template() -> None:
    made = discovery()
    part = "a%2Bb%2F%23%22%7D%7D%20%7B%25%20set%20x%20%25%7D%0A%07%C3%BC"
    component = made.components(FULL)[f"switch_program_{part}"]
    assert component["command_topic"] == f"home/microclaw/h-1/desk/program/{part}/set"
    assert component["value_template"] == "{{ value_json.state }}"
    assert component["name"] == 'Program a+b/#"}} {% set x %} ü'


async def test_entities_follow_what_there_is_and_nothing_is_left_at_the_broker(
    broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    settings = MqttSettings(url=broker.url, topic="house", home_assistant=True, commands=True, discovery_prefix="ha")
    config = "ha/device/microclaw_h-test_d-01/config"
    blink = "switch_program_blink"
    heard = listen(broker.port, "ha/#", "house/#")
    boards = Boards(FULL)

    def entities() -> dict[str, dict[str, Any]]:
        last = heard.last(config)
        if last is not None and last.payload:
            return check_discovery(config, last.payload)
        return {}

    async with publishing(tmp_path, settings, boards) as running:
        await until(lambda: blink in entities(), "not discovered")
        boards.views["d-01"] = structs.replace(FULL, programs=())
        running.publisher.changed()
        await until(lambda: entities()[blink] == {"platform": "switch"}, "the entity of a removed program stays")
        await until(lambda: heard.on("house/h-test/desk/program/blink")[-1].payload == b"", "its topic stays")
        running.publisher.changed()
        await until(lambda: blink not in entities(), "it is told forever")
    heard.heard.clear()
    boards.views["d-01"] = structs.replace(FULL, sensors=frozenset())  # its telemetry takes a while
    async with publishing(tmp_path, settings, boards):
        await until(entities, "not told again after a start")
        assert entities()["sensor_rssi"]["state_topic"] == "house/h-test/desk/telemetry"
    async with publishing(tmp_path, dataclasses.replace(settings, home_assistant=False), boards):
        await until(lambda: heard.on(config)[-1].payload == b"", "the entities stay")
    async with publishing(tmp_path, settings, boards):
        await until(entities, "not discovered again")
    async with publishing(tmp_path, settings, Boards()):  # the device went while the host was off
        await until(lambda: not [topic for topic in heard.held() if "desk" in topic or topic == config], "it stays")
    late = listen(broker.port, "house/#", "ha/#")
    await until(lambda: late.last("house/h-test/status"), "no status")
    assert {one.topic for one in late.heard} == {"house/h-test/status", "house/h-test/info"}


@pytest.mark.parametrize("part", ["bme280", "fish_tank", "air-2", "air_temperature_c"])
def test_the_readings_of_an_absent_device_keep_the_ids_of_its_parts(part: str) -> None:
    view = DeviceView("d-1", "desk", "virtual", "ESP32-S3", is_online=False)
    key = f"reading_{part}_temperature_c"
    former = with_sensors(view, {key: "sensor", "reading_what": "sensor", "switch_pin_2": "switch"})
    assert former.readings == {part: {"temperature_c": None}}
    discovery = Discovery("homeassistant", Topics("microclaw", "home"), takes_commands=False)
    assert set(discovery.components(former)) == {key}
