"""The host's tools as MCP tools: titles, hints, what they take and give, the C API in words. It calls nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types as types
import msgspec

from microclaw.operations.operation import OPERATIONS, load

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_WHOLE: Final = {"type": "integer"}
_TRUTH: Final = {"type": "boolean"}
_LIST: Final = {"type": "array"}  # a list that was cut to fit ends with a text that says so
_MAYBE_TEXT: Final = {"type": ["string", "null"]}

EVIDENCE: Final[dict[str, Any]] = {
    "type": "array",
    "description": "How this is known.",
    "items": {
        "type": "object",
        "properties": {
            "kind": {
                "enum": ["counted", "reported", "accepted", "written"],
                "description": "counted: edges or levels read at the pins; reported: the board's or program's own "
                "words; accepted: the firmware took it and offers no read-back; written: the host keeps it itself.",
            },
            "text": _TEXT,
            "edges": {
                "type": "array",
                "description": "Level changes as [milliseconds, pin, level].",
                "items": {"type": "array", "items": _NUMBER, "minItems": 3, "maxItems": 3},
            },
        },
        "required": ["kind", "text"],
    },
}


ACT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What the host did in this call.",
    "properties": {
        "tool": _TEXT,
        "args": {"type": "string", "description": "The arguments as JSON text."},
        "effect": {"enum": ["read", "idempotent", "once"]},
        "outcome": {
            "enum": ["done", "refused", "failed", "unknown", "waiting"],
            "description": "refused: nothing was done; failed: it was tried; unknown: nobody can tell; waiting: for "
            "a person's yes.",
        },
        "reason": _TEXT,
    },
    "required": ["outcome"],
}


@dataclass(frozen=True, slots=True)
class Form:
    """`output`: fields of the result beside `success`, `evidence`; `destroys`: takes something away or replaces it."""

    title: str
    output: Mapping[str, Any] = field(default_factory=dict)
    destroys: bool = False
    open_world: bool = False


def _declared(name: str) -> Form:
    """The form of a declared act."""
    load()
    act = OPERATIONS[name]
    fields = msgspec.json.schema(act.result)["$defs"][act.result.__name__]["properties"]
    output = {name: _LIST if field.get("type") == "array" else field for name, field in fields.items()}
    return Form(f"{act.noun}: {act.verb}".capitalize(), output, destroys=act.destroys)


_DEVICE: Final = {"device": _TEXT}
_PROGRAM: Final = {**_DEVICE, "deviceIp": _TEXT, "appName": _TEXT, "change": _WHOLE, "message": _TEXT}
_FACTS: Final = {**_DEVICE, "board": _TEXT, "chip": _TEXT, "facts": {"type": "object"}, "message": _TEXT}
_TRIED: Final = {
    "summary": _TEXT,
    "ended": _TEXT,
    "pins": _LIST,
    "edges": {**_LIST, "description": "Level changes as [milliseconds, pin, level]."},
    "edge_count": _WHOLE,
    "log": _LIST,
    "binarySize": _WHOLE,
    "peak_heap_bytes": {"type": ["integer", "null"]},
    "warnings": _LIST,
    "error": _MAYBE_TEXT,
    "next": _MAYBE_TEXT,
}

# The tools of a developer's assistant, in the order in which they are listed; it has its own web, files and memory.
FORMS: Final[dict[str, Form]] = {
    "list-devices": Form("List devices", {"devices": _LIST, "count": _WHOLE}),
    "device-info": Form("Device facts", _FACTS),
    "device-status": Form("Device status", _FACTS),
    "check-device": Form("Check a device", {**_DEVICE, "reached": _TRUTH, "ok": _TRUTH, "lines": _LIST}),
    "free-pins": Form(
        "Free pins and board facts",
        {
            **_DEVICE,
            "board": _TEXT,
            "chip": _TEXT,
            "free": {"type": "object", "description": "Free pins by use."},
            "taken": {"type": "object", "description": "The program that has a pin, by pin."},
            "caution": {"type": "object", "description": "Pins by the reason to think twice."},
            "reserved": {"type": "object", "description": "Pins by the reason why nobody may use them."},
            "maxApps": _WHOLE,
        },
    ),
    "catalog": _declared("catalog.look"),
    "query-wasm-apps": Form(
        "List programs", {**_DEVICE, "apps": _LIST, "count": _WHOLE, "missing": _LIST, "stopped": _LIST}
    ),
    "read-edges": Form(
        "Read pin timeline",
        {**_DEVICE, "edges": _LIST, "count": _WHOLE, "dropped": _WHOLE, "cursor": _WHOLE, "now_ms": _NUMBER},
    ),
    "read-logs": Form("Read logs", {**_DEVICE, "count": _WHOLE, "lines": _TEXT}),
    "gpio-get": Form("Read a pin", {**_DEVICE, "pin": _WHOLE, "level": _WHOLE}),
    "adc-read": Form("Measure a voltage", {**_DEVICE, "pin": _WHOLE, "volts": _NUMBER, "raw": _WHOLE}),
    "i2c-scan": Form("Scan the I2C bus", {**_DEVICE, "addresses": _LIST}),
    "i2c-read": Form("Read a sensor", {**_DEVICE, "sensor": _TEXT, "values": {"type": "object"}}),
    "gpio-set": Form("Set a pin", {**_DEVICE, "pin": _WHOLE, "level": _WHOLE, "change": {"type": ["integer", "null"]}}),
    "pwm-set": Form(
        "Drive a pin with PWM",
        {
            **_DEVICE,
            "pin": _WHOLE,
            "duty": _WHOLE,
            "frequency_hz": _WHOLE,
            "change": {"type": ["integer", "null"]},
        },
    ),
    "try-program": Form("Try a program on a virtual board", _TRIED),
    "deploy-wasm-app": Form(
        "Deploy a program",
        {
            **_PROGRAM,
            "binarySize": _WHOLE,
            "heapSize": _WHOLE,
            "pins": _LIST,
            "replaced": _TRUTH,
            "verified": _TRUTH,
            "trial": _TEXT,
            "log": _LIST,
            "warnings": _LIST,
        },
        destroys=True,  # a program of the same name is replaced
    ),
    "switch-program": Form(
        "Stop, start or restart a program", {**_PROGRAM, "switch": _TEXT, "verified": _TRUTH}, destroys=True
    ),
    "set-program-times": Form(
        "Set when a program runs", {**_PROGRAM, "runs": _TEXT, "verified": _TRUTH}, destroys=True
    ),
    "uninstall-wasm-app": Form("Remove a program", {**_PROGRAM, "undoable": _TRUTH}, destroys=True),
    "act-on-boards": Form(
        "Act on several boards",
        {
            "count": _WHOLE,
            "changes": _LIST,
            "boards": {**_LIST, "description": "What became of each: device, result, proof."},
            "message": _TEXT,
        },
        destroys=True,
    ),
    "restart-device": Form("Restart a device", {**_DEVICE, "message": _TEXT}, destroys=True),
    "correct": Form("Correct an act", {"undone": _LIST, "pins": _LIST, "message": _TEXT}, destroys=True),
    "undo": Form(
        "Undo the newest request",
        {"undone": _TEXT, "change": _WHOLE, "changes": _LIST, "message": _TEXT},
        destroys=True,
    ),
    "schedule-add": _declared("schedule.add"),
    "schedule-list": _declared("schedule.list"),
    "schedule-remove": _declared("schedule.end"),
    "notify": Form("Notify on a device", {**_DEVICE, "state": _TEXT}),
}

# Clients that read no resources write programs from this.
_C_API: Final = (
    ' The program includes "microclaw.h". Pins: int gpio_open(int pin, GPIO_IN|GPIO_OUT|GPIO_PULLUP|GPIO_PULLDOWN), '
    "gpio_set(gpio, level), gpio_get(gpio), gpio_toggle(gpio). Time: every(ms, fn), after(ms, fn), cancel(timer), "
    "millis(). PWM: pwm_open(pin, hz), pwm_set(pwm, duty 0-255). I2C: i2c_open(sda, scl), i2c_read_reg(i2c, address, "
    "reg, data, size), i2c_write_reg(...), bme280_read(i2c, address, &out), ina219_read(i2c, address, &out). Output: "
    "printf, log. BOARD_LED_PIN, BOARD_LED_ON. Define void on_init(void): open pins, start timers, return; or int "
    "main(void), which may loop and waits with delay(ms)."
)


ABOUT: Final = {
    "deploy-wasm-app": _C_API,
    "try-program": " The program is one as for deploy-wasm-app, which says what it may call.",
    "schedule-add": " What it tells when it was done is for the host's own chat, not for you: look with schedule-list.",
}
"""What a client must know beyond the tool's own description, which the host's agent has from its prompt."""


def tools_from(listed: list[dict[str, Any]], *, every: bool) -> list[types.Tool]:
    """The host's GET /v1/tools as MCP tools; `every`: those for the host's own agent, too."""
    known = {str(tool["name"]): tool for tool in listed}
    names = [name for name in FORMS if name in known]
    if every:
        names += [name for name, tool in known.items() if name not in FORMS and tool.get("skill") is None]
    return [_tool(known[name], FORMS.get(name) or _form_of(known[name])) for name in names]


def offered(name: str, *, every: bool) -> bool:
    return every or name in FORMS


def _form_of(tool: Mapping[str, Any]) -> Form:
    """The form of an unknown tool: it counts as harmful unless it is known to be harmless."""
    title = str(tool["name"]).replace("-", " ").replace("_", " ").capitalize()
    return Form(title, destroys=tool["permission"] == "risky", open_world=bool(tool.get("foreign")))


def _tool(tool: Mapping[str, Any], form: Form) -> types.Tool:
    reads = tool["permission"] == "read"
    return types.Tool(
        name=tool["name"],
        title=form.title,
        description=tool["description"] + ABOUT.get(tool["name"], ""),
        input_schema=tool["schema"],
        output_schema={
            "type": "object",
            "properties": {"success": _TRUTH, **form.output, "evidence": EVIDENCE, "act": ACT},
            "additionalProperties": True,
        },
        annotations=types.ToolAnnotations(
            title=form.title,
            read_only_hint=reads,
            destructive_hint=form.destroys and not reads,
            idempotent_hint=tool["effect"] in ("read", "idempotent"),
            open_world_hint=form.open_world,
        ),
    )
