"""The tool that corrects: it takes changes back and sets pins instead, as one act with one question."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from msgspec import Meta

from microclaw.apps.change_log import Change, SetLevel, SetPwm
from microclaw.apps.direct_io import PinChange
from microclaw.apps.parts import Apps
from microclaw.apps.tools.devices import pin_fields, set_now, undo_lines
from microclaw.apps.undo import UndoChoice, UndoReport
from microclaw.auth.gate import Effect, Permission
from microclaw.devices.call_text import call_words
from microclaw.devices.calls import GpioSet, PwmSet
from microclaw.devices.device import Device
from microclaw.devices.target import OnDevice, device_line, find_device
from microclaw.errors import MicroclawError
from microclaw.events import Evidence
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput

MAX_CHANGES = 16
MAX_PINS = 8


class PinInstead(Parameters, kw_only=True):
    """A pin and what it gets: a level, or a duty."""

    pin: Annotated[int, Meta(ge=0, le=255)]
    level: Literal[0, 1] | None = None
    duty: Annotated[int, Meta(ge=0, le=255)] | None = None

    def __post_init__(self) -> None:
        if (self.level is None) == (self.duty is None):
            raise ValueError("give level or duty, one of them")

    @property
    def call(self) -> GpioSet | PwmSet:
        return PwmSet(self.pin, self.duty) if self.duty is not None else GpioSet(self.pin, self.level or 0)


class CorrectParameters(OnDevice, kw_only=True):
    undo: Annotated[
        tuple[int, ...], Meta(min_length=1, max_length=MAX_CHANGES, description="Numbers of changes to revert.")
    ]
    pins: Annotated[
        tuple[PinInstead, ...], Meta(max_length=MAX_PINS, description="Set then; level or duty (0-255).")
    ] = ()


def correct_tool(apps: Apps) -> Tool[CorrectParameters]:
    """correct."""
    devices, direct_io, undo = apps.registry, apps.direct_io, apps.undo

    async def chosen(asked: CorrectParameters, context: ToolContext) -> list[Change]:
        """Raises what keeps one of them from being reverted."""
        choices = [UndoChoice(context.person_id, number) for number in asked.undo]
        return [change for choice in choices for change in await undo.chosen(choice)]

    async def objections(asked: CorrectParameters, context: ToolContext) -> tuple[str, ...]:
        if not asked.pins:
            return ()
        device = find_device(devices, context, asked.device)
        found = [await direct_io.conflict(device.name, one.call) for one in asked.pins]
        return tuple(conflict.offer() for conflict in found if conflict is not None)

    async def describe(asked: CorrectParameters, context: ToolContext) -> tuple[str, ...]:
        changes = await chosen(asked, context)
        device = [find_device(devices, context, asked.device)] if asked.pins else []
        return (wanted(asked, changes, *device), *undo_lines(devices, changes), *map(device_line, device))

    def words(asked: CorrectParameters, _context: ToolContext, described: Sequence[str]) -> str:
        """The first line of `describe`; of one that is planned for later, numbers and pins."""
        pins = " and ".join(call_words(one.call).removeprefix("set ") for one in asked.pins)
        changes = f"revert {'change' if len(asked.undo) == 1 else 'changes'} {', '.join(map(str, asked.undo))}"
        return described[0] if described else f"{changes}{f' and set {pins}' if pins else ''}"

    def wanted(asked: CorrectParameters, changes: Sequence[Change], device: Device | None = None) -> str:
        """ "set pin 40 low again and pin 10 high"; with the boards' names where there are several."""
        names = {device.device_id: device.name for device in devices.list() if device.board.pins}
        several = len(names) > 1
        parts = [_back_text(one, names.get(one.device_id, "") if several else "") for one in changes]
        parts += [call_words(one.call, device.name if several and device else "") for one in asked.pins]
        return " and ".join(
            one.removeprefix("set ") if before.startswith("set ") else one for before, one in pairwise(("", *parts))
        )

    async def run(asked: CorrectParameters, context: ToolContext) -> ToolOutput:
        await chosen(asked, context)  # nothing is reverted where something else would then fail
        device = find_device(devices, context, asked.device).name if asked.pins else ""
        for one in asked.pins:
            conflict = await direct_io.conflict(device, one.call)
            if conflict is not None and conflict.offer() not in context.insisted:
                conflict.raise_refused()
        undone: list[UndoReport] = []
        made: list[PinChange] = []
        try:
            for number in asked.undo:
                undone += [await undo.undo(UndoChoice(context.person_id, number), context.report)]
            for one in asked.pins:
                change, _ = await set_now(apps, device, one.call, context)
                made.append(change)
        except MicroclawError as exc:
            if told := _done_text(undone, made):
                exc.message = f"{told}; then it failed: {exc.message}"
            raise
        fields: dict[str, Any] = {
            "success": True,
            "undone": [_undone_fields(one) for one in undone],
            "pins": [{**pin_fields(one), "evidence": _evidence_fields(one.evidence)} for one in made],
            "message": _done_text(undone, made),
        }
        evidence = [one.evidence for report in undone for one in report.taken] + [one.evidence for one in made]
        return ToolOutput(fields, tuple(evidence))

    text = "Revert numbered changes and set other pins instead, as one act with one question: a correction."
    hooks: dict[str, Any] = {"describe": describe, "objections": objections, "words": words}
    return Tool("correct", text, CorrectParameters, Permission.ACT, Effect.ONCE, run, **hooks)


def _back_text(change: Change, device: str) -> str:
    back = change.inverse
    return (
        f"{call_words(back.call, device)} again" if isinstance(back, SetLevel | SetPwm) else f"revert: {change.summary}"
    )


def _done_text(undone: Sequence[UndoReport], made: Sequence[PinChange]) -> str:
    done = [f"pin {one.state.pin} of {one.device_name} was set" for one in made]
    return "; ".join([*(report.text for report in undone), *done])


def _undone_fields(report: UndoReport) -> dict[str, Any]:
    return {
        "change": report.taken[0].by.change_id,
        "message": report.text,
        "evidence": _evidence_fields(*(one.evidence for one in report.taken)),
    }


def _evidence_fields(*evidence: Evidence) -> list[dict[str, str]]:
    return [{"kind": one.kind, "text": one.text} for one in evidence]
