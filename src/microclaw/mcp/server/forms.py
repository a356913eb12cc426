"""The host's tools as MCP tools: titles, hints, what they take and give, the C API in words. It calls nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mcp_types as types

from microclaw.auth.gate import Effect, Permission
from microclaw.operations.tool import Tool, schema_of

OUTPUT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "success": {"type": "boolean"},
        "evidence": {
            "type": "array",
            "description": "How this is known.",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {
                        "enum": ["counted", "reported", "accepted", "written"],
                        "description": "counted: edges or levels read at the pins; reported: the board's or program's "
                        "own words; accepted: the firmware took it and offers no read-back; written: the host keeps "
                        "it itself.",
                    },
                    "text": {"type": "string"},
                    "edges": {
                        "type": "array",
                        "description": "Level changes as [milliseconds, pin, level].",
                        "items": {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
                    },
                },
                "required": ["kind", "text"],
            },
        },
        "act": {
            "type": "object",
            "description": "What the host did in this call.",
            "properties": {
                "tool": {"type": "string"},
                "args": {"type": "string", "description": "The arguments as JSON text."},
                "effect": {"enum": ["read", "idempotent", "once"]},
                "outcome": {
                    "enum": ["done", "refused", "failed", "unknown", "waiting"],
                    "description": "refused: nothing was done; failed: it was tried; unknown: nobody can tell; "
                    "waiting: for a person's yes.",
                },
                "reason": {"type": "string"},
            },
            "required": ["outcome"],
        },
    },
    "additionalProperties": True,
}
"""What every result has, beside the tool's own fields."""

TOOLS: Final[tuple[str, ...]] = (
    *("list-devices", "device-info", "device-status", "check-device", "free-pins", "catalog", "query-wasm-apps"),
    *("read-edges", "read-logs", "gpio-get", "adc-read", "i2c-scan", "i2c-read", "gpio-set", "pwm-set", "try-program"),
    *("deploy-wasm-app", "switch-program", "set-program-times", "uninstall-wasm-app", "act-on-boards"),
    *("restart-device", "correct", "undo", "schedule-add", "schedule-list", "schedule-remove", "notify"),
)
"""The tools of a developer's assistant, in the order in which they are listed; it has its own web, files and memory."""
DESTRUCTIVE: Final = frozenset(
    {"deploy-wasm-app", "switch-program", "set-program-times", "uninstall-wasm-app", "act-on-boards"}
    | {"restart-device", "correct", "undo", "schedule-remove"}
)
"""Those that replace something or take it away, besides the risky ones."""

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


def offered(tools: Sequence[Tool[Any]], *, every: bool) -> list[Tool[Any]]:
    """Those for MCP's clients, in their order; `every`: those for the host's own agent, too."""
    known = {tool.name: tool for tool in tools}
    names = [name for name in TOOLS if name in known]
    if every:
        names += [name for name, tool in known.items() if name not in TOOLS and tool.skill is None]
    return [known[name] for name in names]


def tool_from(tool: Tool[Any]) -> types.Tool:
    name, reads = tool.name, tool.permission is Permission.READ
    destroys = name in DESTRUCTIVE if name in TOOLS else tool.permission is Permission.RISKY
    title = name.replace("-", " ").replace("_", " ").capitalize()
    return types.Tool(
        name=name,
        title=title,
        description=tool.description + ABOUT.get(name, ""),
        input_schema=dict(schema_of(tool)),
        output_schema=OUTPUT,
        annotations=types.ToolAnnotations(
            title=title,
            read_only_hint=reads,
            destructive_hint=destroys and not reads,
            idempotent_hint=tool.effect is not Effect.ONCE,
            open_world_hint=name not in TOOLS and tool.foreign,
        ),
    )
