"""Home Assistant's form of a device's discovery message, as data, and a check of a message against it.

From the schemas of homeassistant/components/mqtt (schemas.py, entity.py, and each platform's own file): the keys that a
platform needs and those it knows. Home Assistant drops what it does not know without a word; here that is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOPIC: Final = re.compile(r"[^+#\x00-\x1f\x7f]{1,1000}")
DISCOVERY_TOPIC: Final = re.compile(r"(?P<prefix>.+)/device/(?P<object>[a-zA-Z0-9_-]+)/config")
ABBREVIATED: Final = {"dev": "device", "o": "origin", "cmps": "components", "p": "platform", "avty": "availability"}
DEVICE_KEYS: Final = {
    "ids": "identifiers", "cns": "connections", "cu": "configuration_url", "hw": "hw_version", "mf": "manufacturer",
    "mdl": "model", "mdl_id": "model_id", "name": "name", "sw": "sw_version", "sn": "serial_number",
    "sa": "suggested_area", "via_device": "via_device",
}  # fmt: skip
ORIGIN_KEYS: Final = {"name": "name", "sw": "sw_version", "url": "support_url"}
ROOT_REQUIRED: Final = frozenset({"device", "origin", "components"})
ROOT_KEYS: Final = ROOT_REQUIRED | words(
    "availability availability_mode availability_template availability_topic command_topic encoding payload_available "
    "payload_not_available qos state_topic"
)
COMMON: Final = words(
    "platform unique_id name availability availability_mode availability_topic default_entity_id enabled_by_default "
    "encoding entity_category entity_picture icon json_attributes_template json_attributes_topic qos"
)
REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "binary_sensor": words("state_topic"),
    "button": words("command_topic"),
    "sensor": words("state_topic"),
    "switch": words("command_topic"),
    "update": words(""),
}
KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "binary_sensor": words(
        "state_topic value_template device_class expire_after force_update off_delay payload_off payload_on"
    ),
    "button": words("command_topic command_template device_class payload_press retain"),
    "sensor": words(
        "state_topic value_template device_class expire_after force_update last_reset_value_template options "
        "state_class suggested_display_precision unit_of_measurement"
    ),
    "switch": words(
        "command_topic command_template state_topic value_template device_class optimistic payload_off payload_on "
        "retain state_off state_on"
    ),
    "update": words(
        "command_topic device_class display_precision latest_version_template latest_version_topic payload_install "
        "release_summary release_url retain state_topic title value_template"
    ),
}
UNITS: Final[Mapping[str, frozenset[str]]] = {  # of sensor device classes, those that are used here
    "atmospheric_pressure": words("hPa kPa mbar Pa"),
    "current": words("A mA"),
    "data_size": words("bit B kB MB GB KiB MiB"),
    "duration": words("d h min s ms"),
    "humidity": words("%"),
    "power": words("mW W kW"),
    "signal_strength": words("dB dBm"),
    "temperature": words("°C °F K"),
    "voltage": words("V mV"),
}
DEVICE_CLASSES: Final[Mapping[str, frozenset[str]]] = {"sensor": frozenset(UNITS), "update": frozenset({"firmware"})}
STATE_CLASSES: Final = frozenset({"measurement", "total", "total_increasing"})
CATEGORIES: Final = frozenset({"config", "diagnostic"})


def check_discovery(topic: str, payload: bytes) -> dict[str, dict[str, Any]]:
    """The components of a discovery message by their keys; AssertionError names what Home Assistant would not take."""
    assert DISCOVERY_TOPIC.fullmatch(topic), topic
    root = _expand(json.loads(payload), ABBREVIATED)
    assert root.keys() >= ROOT_REQUIRED, root.keys()
    assert root.keys() <= ROOT_KEYS, root.keys() - ROOT_KEYS
    device = _expand(root["device"], DEVICE_KEYS)
    assert device.keys() <= set(DEVICE_KEYS.values())
    assert device["identifiers"]
    assert all(isinstance(value, str) for key, value in device.items() if key != "identifiers")
    origin = _expand(root["origin"], ORIGIN_KEYS)
    assert origin["name"]
    for row in root.get("availability", ()):
        assert row.keys() <= {"topic", "payload_available", "payload_not_available", "value_template"}
        assert TOPIC.fullmatch(row["topic"])
    assert root.get("availability_mode") in (None, "all", "any", "latest")
    found = {key: _expand(component, ABBREVIATED) for key, component in root["components"].items()}
    for key, component in found.items():
        _check_component(key, component)
    ids = [component["unique_id"] for component in found.values() if "unique_id" in component]
    assert len(ids) == len(set(ids)), "two entities have one unique_id"
    return found


def _check_component(key: str, component: Mapping[str, Any]) -> None:
    platform = component["platform"]
    assert platform in REQUIRED, f"{key}: {platform}"
    if component.keys() == {"platform"}:
        return  # how an entity is taken away
    known = COMMON | KNOWN[platform]
    assert component.keys() <= known, f"{key}: {component.keys() - known}"
    needed = REQUIRED[platform] | {"unique_id"}  # a device's entities need one
    assert component.keys() >= needed, f"{key}: {needed - component.keys()}"
    for name, value in component.items():
        assert isinstance(value, str | int | bool), f"{key}.{name}"
        if name.endswith("_topic"):
            assert TOPIC.fullmatch(str(value)), f"{key}.{name}: {value!r}"
        if name.endswith("_template"):
            assert str(value).count("{{") == str(value).count("}}") == 1, f"{key}.{name}: {value!r}"
    assert component.get("entity_category") in (None, *CATEGORIES)
    assert component.get("state_class") in (None, *STATE_CLASSES)
    device_class, unit = component.get("device_class"), component.get("unit_of_measurement")
    if device_class is not None:
        assert device_class in DEVICE_CLASSES[platform], f"{key}: {device_class}"
    if platform == "sensor" and device_class is not None:
        assert unit in UNITS[device_class], f"{key}: {unit}"
    assert len(component["unique_id"]) <= 255


def _expand(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}
