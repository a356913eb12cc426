"""Home Assistant's form of a device's discovery message, and a check of a message against it.

From the schemas of homeassistant/components/mqtt (schemas.py, entity.py, and each platform's own file), with the keys
that are used here. Home Assistant drops what it does not know without a word; here that is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final


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
