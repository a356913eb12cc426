"""The tool that acts on many boards: another tool's call on each of them, after one question. It sets no pin itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, convert, field
from msgspec.structs import replace

from microclaw.devices.registry.call_text import call_words
from microclaw.devices.registry.calls import AdcRead, AppInstall, AppUninstall, Call, GpioGet, GpioSet, PwmSet
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.selection import Selection, names_text, select
from microclaw.devices.registry.target import device_line
from microclaw.errors import (
    AppNotFound,
    BoardsFailed,
    BoardsUnknown,
    DeviceLied,
    DeviceTimeout,
    InstallInterrupted,
    MicroclawError,
    ProtocolError,
    ToolRetry,
)
from microclaw.events import Evidence, EvidenceKind, Step
from microclaw.host.auth.gate import Effect, Permission
from microclaw.host.operations.operation import approve_all
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput, read_arguments
from microclaw.programs.changes.queues import BoardOutcome, SharedStages, on_each
from microclaw.text import count_text

MAX_BOARDS: Final = 1000
BoardTool = Literal[
    "gpio-set", "gpio-get", "pwm-set", "adc-read", "deploy-wasm-app", "uninstall-wasm-app", "switch-program"
]
_CALLS: Final[Mapping[BoardTool, type[Call[Any]]]] = {
    "gpio-set": GpioSet,
    "gpio-get": GpioGet,
    "pwm-set": PwmSet,
    "adc-read": AdcRead,
    "deploy-wasm-app": AppInstall,
    "uninstall-wasm-app": AppUninstall,
    "switch-program": AppUninstall,
}
_READS: Final[frozenset[BoardTool]] = frozenset({"gpio-get", "adc-read"})
_DONE: Final[Mapping[EvidenceKind, str]] = {
    "counted": "done, checked",
    "reported": "done, the board says so",
    "accepted": "accepted, no read-back",
    "written": "done",
}
_WORST_FIRST: Final[tuple[EvidenceKind, ...]] = ("accepted", "written", "reported", "counted")
_MAX_ERROR_CHARS: Final = 200


class BoardArguments(Parameters, kw_only=True):
    """Boards that get a call of their own."""

    devices: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_BOARDS)]
    arguments: dict[str, Any]


class ManyParameters(Parameters, kw_only=True):
    tool: BoardTool
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


def many_tool(tools: Iterable[Tool[Any]], *, devices: Registry) -> Tool[ManyParameters]:
    """act-on-boards, over those of the tools that act on one board."""
    named = {tool.name: tool for tool in tools if tool.name in get_args(BoardTool)}

    def chosen(asked: ManyParameters) -> dict[Device, list[Any]]:
        """Each board with its calls, in this order.

        Raises ToolRetry for arguments that the tool does not take, UnknownName, ConfigError.
        """
        found: dict[Device, list[Any]] = {}
        one = Selection(asked.devices or (), asked.labels or (), bool(asked.every)), asked.arguments or {}
        each = [(Selection(group.devices), group.arguments) for group in asked.each or ()]
        for selection, arguments in each or [one]:
            for device in select(devices, selection, _CALLS[asked.tool].method).devices:
                if device in found and asked.tool == "deploy-wasm-app":
                    raise ToolRetry(f"two programs for {device.name}", next_step="one program a board in one call")
                call = read_arguments(named[asked.tool], json.dumps({**arguments, "device": device.name}))
                found.setdefault(device, []).append(call)
        return found

    async def asks(asked: ManyParameters, _: ToolContext) -> bool:
        return asked.tool not in _READS and len(chosen(asked)) > 1

    async def objections(asked: ManyParameters, context: ToolContext) -> tuple[str, ...]:
        """Of all boards. One that refuses or does not answer tells it when it is acted on; raises where all do."""
        find = named[asked.tool].objections
        boards = chosen(asked)
        if find is None:
            return ()

        async def of_one(device: Device) -> list[str]:
            return [text for call in boards[device] for text in await find(call, context)]

        found = await on_each(list(boards), of_one)
        if all(one.error is not None for one in found) and found[0].error is not None:
            raise found[0].error
        return tuple(text for one in found for text in one.value or ())

    async def permission(asked: ManyParameters, context: ToolContext) -> Permission:
        """The heaviest of all; of a board that cannot say, what is on it is not known."""
        boards = chosen(asked)
        weigh = named[asked.tool].required_permission
        if asked.tool == "deploy-wasm-app" and len(boards) > 1:
            return Permission.RISKY
        if weigh is None:
            return Permission.ACT

        async def of_one(device: Device) -> bool:
            return any([await weigh(call, context) is Permission.RISKY for call in boards[device]])

        found = await on_each(list(boards), of_one)
        return Permission.RISKY if any(one.value or one.error is not None for one in found) else Permission.ACT

    async def describe(asked: ManyParameters, _: ToolContext) -> tuple[str, ...]:
        return tuple(map(device_line, chosen(asked)))

    def words(asked: ManyParameters, _: ToolContext, __: Sequence[str]) -> str:
        """ "set pin 4 high on lamp, fan"; boards that do something else have their own words."""
        said: dict[str, list[str]] = {}
        for device, calls in chosen(asked).items():
            acts = " and ".join(dict.fromkeys(_act_words(asked.tool, call) for call in calls))
            said.setdefault(acts, []).append(device.name)
        if asked.tool == "uninstall-wasm-app":
            link = "from"
        elif asked.tool in _READS:
            link = "of"
        else:
            link = "on"
        return "; ".join(f"{acts} {link} {names_text(names)}" for acts, names in said.items())

    async def run(asked: ManyParameters, context: ToolContext) -> ToolOutput:
        tool = named[asked.tool]
        boards = chosen(asked)
        stages = SharedStages(context.report)

        async def on_one(device: Device) -> list[ToolOutput]:
            own = replace(context, device=device.name, approve=approve_all, report=partial(stages.show, device.name))
            made: list[ToolOutput] = []
            for call in boards[device]:
                try:
                    made.append(await tool.run(call, own))
                except MicroclawError as exc:
                    if made:
                        exc.message = f"{len(made)} of {len(boards[device])} were done, then: {exc.message}"
                    raise
            return made

        def ended(outcome: BoardOutcome[list[ToolOutput]]) -> None:
            text, kind = _told(asked.tool, outcome)
            step = outcome.error.next_step if outcome.error is not None else None
            state: Literal["done", "failed"] = "done" if kind is not None else "failed"
            context.report(Step("tool", f"{outcome.device_name}: {text}", state, next_step=step))

        outcomes = await on_each(list(boards), on_one, ended)
        if not asked.devices and not asked.each:  # of boards that nobody named, those that have the program
            outcomes = [one for one in outcomes if not isinstance(one.error, AppNotFound)] or outcomes
        return _output(asked.tool, outcomes)

    text = (
        "Do the same on several boards at once, with one question: set or read a pin, PWM, deploy, remove, stop or "
        "start a program. It tells what became of each."
    )
    return Tool(
        "act-on-boards",
        text,
        ManyParameters,
        Permission.ACT,
        Effect.ONCE,
        run,
        describe=describe,
        objections=objections,
        words=words,
        asks=asks,
        required_permission=permission,
    )


def _act_words(tool: BoardTool, call: Any) -> str:
    match tool:
        case "deploy-wasm-app":
            return f"put {call.app_name}"
        case "uninstall-wasm-app":
            return f"remove {call.app_name}"
        case "switch-program":
            return f"{call.switch} {call.app_name}"
        case _:
            return call_words(convert(call, _CALLS[tool], from_attributes=True))


def _told(tool: BoardTool, outcome: BoardOutcome[list[ToolOutput]]) -> tuple[str, EvidenceKind | None]:
    """The outcome on a board in words, and how that is known; None where it is not done."""
    if outcome.value is None:
        message = outcome.error.message if outcome.error is not None else "it failed"
        if len(message) <= _MAX_ERROR_CHARS:
            text = message
        else:
            text = f"{message[:_MAX_ERROR_CHARS]}..."
        return text.rstrip("."), None
    proofs = [proof for one in outcome.value for proof in one.evidence]
    proof = "; ".join(one.text for one in proofs)
    if any(one.fields.get("verified") is False for one in outcome.value):
        return f"not verified: {proof}", None
    kind = _worst(proof.kind for proof in proofs)
    warnings = [f"careful: {w}" for one in outcome.value if isinstance(w := one.fields.get("warning"), str)]
    return ", ".join((proof if tool in _READS else _DONE[kind], *warnings)), kind


def _worst(kinds: Iterable[EvidenceKind]) -> EvidenceKind:
    """The weakest evidence of all; nothing proves no more than that it was accepted."""
    return min(kinds, key=_WORST_FIRST.index, default="accepted")


def _output(tool: BoardTool, outcomes: Sequence[BoardOutcome[list[ToolOutput]]]) -> ToolOutput:
    """One result a board. Raises BoardsFailed where one of them failed, BoardsUnknown where nobody knows of one."""
    groups: dict[str, list[str]] = {}
    good: list[EvidenceKind] = []
    for one in outcomes:
        text, kind = _told(tool, one)
        groups.setdefault(text, []).append(one.device_name)
        if kind is not None:
            good += [kind]
    listed = "; ".join(f"{names_text(names)}: {text}" for text, names in groups.items())
    if len(good) < len(outcomes):
        errors = [one.error for one in outcomes if one.error is not None]
        unknown = (DeviceTimeout, DeviceLied, ProtocolError, InstallInterrupted)
        failed = BoardsUnknown if any(isinstance(error, unknown) for error in errors) else BoardsFailed
        steps = list(dict.fromkeys(error.next_step for error in errors if error.next_step))[:2]
        if good and tool not in _READS:
            steps += ["undo reverts what was done"]
        raise failed(
            f"done on {len(good)} of {count_text(len(outcomes), 'board')}; {listed}",
            next_step="; ".join(steps) or "look at the boards: microclaw device list",
            foreign=any(error.foreign for error in errors) or None,
        )
    made = [one.fields.get("change") for outcome in outcomes for one in outcome.value or ()]
    changes = [number for number in made if number is not None]
    fields = {"success": True, "message": listed, "count": len(outcomes), "changes": changes}
    return ToolOutput(fields, (Evidence(_worst(good), listed),))
