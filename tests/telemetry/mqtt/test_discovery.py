"""Every discovery message against Home Assistant's own rules (home_assistant.py), and what becomes of entities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.telemetry.mqtt.conftest import Boards, Broker, Listener, publishing, until
from tests.telemetry.mqtt.home_assistant import check_discovery

from microclaw.config.settings import MqttSettings
from microclaw.telemetry.mqtt_device import DeviceView, FirmwareVersions, NamedPin, ProgramState
from microclaw.telemetry.mqtt_discovery import SENSORS, Discovery
from microclaw.telemetry.mqtt_topics import Topics

ODD = 'a+b/#"}} {% set x %}\n\x07ü'
FULL = DeviceView(
    "d-01",
    "desk",
    "a board",
    "ESP32-S3",
    True,
    FirmwareVersions("microclaw", "0.1.0"),
    (NamedPin("led", 2), NamedPin("lamp", 5, True)),
    (
        ProgramState("blink", True, "reported"),
        ProgramState(ODD, False, "accepted"),
        ProgramState("ü" * 126, True, "accepted"),
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
        wanted = {"switch", "button"} if takes_commands else {"binary_sensor"}
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
    config, blink = "ha/device/microclaw_h-test_d-01/config", "switch_program_blink"
    heard, boards = listen(broker.port, "ha/#", "house/#"), Boards(FULL)

    def entities() -> dict[str, dict[str, Any]]:
        last = heard.last(config)
        return check_discovery(config, last.payload) if last is not None and last.payload else {}

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
