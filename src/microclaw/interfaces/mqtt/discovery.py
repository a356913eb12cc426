"""A device as Home Assistant finds it: one message with all of its entities (device-based MQTT discovery).

The format is Home Assistant's: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. An entity
is removed if the next message names only its platform; a device is removed with an empty message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw import __version__
from microclaw.hardware.parts.reader import quantities
from microclaw.interfaces.mqtt.device_view import DeviceView, json_bytes, shown
from microclaw.interfaces.mqtt.topics import Topics, topic_part


def _sensor(
    name: str, unit: str = "", device_class: str = "", state_class: str = "measurement", category: str = "diagnostic"
) -> dict[str, str]:
    """Return the facts of Home Assistant's sensor for a number of a device."""
    facts = {
        "name": name,
        "unit_of_measurement": unit,
        "device_class": device_class,
        "state_class": state_class,
        "entity_category": category,
    }
    return {key: value for key, value in facts.items() if value}


SENSORS: Final[Mapping[str, Mapping[str, str]]] = {
    "free_heap": _sensor("Free memory", "B", "data_size"),
    "uptime_s": _sensor("Uptime", "s", "duration", "total_increasing"),
    "rssi": _sensor("Wi-Fi signal", "dBm", "signal_strength"),
    "temperature": _sensor("Temperature", "°C", "temperature", category=""),
    "battery": _sensor("Battery", "V", "voltage"),
    "dropped": _sensor("Telemetry dropped", state_class="total_increasing"),
    "glitches": _sensor("Audio glitches", state_class="total_increasing"),
    "refused_events": _sensor("Events refused", state_class="total_increasing"),
}
MAX_ID_CHARS: Final = 200
_SENSOR: Final = "sensor_"
_READING: Final = "reading_"


@cache
def reading_sensors() -> Mapping[str, Mapping[str, str]]:
    """Return the facts of Home Assistant's sensors for the readings of parts, by the field of a reading."""
    sensors = {}
    for name, quantity in quantities().items():
        title = name.replace("_", " ")
        sensors[quantity.reading] = _sensor(title, quantity.unit, quantity.home_assistant, category="")
    return sensors


class Discovery(Struct, frozen=True):
    """The announcement of the entities. `takes_commands`: pins and programs are switches, and there is an undo."""

    prefix: str
    topics: Topics
    takes_commands: bool

    def topic(self, device_id: str) -> str:
        return f"{self.prefix}/device/{self.node(device_id)}/config"

    def node(self, device_id: str) -> str:
        return f"microclaw_{self.topics.host}_{device_id}"

    def components(self, view: DeviceView) -> dict[str, dict[str, Any]]:
        """Return every entity of the device by its key, which is unique within the device."""
        components: dict[str, dict[str, Any]] = {}
        for pin in view.pins:
            components |= self._switch(view, "pin", pin.name, pin.label or pin.name)
        for program in view.programs:
            components |= self._switch(view, "program", program.name, program.name)
        topic = self.topics.of_device(view.name, "telemetry")
        for key in sorted(view.sensors & SENSORS.keys()):
            components[f"{_SENSOR}{key}"] = {**_read_from(topic, key), **SENSORS[key]}
        for part, values in view.readings.items():
            topic = self.topics.of_device(view.name, "sensor", part)
            for key in sorted(values.keys() & reading_sensors().keys()):
                facts = reading_sensors()[key]
                name = f"{part.upper()} {facts['name']}"
                components[f"{_READING}{part}_{key}"] = {**_read_from(topic, key), **facts, "name": name}
        if view.firmware is not None:
            components["update_firmware"] = {
                "p": "update",
                "name": "Firmware",
                "state_topic": self.topics.of_device(view.name, "firmware"),
                "device_class": "firmware",
                "entity_category": "diagnostic",
            }
        if self.takes_commands and (view.pins or view.programs):
            components["button_undo"] = {
                "p": "button",
                "name": "Undo",
                "command_topic": self.topics.of_device(view.name, "undo"),
                "payload_press": "PRESS",
            }
        for key, component in components.items():
            component["unique_id"] = _bounded(f"{self.node(view.device_id)}_{key}")
        return components

    def message(
        self, view: DeviceView, components: Mapping[str, Mapping[str, Any]], former: Mapping[str, str]
    ) -> bytes:
        """Return the whole message. `former`: entities that no longer exist, from key to platform."""
        device = {
            "ids": [self.node(view.device_id)],
            "name": shown(view.name),
            "mf": "microclaw",
            "mdl": shown(view.board),
            "sn": view.device_id,
        }
        if view.firmware is not None:
            device["sw"] = view.firmware.installed
        ended = {key: {"p": platform} for key, platform in former.items() if key not in components}
        return json_bytes(
            {
                "dev": device,
                "o": {"name": "microclaw", "sw": __version__},
                "availability": [
                    {"topic": self.topics.of_host("status")},
                    {"topic": self.topics.of_device(view.name, "availability")},
                ],
                "availability_mode": "all",
                "qos": 1,
                "cmps": {**components, **ended},
            }
        )

    def _switch(self, view: DeviceView, kind: str, name: str, label: str) -> dict[str, dict[str, Any]]:
        """Return a switch, or a sensor with the same state if commands are off."""
        topic = self.topics.of_device(view.name, kind, name)
        facts = {
            "p": "switch" if self.takes_commands else "binary_sensor",
            "name": shown(label),
            "state_topic": topic,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": topic,
        }
        if kind == "program":
            facts |= {"name": f"Program {shown(name)}", "icon": "mdi:application-cog"}
        if self.takes_commands:
            facts["command_topic"] = f"{topic}/set"
        return {f"{facts['p']}_{kind}_{topic_part(name)}": facts}


def _read_from(topic: str, key: str) -> dict[str, str]:
    return {"p": "sensor", "state_topic": topic, "value_template": f"{{{{ value_json.{key} | default(none) }}}}"}


def with_sensors(view: DeviceView, components: Mapping[str, str]) -> DeviceView:
    """Return the device with its formerly announced sensors too: a value that came once will come again."""
    sensors = set(view.sensors)
    for key, platform in components.items():
        name = key.removeprefix(_SENSOR)
        if platform == "sensor" and name in SENSORS:
            sensors.add(name)
    readings: dict[str, dict[str, float | None]] = {}
    for part, values in view.readings.items():
        readings[part] = dict(values)
    if not view.is_online:
        for key in components:
            part, field = _part_and_field(key)
            if part and part not in view.readings:
                readings.setdefault(part, {})[field] = None
    return replace(view, sensors=frozenset(sensors), readings=readings)


def _part_and_field(key: str) -> tuple[str, str]:
    """Return the part and the field of a reading's key, or empty texts. A part's id may have _ as a field has."""
    if not key.startswith(_READING):
        return "", ""
    matching = [field for field in reading_sensors() if key.endswith(f"_{field}")]
    if not matching:
        return "", ""
    # Of two fields that end alike, the longer one.
    field = max(matching, key=len)
    return key.removeprefix(_READING).removesuffix(f"_{field}"), field


def _bounded(unique_id: str) -> str:
    """Shorten a name: 126 characters of any script can be over a thousand when percent-encoded."""
    if len(unique_id) <= MAX_ID_CHARS:
        return unique_id
    return f"{unique_id[: MAX_ID_CHARS - 33]}_{hashlib.sha256(unique_id.encode()).hexdigest()[:32]}"
