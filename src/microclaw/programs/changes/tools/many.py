"""The tool that acts on many boards: another tool's call on each of them, after one question. It sets no pin itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import device_line
from microclaw.errors import AppNotFound, MicroclawError, PinCaution
from microclaw.events import AskedProgram
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Tool, ToolContext, ToolOutput
from microclaw.programs.changes.board_calls import BOARD_TOOLS, ManyParameters, calls_text, choose_calls
from microclaw.programs.changes.board_outcomes import outcome_step, outcomes_output
from microclaw.programs.changes.many_boards import on_each, run_each, weigh_each

_ABOUT: Final = (
    "Do the same on several boards at once, with one question: set or read a pin, PWM, deploy, remove, stop or start a "
    "program. It tells what became of each."
)


def many_tool(tools: Iterable[Tool[Any]], *, devices: Registry) -> Tool[ManyParameters]:
    """Make act-on-boards, over those of the tools that act on one board."""
    many = _Many({tool.name: tool for tool in tools if tool.name in BOARD_TOOLS}, devices)
    return Tool(
        "act-on-boards",
        _ABOUT,
        ManyParameters,
        Permission.ACT,
        Effect.ONCE,
        many.run,
        describe=many.describe,
        objections=many.objections,
        words=many.words,
        asks=many.asks,
        required_permission=many.weigh,
    )


async def _approve_without_cautions(
    _text: str, _detail: Sequence[str], program: AskedProgram | None = None, _needs: Permission | None = None
) -> None:
    """Approve what was shown in the question about all boards, which names no pins. Raises PinCaution."""
    if program is not None and program.cautions:
        text = "; ".join(program.cautions)
        raise PinCaution(f"{text}, and nobody was asked about that", next_step="deploy it to this board alone")


class _Many(Struct, frozen=True):
    tools: Mapping[str, Tool[Any]]
    devices: Registry

    def calls(self, asked: ManyParameters) -> dict[Device, list[Any]]:
        return choose_calls(asked, self.tools, self.devices)

    async def asks(self, asked: ManyParameters, context: ToolContext) -> bool:
        if BOARD_TOOLS[asked.tool].reads:
            return False
        return len(self.calls(asked)) > 1 or await self._has_network(asked, context)

    async def describe(self, asked: ManyParameters, context: ToolContext) -> tuple[str, ...]:
        lines = list(map(device_line, self.calls(asked)))
        return (*lines, *await self._network_lines(asked, context))

    async def _network_lines(self, asked: ManyParameters, context: ToolContext) -> tuple[str, ...]:
        """Return what the programs of these calls do on the network, each line once."""
        describe = self.tools[asked.tool].describe
        if asked.tool != "deploy-wasm-app" or describe is None:
            return ()
        lines: dict[str, None] = {}
        for device, calls in self.calls(asked).items():
            for call in calls:
                described = await describe(call, context)
                lines |= dict.fromkeys(line for line in described if line != device_line(device))
        return tuple(lines)

    async def _has_network(self, asked: ManyParameters, context: ToolContext) -> bool:
        return bool(await self._network_lines(asked, context))

    async def objections(self, asked: ManyParameters, context: ToolContext) -> tuple[str, ...]:
        """Return those of all boards. The error of a board is in its outcome; raises it only if all have one."""
        find = self.tools[asked.tool].objections
        calls = self.calls(asked)
        if find is None:
            return ()

        async def of_one(device: Device) -> list[str]:
            texts: list[str] = []
            for call in calls[device]:
                texts += await find(call, context)
            return texts

        outcomes = await on_each(list(calls), of_one)
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors and len(errors) == len(outcomes):
            raise errors[0]
        objections: list[str] = []
        for outcome in outcomes:
            objections += outcome.value or ()
        return tuple(objections)

    async def weigh(self, asked: ManyParameters, context: ToolContext) -> Permission:
        """Return the highest permission that a board needs."""
        calls = self.calls(asked)
        weigh = self.tools[asked.tool].required_permission
        if asked.tool == "deploy-wasm-app" and (len(calls) > 1 or await self._has_network(asked, context)):
            return Permission.RISKY
        if weigh is None:
            return Permission.ACT

        async def of_one(device: Device) -> Permission:
            needs = [await weigh(call, context) for call in calls[device]]
            return max(needs, key=list(Permission).index)

        return await weigh_each(list(calls), of_one, Permission.ACT)

    def words(self, asked: ManyParameters, _: ToolContext, __: Sequence[str]) -> str:
        return calls_text(asked.tool, self.calls(asked))

    async def run(self, asked: ManyParameters, context: ToolContext) -> ToolOutput:
        calls = self.calls(asked)
        tool = self.tools[asked.tool]
        reads = BOARD_TOOLS[asked.tool].reads

        async def on_one(device: Device, own_context: ToolContext) -> list[ToolOutput]:
            outputs: list[ToolOutput] = []
            for call in calls[device]:
                try:
                    outputs.append(await tool.run(call, own_context))
                except MicroclawError as exc:
                    if outputs:
                        exc.message = f"{len(outputs)} of {len(calls[device])} were done, then: {exc.message}"
                    raise
            return outputs

        approved = replace(context, approve=_approve_without_cautions)
        outcomes = await run_each(list(calls), on_one, approved, lambda outcome: outcome_step(outcome, reads=reads))
        # Of boards that nobody named, those that have the program count.
        if not asked.devices and not asked.each:
            outcomes = [one for one in outcomes if not isinstance(one.error, AppNotFound)] or outcomes
        return outcomes_output(outcomes, reads=reads)
