"""A device as Home Assistant finds it: one message with all of its entities (device-based MQTT discovery).

The format is Home Assistant's: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. An entity
goes when the next message names its platform alone; a device goes with an empty message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw import __version__
from microclaw.telemetry.mqtt_device import DeviceView, NamedPin, ProgramState, json_bytes, shown
from microclaw.telemetry.mqtt_topics import Topics, topic_part


class Sensor(Struct, frozen=True):
    """A number of a device, as Home Assistant's sensor shows it."""

    name: str
    unit: str | None = None
    device_class: str | None = None
    state_class: str = "measurement"
    is_diagnostic: bool = True


SENSORS: Final[Mapping[str, Sensor]] = {
    "free_heap": Sensor("Free memory", "B", "data_size"),
    "uptime_s": Sensor("Uptime", "s", "duration", "total_increasing"),
    "rssi": Sensor("Wi-Fi signal", "dBm", "signal_strength"),
    "temperature": Sensor("Temperature", "°C", "temperature", is_diagnostic=False),
    "battery": Sensor("Battery"),  # the link does not say in what
    "dropped": Sensor("Telemetry dropped", state_class="total_increasing"),
    "glitches": Sensor("Audio glitches", state_class="total_increasing"),
    "refused_events": Sensor("Events refused", state_class="total_increasing"),
}
READINGS: Final[Mapping[str, Sensor]] = {
    "temperature_c": Sensor("temperature", "°C", "temperature", is_diagnostic=False),
    "humidity_pct": Sensor("humidity", "%", "humidity", is_diagnostic=False),
    "pressure_hpa": Sensor("pressure", "hPa", "atmospheric_pressure", is_diagnostic=False),
    "voltage_v": Sensor("voltage", "V", "voltage", is_diagnostic=False),
    "current_ma": Sensor("current", "mA", "current", is_diagnostic=False),
    "power_mw": Sensor("power", "mW", "power", is_diagnostic=False),
}
MAX_ID_CHARS: Final = 200
_SENSOR: Final = "sensor_"
_READING: Final = "reading_"


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
        """Every entity of the device by its key, which is unique within the device."""
        found: dict[str, dict[str, Any]] = {}
        for pin in view.pins:
            found |= self._pin(view, pin)
        for program in view.programs:
            found |= self._program(view, program)
        for key in sorted(view.sensors & SENSORS.keys()):
            found[f"{_SENSOR}{key}"] = self._sensor(self.topics.of_device(view.name, "telemetry"), key, SENSORS[key])
        for part, values in view.readings.items():
            topic = self.topics.of_device(view.name, "sensor", part)
            for key in sorted(values.keys() & READINGS.keys()):
                sensor = replace(READINGS[key], name=f"{part.upper()} {READINGS[key].name}")
                found[f"{_READING}{part}_{key}"] = self._sensor(topic, key, sensor)
        if view.firmware is not None:
            found["update_firmware"] = {
                "p": "update",
                "name": "Firmware",
                "state_topic": self.topics.of_device(view.name, "firmware"),
                "device_class": "firmware",
                "entity_category": "diagnostic",
            }
        if self.takes_commands and (view.pins or view.programs):
            found["button_undo"] = {
                "p": "button",
                "name": "Undo",
                "command_topic": self.topics.of_device(view.name, "undo"),
                "payload_press": "PRESS",
            }
        for key, component in found.items():
            component["unique_id"] = _bounded(f"{self.node(view.device_id)}_{key}")
        return found

    def message(self, view: DeviceView, components: Mapping[str, Mapping[str, Any]], gone: Mapping[str, str]) -> bytes:
        """The whole message. `gone` are entities that were told before, by key, with their platforms."""
        device = {
            "ids": [self.node(view.device_id)],
            "name": shown(view.name),
            "mf": "microclaw",
            "mdl": shown(view.board),
            "sn": view.device_id,
        }
        if view.firmware is not None:
            device["sw"] = view.firmware.installed
        ended = {key: {"p": platform} for key, platform in gone.items() if key not in components}
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

    def _pin(self, view: DeviceView, pin: NamedPin) -> dict[str, dict[str, Any]]:
        topic = self.topics.of_device(view.name, "pin", pin.name)
        facts = {
            "name": shown(pin.name),
            "state_topic": topic,
            "value_template": _STATE,
            "json_attributes_topic": topic,
        }
        return self._switch(f"pin_{topic_part(pin.name)}", facts, f"{topic}/set")

    def _program(self, view: DeviceView, program: ProgramState) -> dict[str, dict[str, Any]]:
        topic = self.topics.of_device(view.name, "program", program.name)
        facts = {
            "name": f"Program {shown(program.name)}",
            "state_topic": topic,
            "value_template": _STATE,
            "json_attributes_topic": topic,
            "icon": "mdi:application-cog",
        }
        return self._switch(f"program_{topic_part(program.name)}", facts, f"{topic}/set")

    def _switch(self, key: str, facts: dict[str, Any], command_topic: str) -> dict[str, dict[str, Any]]:
        """A switch, or where no commands are taken a sensor with the same state."""
        if self.takes_commands:
            return {f"switch_{key}": {"p": "switch", **facts, "command_topic": command_topic}}
        return {f"binary_sensor_{key}": {"p": "binary_sensor", **facts}}

    def _sensor(self, topic: str, key: str, sensor: Sensor) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "p": "sensor",
            "name": sensor.name,
            "state_topic": topic,
            "value_template": f"{{{{ value_json.{key} | default(none) }}}}",
            "state_class": sensor.state_class,
        }
        if sensor.unit is not None:
            facts["unit_of_measurement"] = sensor.unit
        if sensor.device_class is not None:
            facts["device_class"] = sensor.device_class
        if sensor.is_diagnostic:
            facts["entity_category"] = "diagnostic"
        return facts


_STATE: Final = "{{ value_json.state }}"


def with_sensors(view: DeviceView, components: Mapping[str, str]) -> DeviceView:
    """The device with the sensors that were told of it before: what it sends once, it sends again."""
    told = (key.removeprefix(_SENSOR) for key, platform in components.items() if platform == "sensor")
    readings: dict[str, dict[str, float | None]] = {part: dict(values) for part, values in view.readings.items()}
    if not view.is_online:
        for key in components:
            part, _, quantity = key.removeprefix(_READING).partition("_")
            if key.startswith(_READING) and part not in view.readings:
                readings.setdefault(part, {})[quantity] = None
    return replace(view, sensors=view.sensors | {key for key in told if key in SENSORS}, readings=readings)


def _bounded(unique_id: str) -> str:
    """A name of 126 characters of any script is over a thousand when it is percent-encoded."""
    if len(unique_id) <= MAX_ID_CHARS:
        return unique_id
    return f"{unique_id[: MAX_ID_CHARS - 33]}_{hashlib.sha256(unique_id.encode()).hexdigest()[:32]}"
