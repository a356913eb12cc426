"""The offline model's reaction to a sentence, as the category and slots of the sentence vectors. It runs no tool:
calls are answered from a small world of one board with four programs."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.offline.conftest import kept

from microclaw.boards.profile import BoardProfile, Pin, PinUse
from microclaw.boards.reader import load_board
from microclaw.language.times import When
from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownDevice,
    Message,
    ModelReply,
    ModelRequest,
    ToolReturn,
    UserText,
)
from microclaw.offline.model import OfflineModel
from microclaw.offline.parse import Parse
from microclaw.offline.pins import pads_to_pins
from microclaw.offline.schedules import parse_schedule
from microclaw.offline.sentences import english

VECTORS = Path(__file__).parents[1] / "vectors"
CHANGING = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "undo", "schedule-add", "schedule-remove"}
    | {"switch-program", "correct", "act-on-boards", "restart-device"}
)
LED_PIN = 2
APPS: Mapping[str, tuple[int, ...]] = {"blink": (4,), "fade": (5,), "traffic-light": (10, 11, 12), "thermostat": (16,)}

_MAX_STEPS = 12
_TOOLS = {  # kind of reading -> tool of the vectors
    "set_pin": "gpio_write", "toggle_pin": "gpio_toggle", "dim_pin": "pwm_write", "pulse": "pulse", "blink": "blink",
    "blink_times": "blink", "fade": "fade", "tone": "tone", "button": "button", "threshold": "rule",
    "threshold_pulse": "rule", "thermostat": "thermostat", "traffic_light": "traffic_light",
    "read_sensor_every": "sensor_log", "publish": "sensor_publish", "read_pin": "gpio_read",
    "read_adc": "adc_read", "read_sensor": "sensor_read",
    "scan_i2c": "i2c_scan", "list_devices": "device_list", "list_apps": "app_list", "app_status": "app_status",
    "device_info": "system_info", "device_status": "system_info", "pin_facts": "pin_info", "remove_app": "app_remove",
    "remove_all": "app_remove", "remove_on_pin": "app_remove",
}  # fmt: skip
_AT_ONCE = frozenset({"set_pin", "toggle_pin", "dim_pin", "pulse", "blink_times", "scan_i2c"})
_REMOVALS = frozenset({"remove_app", "remove_all", "remove_on_pin"})
_REASONS = {
    "destroys": "destroys the device",
    "damages": "may damage the device",
    "people": "dangerous to people",
    "protection": "disables a protection",
}
_FIELDS = {"firmware": "version"}


class Verdict(Enum):
    RIGHT = "right"
    HARMLESS = "wrong but harmless"
    ACTED_WRONGLY = "acted wrongly"


@dataclass(frozen=True, slots=True)
class Row:
    """A vector: a sentence with the category and slots that it has for people."""

    utterance: str
    category: str
    slots: Mapping[str, str]
    held_out: bool = False


@dataclass(slots=True)
class Observed:
    """The model's acts: every call in order, its last words, and what both amount to. `acted`: without a yes."""

    category: str = "out_of_scope"
    slots: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    last: ModelReply = field(default_factory=lambda: ModelReply(""))
    confirmed: bool = False
    acted: bool = False

    @property
    def changes(self) -> bool:
        return any(tool in CHANGING for tool, _ in self.calls)


def rows(name: str) -> list[Row]:
    """The sentences of a file of tests/vectors."""
    with (VECTORS / name).open(encoding="utf-8") as file:
        read = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Row(r["utterance"], r["category"], _slots(r["slots"]), r.get("set") == "held_out") for r in read]


def board() -> BoardProfile:
    """A board with the pin numbers that the vectors name (the ESP32's), all free, an LED on pin 2 and both sensors."""
    uses: frozenset[PinUse] = frozenset(("input", "output", "pwm", "adc", "i2c"))
    return replace(load_board("virtual"), pins={number: Pin(number, uses) for number in range(40)})


async def observe(sentence: str, *, say_yes: bool = True) -> Observed:
    """The whole turn that this sentence begins, and the one after a yes, where a reading is to be confirmed."""
    device = KnownDevice("bench-1", board())
    device_context, model, seen = DeviceContext((device,), device), OfflineModel(), Observed()
    messages: list[Message] = [UserText(sentence)]
    for _ in range(_MAX_STEPS):
        seen.last = await model.respond(ModelRequest("", tuple(messages), (), device_context=device_context))
        if seen.last.failed_code == "confirm_reading" and say_yes:
            seen.acted, seen.confirmed = seen.changes, True
            messages += [kept(seen.last), UserText("yes")]
            continue
        if not seen.last.calls:
            break
        messages.append(AssistantReply("", seen.last.calls))
        for call in seen.last.calls:
            arguments = json.loads(call.arguments) | (
                {"origin": seen.last.code_origin} if seen.last.code_origin else {}
            )
            seen.calls.append((call.name, arguments))
            messages.append(ToolReturn(call.call_id, call.name, json.dumps(_answer(call.name, arguments))))
    if not seen.confirmed:
        seen.acted = seen.changes
    text = pads_to_pins(sentence, device.board)
    reading = parse_schedule(text, english()) or english().parse(text)
    seen.category = _category(seen, reading)
    seen.slots = await _observed_slots(seen, reading)
    return seen


