"""The state of one device over MQTT, as messages (docs/mqtt.md). It asks no device and sends nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, field

from microclaw.interfaces.mqtt.topics import device_topic, topic_part
from microclaw.text import clean_text

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
MAX_SHOWN: Final = 64
ProgramEvidence: TypeAlias = Literal["reported", "accepted"]


class MqttPin(Struct, frozen=True):
    """A pin with a name. `is_on`: None if unknown; `program` drives the pin now; `label`: what a person calls it."""

    name: str
    gpio: int
    is_on: bool | None = None
    program: str | None = None
    label: str | None = None


class MqttProgram(Struct, frozen=True):
    """A program. `evidence`: the device reports `runs`, or this host wants it. `condition` as in `app list`."""

    name: str
    runs: bool
    evidence: ProgramEvidence
    condition: str | None = None


class FirmwareVersions(Struct, frozen=True):
    """The firmware of a device. `latest` is the highest version that is published for it here, or None."""

    title: str
    installed: str
    latest: str | None = None


class DeviceView(Struct, frozen=True):
    """A device as it is published now. `sensors` are the keys of its telemetry so far.

    `readings` are the values of its I2C sensors by sensor and quantity; None for a sensor that stopped answering.
    """

    device_id: str
    name: str
    board: str
    chip: str
    is_online: bool
    firmware: FirmwareVersions | None = None
    pins: tuple[MqttPin, ...] = ()
    programs: tuple[MqttProgram, ...] = ()
    sensors: frozenset[str] = frozenset()
    readings: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


def device_messages(view: DeviceView) -> Mapping[str, bytes]:
    """Every retained message of the device by its topic below the host's own, except its entities."""
    pins = {topic_part(pin.name): _pin(pin) for pin in view.pins}
    programs = {topic_part(program.name): _program(program) for program in view.programs}
    firmware = view.firmware
    state = {
        "device": view.name,
        "id": view.device_id,
        "board": view.board,
        "chip": view.chip,
        "online": view.is_online,
        "firmware": None if firmware is None else f"{firmware.title} {firmware.installed}",
        "pins": pins,
        "programs": programs,
    }
    documents: dict[str, Mapping[str, Any]] = {"state": state}
    for part, pin in pins.items():
        documents[f"pin/{part}"] = pin
    for part, program in programs.items():
        documents[f"program/{part}"] = program
    for sensor, values in view.readings.items():
        documents[f"sensor/{topic_part(sensor)}"] = values
    if firmware is not None:
        if firmware.latest is None:
            latest = {}
        else:
            latest = {"latest_version": firmware.latest}
        documents["firmware"] = {"title": firmware.title, "installed_version": firmware.installed, **latest}
    root = device_topic(view.name)
    messages = {f"{root}/availability": ONLINE if view.is_online else OFFLINE}
    for topic, document in documents.items():
        messages[f"{root}/{topic}"] = json_bytes(document)
    return messages


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Encode a document: texts without hidden characters, bytes in hex, null for numbers that JSON does not have."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def shown(text: str) -> str:
    """Return a name from any source as one clean line for people."""
    return clean_text(text, one_line=True, limit=MAX_SHOWN)


def _pin(pin: MqttPin) -> dict[str, Any]:
    if pin.is_on is None:
        switch = None
    elif pin.is_on:
        switch = "ON"
    else:
        switch = "OFF"
    return {"state": switch, "gpio": pin.gpio, "program": pin.program}


def _program(program: MqttProgram) -> dict[str, Any]:
    return {
        "state": "ON" if program.runs else "OFF",
        "name": shown(program.name),
        "evidence": program.evidence,
        "condition": program.condition,
    }


def _plain(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case bytes():
            return value.hex()
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {clean_text(str(key)): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value
