"""The calls of a tool on many boards, as a model chooses them: the tool, the boards, and the arguments of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from microclaw.conversion import convert
from microclaw.devices.registry.call_text import call_words
from microclaw.devices.registry.calls import CALLS
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.selection import Selection, names_text, select
from microclaw.errors import ToolRetry
from microclaw.host.operations.tool import Parameters, Tool, read_arguments

MAX_BOARDS: Final = 1000

BoardToolName = Literal[
    "gpio-set", "gpio-get", "pwm-set", "adc-read", "deploy-wasm-app", "uninstall-wasm-app", "switch-program"
]


class BoardTool(Struct, frozen=True):
    """A tool that works on many boards: the method that a board needs, and its words before the boards' names."""

    method: str
    words: Callable[[Any], str] | None = None
    link: str = "on"
    reads: bool = False


BOARD_TOOLS: Final[Mapping[BoardToolName, BoardTool]] = {
    "gpio-set": BoardTool("gpio.set"),
    "gpio-get": BoardTool("gpio.get", link="of", reads=True),
    "pwm-set": BoardTool("pwm.set"),
    "adc-read": BoardTool("adc.read", link="of", reads=True),
    "deploy-wasm-app": BoardTool("apps.install", lambda call: f"put {call.appName}"),
    "uninstall-wasm-app": BoardTool("apps.remove", lambda call: f"remove {call.appName}", link="from"),
    "switch-program": BoardTool("apps.remove", lambda call: f"{call.switch} {call.appName}"),
}


class BoardArguments(Parameters, kw_only=True):
    """Boards that get a call of their own."""

    devices: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_BOARDS)]
    arguments: dict[str, Any]


class ManyParameters(Parameters, kw_only=True):
    tool: BoardToolName
    arguments: Annotated[dict[str, Any], Meta(description="What that tool takes, without device.")] | None = None
    devices: Annotated[tuple[str, ...], Meta(max_length=MAX_BOARDS, description="The boards by name;")] | None = None
    labels: Annotated[tuple[str, ...], Meta(max_length=16, description="or those with all these labels;")] | None = None
    every: Annotated[bool, Meta(description="or all.")] | None = field(name="all", default=None)
    each: (
        Annotated[
            tuple[BoardArguments, ...],
            Meta(max_length=MAX_BOARDS, description="In the place of these: boards with arguments of their own."),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        ways = sum(map(bool, (self.devices, self.labels, self.every, self.each)))
        if ways != 1 or (self.each and self.arguments):
            raise ValueError("give devices, labels, all or each: exactly one of them")


def choose_calls(asked: ManyParameters, tools: Mapping[str, Tool[Any]], devices: Registry) -> dict[Device, list[Any]]:
    """Return the boards with their calls, in this order. Raises ToolRetry, UnknownName, ConfigError."""
    calls: dict[Device, list[Any]] = {}
    groups = [(Selection(group.devices), group.arguments) for group in asked.each or ()]
    if not groups:
        chosen = Selection(asked.devices or (), asked.labels or (), bool(asked.every))
        groups = [(chosen, asked.arguments or {})]
    for selection, arguments in groups:
        for device in select(devices, selection, BOARD_TOOLS[asked.tool].method).devices:
            if device in calls and asked.tool == "deploy-wasm-app":
                raise ToolRetry(f"two programs for {device.name}", next_step="one program a board in one call")
            text = json.dumps({**arguments, "device": device.name})
            calls.setdefault(device, []).append(read_arguments(tools[asked.tool], text))
    return calls


def calls_text(name: BoardToolName, calls_by_device: Mapping[Device, Sequence[Any]]) -> str:
    """Return "set pin 4 high on lamp, fan"; boards with another call have their own words."""
    names_by_act: dict[str, list[str]] = {}
    for device, calls in calls_by_device.items():
        act = " and ".join(dict.fromkeys(_act_words(name, call) for call in calls))
        names_by_act.setdefault(act, []).append(device.name)
    link = BOARD_TOOLS[name].link
    return "; ".join(f"{act} {link} {names_text(names)}" for act, names in names_by_act.items())


def _act_words(name: BoardToolName, call: Any) -> str:
    tool = BOARD_TOOLS[name]
    if tool.words is not None:
        return tool.words(call)
    return call_words(convert(call, CALLS[tool.method], from_attributes=True))