def judge(row: Row, seen: Observed) -> Verdict:
    """Right only with the category and every slot; wrong with any change made is acting wrongly, even by a detail."""
    asked_back = seen.category == "ambiguous" and "missing" in row.slots
    category = seen.category == row.category or (asked_back and row.category == "keep_doing")
    if category and all(_same(key, value, seen) for key, value in row.slots.items()):
        extra = row.category in ("act", "keep_doing", "remove", "schedule") or not seen.changes
        if extra:
            return Verdict.RIGHT
    return Verdict.ACTED_WRONGLY if seen.acted else Verdict.HARMLESS


def _slots(text: str | None) -> dict[str, str]:
    return dict(part.split("=", 1) for part in (text or "").split(";") if "=" in part)


def _answer(tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's answer in a world where everything works."""
    fields: dict[str, Any] = {"success": True, "device": "bench-1", "pin": arguments.get("pin")}
    match tool:
        case "gpio-get":
            fields["level"] = 0
        case "correct":
            fields["undone"] = [{"message": f"undone: change {number}"} for number in arguments["undo"]]
            pins = arguments.get("pins", ())
            fields["pins"] = [{"device": "bench-1", "change": 100 + n, **one} for n, one in enumerate(pins)]
        case "gpio-set":
            fields["level"] = arguments["level"]
        case "adc-read":
            fields |= {"volts": 1.65, "raw": 2048}
        case "i2c-read":
            names = ("temperature_c", "humidity_pct", "pressure_hpa", "voltage_v", "current_ma", "power_mw")
            fields["values"] = dict.fromkeys(names, 20.0)
        case "query-wasm-apps":
            fields["apps"] = [{"name": name, "state": "running", "pins": pins} for name, pins in APPS.items()]
        case "uninstall-wasm-app" | "deploy-wasm-app" | "switch-program":
            fields |= {"appName": arguments["appName"], "verified": True}
        case "device-info" | "device-status":
            fields["facts"] = {"firmware": "v1", "uptime_s": 5, "free_heap_kb": 200}
        case "time":
            fields |= {"now": "2026-11-23T07:00:00+01:00", "weekday": "Monday", "zone": "Europe/Berlin"}
        case "list-devices":
            fields["devices"] = []
        case "schedule-add":
            fields |= {"schedule": 1, "what": arguments["do"], "next": "Monday, 2026-11-23 07:00 CET"}
    return fields


def _category(seen: Observed, reading: Parse | None) -> str:
    kind = reading.kind if reading else ""
    if any(tool == "schedule-add" for tool, _ in seen.calls):
        return "schedule"
    match seen.last.failed_code:
        case "ambiguous":
            return "ambiguous"
        case "refused":
            return "unsafe"
        case "not_possible" if kind == "schedule":
            return "schedule"
        case "not_possible" if kind == "publish":
            return "keep_doing"
        case "not_understood":
            return "out_of_scope"
    if kind in _REMOVALS:
        return "remove"
    if kind in _AT_ONCE:
        return "act"
    if any(tool == "deploy-wasm-app" for tool, _ in seen.calls):
        return "keep_doing"
    return "query" if kind in _TOOLS else "out_of_scope"


async def _observed_slots(seen: Observed, reading: Parse | None) -> dict[str, str]:
    """Slots from what was called where something was, from the reading where it was asked back or declined."""
    if reading is None:
        return {}
    if reading.kind == "schedule":
        return await _scheduled(reading)
    if reading.kind == "unsafe":
        return {"reason": _REASONS[str(reading.values["reason"])]}
    slots = {"tool": _TOOLS.get(reading.kind, "")}
    slots |= _asked_back(seen.last.text, reading) if not seen.calls else {}
    for tool, arguments in seen.calls:
        slots |= _of_call(tool, arguments, slots)
    slots |= {key: str(reading.values[key]) for key in ("app", "topic", "clock") if key in reading.values}
    if "quantity" in reading.values:
        slots["sensor"] = str(reading.values["quantity"])
    if "field" in reading.values:
        slots["field"] = _FIELDS.get(str(reading.values["field"]), str(reading.values["field"]))
    if reading.kind in ("remove_all", "remove_on_pin"):
        slots |= {"app": "*", "confirm": "yes"} if seen.last.failed_code == "confirm" else {"app": ""}
    if reading.kind == "read_sensor" and "quantity" not in reading.values:
        slots["sensor"] = "temperature"
    if reading.kind == "read_adc" and " V " in seen.last.text:
        slots["unit"] = "volt"
    if reading.kind == "publish":
        slots["period_ms"] = str(reading.values.get("ms", reading.values.get("period_ms", "")))
    return slots


async def _scheduled(reading: Parse) -> dict[str, str]:
    what = str(reading.values["what"])
    slots = {"tool": "remind"} if what.startswith("remind") else (await observe(what)).slots
    when = reading.when or When()
    times = {"time": when.clock, "repeat": when.repeat, "date": when.date, "in_ms": when.delay_ms}
    slots |= {slot: str(time) for slot, time in times.items() if time is not None}
    return slots | ({"action": "notify"} if when.notify else {})


def _asked_back(text: str, reading: Parse) -> dict[str, str]:
    """The understood part of a sentence that lacks something, and what the question is about."""
    slots: dict[str, str] = {}
    said = {name: value for name, value in reading.values.items() if isinstance(value, int)}
    pins = [str(said[name]) for name in ("pin", *(f"pin_{n}" for n in range(2, 9))) if name in said]
    if pins:
        slots["pin"] = ",".join(pins)
    if "level" in said:
        slots["level"] = str(said["level"])
    if "milli" in said:
        slots |= dict.fromkeys(("percent", "setpoint", "value"), f"{said['milli'] / 1000:g}")
    if "ms" in said:
        slots["duration_ms"] = str(said["ms"])
    if reading.kind == "threshold_pulse":
        slots["action"] = "pulse"
    slots["op"] = str(reading.values.get("side", "dry"))
    questions = {"which pin": "pin", "how high a tone": "hz", "how bright": "percent", "be on then": "otherwise"}
    for question, missing in questions.items():
        if question in text.lower():
            slots["missing"] = missing
    if "has no pin" in text:
        slots["problem"] = "no such pin"
    return slots


def _of_call(tool: str, arguments: Mapping[str, Any], so_far: Mapping[str, str]) -> dict[str, str]:
    match tool:
        case "gpio-set":
            pins = [*filter(None, so_far.get("pin", "").split(",")), str(arguments["pin"])]
            return {"pin": ",".join(dict.fromkeys(pins)), "level": str(arguments["level"])}
        case "pwm-set":
            return {"pin": str(arguments["pin"]), "percent": str(round(arguments["duty"] / 2.55))}
        case "gpio-get" | "adc-read":
            return {"pin": str(arguments["pin"])}
        case "switch-program" if arguments["switch"] != "stop":
            return {}
        case "uninstall-wasm-app" | "switch-program":
            return {"removed": ",".join(filter(None, (so_far.get("removed", ""), arguments["appName"])))}
        case "deploy-wasm-app":
            return _of_program(arguments)
        case _:
            return {}


def _of_program(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The slots of a program by the values in its source."""
    values = dict(re.findall(r"^#define (\w+)[ \t]+\"?([\w.-]+)", arguments["sourceCode"], re.MULTILINE))
    names = {"PIN": "pin", "LED_PIN": "pin", "BUTTON_PIN": "input", "FOR_MS": "duration_ms", "TIMES": "times"}
    slots = {slot: values[name] for name, slot in names.items() if name in values}
    if "HALF_PERIOD_MS" in values:
        slots["period_ms"] = str(2 * int(values["HALF_PERIOD_MS"]))
    if "FREQUENCY_HZ" in values:
        slots["hz"] = values["FREQUENCY_HZ"]
    if "TIMES" in values:
        slots["duration_ms"] = str(int(slots["period_ms"]) * int(values["TIMES"]))
    for name in ("PERIOD_MS", "EVERY_MS") if "PIN" not in values or "STEP_MS" in values else ():
        slots |= {"period_ms": values[name]} if name in values else {}
    if "RED_PIN" in values:
        slots["pin"] = ",".join(values[name] for name in ("RED_PIN", "YELLOW_PIN", "GREEN_PIN"))
    if "ABOVE" in values:
        slots |= {"op": "above" if values["ABOVE"] == "1" else "below", "value": _whole(values["LIMIT_MILLI"])}
        slots |= {"action": "pulse"} if "FOR_MS" in values else {}
    if "SETPOINT_MILLI" in values:
        slots |= {"setpoint": _whole(values["SETPOINT_MILLI"]), "hysteresis": _whole(values["HYSTERESIS_MILLI"])}
    slots |= {"sensor": values["QUANTITY"]} if "QUANTITY" in values else {}
    return slots


def _whole(milli: str) -> str:
    return f"{int(milli) / 1000:g}"


def _same(key: str, value: str, seen: Observed) -> bool:
    got = seen.slots.get(key, "")
    match key:
        case "target":
            return seen.slots.get("pin") == str(LED_PIN) or (seen.category == "ambiguous" and "pin" not in seen.slots)
        case "app" if value == "*":
            return got == "*"
        case "app" if seen.category == "remove":
            return _stem(seen.slots.get("removed", got)) == _stem(value)
        case "pin" if seen.category == "remove":
            on_pin = {name for name, pins in APPS.items() if int(value) in pins}
            return set(seen.slots.get("removed", "").split(",")) == on_pin
        case "sensor":
            return got.split(" ")[0] == value
        case _:
            return got == value


def _stem(name: str) -> str:
    return re.sub(r"(?:ing|er|e|r)$", "", re.sub(r"[\s_-]+", "", name.lower()))
