"""Sentences of a file and what a board should show after each: read here, never measured here.

A file is tab-separated: `id utterance category slots`, and where its author was explicit `before` (what is so when the
sentence is said) and `evidence` (what to see). Where these two are missing they follow from the slots. Evidence is one
line of `kind subject=value` parts, as in `level 5=1`, several values with `|`; _wants has every kind. `nothing`: the
board must stay as it is; `asks`: and the answer is a question.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microclaw.hardware.boards.profile import BoardProfile

_PINS = ("pin", "input", "pin_off")
_QUANTITY_USES = {"adc_read": "adc", "pwm_write": "pwm", "fade": "pwm"}
_NOT_ON_THIS_BOARD = frozenset({"soil", "distance", "co2", "light"})
_APPS = {"blink": "blink", "fad": "fade", "traf": "traffic_light", "ther": "thermostat"}
_BEFORE_PROGRAM_TOOLS = frozenset({"app_remove", "app_status"})
_DECLINED = frozenset({"unsafe", "dangerous", "out_of_scope", "impossible"})


@dataclass(frozen=True, slots=True)
class Want:
    """One thing to see: its kind, what it is about, and the values that are all right."""

    kind: str
    subject: str = ""
    values: tuple[str, ...] = ()

    @property
    def pins(self) -> tuple[int, ...]:
        return tuple(int(number) for number in re.findall(r"\d+", self.subject))

    def __str__(self) -> str:
        if self.values:
            value = f"={'|'.join(self.values)}"
        else:
            value = ""
        return f"{self.kind} {self.subject}{value}".strip()


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, the category that people gave it, what is so before it and what to see after it."""

    sentence_id: str
    utterance: str
    category: str
    before: str
    wants: tuple[Want, ...]
    slots: Mapping[str, str] = field(default_factory=dict)

    @property
    def declined(self) -> bool:
        return self.wants[0].kind in ("nothing", "asks")


def read_sentences(path: Path, board: BoardProfile) -> list[Sentence]:
    """The sentences of a file, each with its evidence on this board."""
    with path.open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [_sentence(row, board) for row in rows]


def wants_of(text: str) -> tuple[Want, ...]:
    """The parts of an evidence column; ValueError for one that is none."""
    wants = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = re.fullmatch(r"(\w+)(?: ([^=]+))?(?:=(.+))?", part)
        if match is None:
            raise ValueError(f"no evidence: {part!r}; expected KIND SUBJECT=VALUE")
        wants.append(Want(match[1], match[2] or "", tuple(match[3].split("|")) if match[3] else ()))
    return tuple(wants)


def wants_from_slots(category: str, slots: Mapping[str, str], board: BoardProfile) -> tuple[Want, ...]:
    """The meaning of the slots at the pins; a pin that this board cannot use must be left alone."""
    if category in _DECLINED:
        return (Want("nothing"),)
    if category == "ambiguous":
        return (Want("asks"),)
    if category == "schedule":
        return (Want("scheduled"),)
    tool = slots.get("tool", "")
    if "missing" in slots and category != "query":
        return (Want("asks"),)
    if not _possible(tool, slots, board):
        return (Want("nothing"),)
    return _wants(tool, slots, board)


def _sentence(row: Mapping[str, str | None], board: BoardProfile) -> Sentence:
    slots = dict(part.split("=", 1) for part in (row["slots"] or "").split(";") if "=" in part)
    category = row["category"] or ""
    wants = wants_of(row.get("evidence") or "") or wants_from_slots(category, slots, board)
    before = row.get("before")
    if before is None:
        before = _before(slots)
    return Sentence(row["id"] or "", row["utterance"] or "", category, before, wants, slots)


def _before(slots: Mapping[str, str]) -> str:
    """The program that a sentence about programs speaks of."""
    if slots.get("tool") not in _BEFORE_PROGRAM_TOOLS:
        return ""
    app = slots.get("app", "")
    return next((name for start, name in _APPS.items() if app.startswith(start)), "blink")


def _possible(tool: str, slots: Mapping[str, str], board: BoardProfile) -> bool:
    if slots.get("sensor") in _NOT_ON_THIS_BOARD or tool == "sensor_publish":
        return False  # the stock firmware of the virtual board is built without MQTT
    use = _QUANTITY_USES.get(tool, "output")
    numbers = [int(number) for name in _PINS for number in re.findall(r"\d+", slots.get(name, ""))]
    if tool == "app_remove":
        return True
    pins = [board.pins.get(number) for number in numbers]
    return all(pin is not None and use in pin.uses and pin.reserved is None for pin in pins)


def _wants(tool: str, slots: Mapping[str, str], board: BoardProfile) -> tuple[Want, ...]:
    if board.led:
        led = str(board.led.pin)
    else:
        led = ""
    if slots.get("target") == "led":
        pin = led
    else:
        pin = slots.get("pin", "")
    if "period_ms" in slots:
        period = tuple(slots["period_ms"].split("|"))
    else:
        period = ()
    sensor = slots.get("sensor", "temperature")
    match tool:
        case "gpio_write":
            off = tuple(Want("level", p, ("0",)) for p in slots.get("pin_off", "").split(",") if p)
            return (*(Want("level", p, (slots["level"],)) for p in pin.split(",")), *off)
        case "gpio_toggle":
            return (Want("level", pin, (slots.get("level", "1"),)),)
        case "pwm_write":
            return (Want("duty", pin, (slots["percent"],)),)
        case "pulse":
            return (Want("pulse", pin, (slots["duration_ms"],)),)
        case "blink" if "times" in slots:
            return (Want("times", pin, (slots["times"],)),)
        case "blink" if "duration_ms" in slots:
            return (Want("blinks_for", pin, (slots["duration_ms"],)),)
        case "blink":
            return (Want("blink", pin, period),)
        case "fade":
            return (Want("fade", pin),)
        case "button":
            return (Want("button", f"{slots['input']}>{pin}"),)
        case "rule" if slots.get("action") == "pulse":
            return (Want("rule", f"{sensor} {slots['op']} {slots['value']}>{pin}", (f"pulse{slots['duration_ms']}",)),)
        case "rule":
            return (Want("rule", f"{sensor} {slots['op']} {slots['value']}>{pin}", (slots.get("level", "1"),)),)
        case "thermostat":
            return (Want("thermostat", f"{sensor} {slots['setpoint']}>{pin}"),)
        case "sensor_log":
            return (Want("log", sensor, period),)
        case "traffic_light":
            return (Want("lights", pin),)
        case "sensor_read":
            return (Want("reads", sensor),)
        case "gpio_read":
            return (Want("reads", f"level {pin}"),)
        case "adc_read":
            return (Want("reads", f"volts {pin}"),)
        case "app_status":
            return (Want("reads", "app"),)
        case "app_list":
            return (Want("reads", "apps"),)
        case "system_info":
            return (Want("reads", slots.get("field", "")),)
        case "device_list" | "pin_info" | "i2c_scan":
            return (Want("reads", {"device_list": "devices", "pin_info": "pins", "i2c_scan": "i2c"}[tool]),)
        case "app_remove":
            return (Want("removal" if slots.get("confirm") else "removed", "all"),)
        case _:
            raise ValueError(f"no evidence is known for the tool {tool!r}")
