"""Carries out commands of MQTT with the agent's own tools: the same gate, claims, change log and evidence."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from microclaw.agent.models.protocol import ToolCall
from microclaw.agent.turn.action_record import action_of
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import MicroclawError, UnknownName
from microclaw.hardware.parts.named_parts import SwitchedPin
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import MQTT
from microclaw.host.operations.tool import ToolContext
from microclaw.interfaces.mqtt.commands import Command, CommandOutcome
from microclaw.interfaces.mqtt.host_devices import named_pins
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin

MAX_PIN_DIGITS: Final = 3
_TOOLS: Final = frozenset({"gpio-set", "switch-program", "undo"})


def command_actor(devices: Registry, tools: Toolbox, gate: Gate) -> Callable[[Command], Awaitable[CommandOutcome]]:
    """Return the function that carries out a command, through `gate`."""
    allowed = Toolbox((tool for tool in tools.tools if tool.name in _TOOLS), gate)

    async def act(command: Command) -> CommandOutcome:
        try:
            device = devices.get(command.device)
            name, arguments = _tool_call(device, command)
        except MicroclawError as exc:
            return CommandOutcome("refused", exc.message, exc.next_step)
        context = ToolContext(MQTT.person_id, lambda _step: None, device.name, channel="mqtt", chat_id="mqtt")
        with change_origin(ChangeOrigin(f"mqtt-{secrets.token_hex(8)}", MQTT.person_id)):
            call = ToolCall("", name, json.dumps({"device": device.name, **arguments}))
            result = await allowed.call(name, call.arguments, context)
        action = action_of(call, allowed.effect_of(name), result)
        return CommandOutcome(action.outcome, action.reason, result.next_step, result.evidence)

    return act


def _tool_call(device: Device, command: Command) -> tuple[str, dict[str, Any]]:
    """Return the tool and its arguments. Raises UnknownName for a pin that has no such name."""
    is_on = command.switch == "on"
    match command.target:
        case "pin":
            pin = _pin(device, command.name)
            level = pin.active_level if is_on else 1 - pin.active_level
            return "gpio-set", {"pin": pin.gpio, "level": level}
        case "program":
            return "switch-program", {"appName": command.name, "switch": "start" if is_on else "stop"}
        case "undo":
            return "undo", {}


def _pin(device: Device, name: str) -> SwitchedPin:
    """Return a pin by its name or its GPIO's number; by its number, on is high. Raises UnknownName."""
    named = named_pins(device)
    if name in named:
        return named[name]
    if name.isascii() and name.isdecimal() and len(name) <= MAX_PIN_DIGITS:
        return SwitchedPin(name, int(name), active_level=1)
    raise UnknownName(
        f"{device.name} has no pin named {name[:40]!r}",
        next_step=f"pins with a name: {', '.join(named) or 'none'}; or a GPIO's number",
    )
