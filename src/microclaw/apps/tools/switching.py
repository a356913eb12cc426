"""The tools that stop, start and restart an installed program and set when it runs. The acts are in apps/."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from microclaw.apps.act_results import Deployed
from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.parts import Apps
from microclaw.apps.run_times import time_or_off
from microclaw.apps.tools.programs import on_its_holder
from microclaw.auth.gate import Effect, Permission
from microclaw.devices.device import Device
from microclaw.devices.target import OnDevice, device_tool
from microclaw.errors import ToolRetry
from microclaw.operations.tool import Tool, ToolContext, ToolOutput


class SwitchParameters(OnDevice, kw_only=True, rename="camel"):
    app_name: Annotated[str, Meta(min_length=1, max_length=126)]
    switch: Literal["stop", "start", "restart"]


def switch_tool(apps: Apps) -> Tool[SwitchParameters]:
    """switch-program."""

    async def switch(device: Device, asked: SwitchParameters, context: ToolContext) -> ToolOutput:
        done = await apps.changes.apply(ChangeRequest(device.device_id, asked.app_name, asked.switch), context.report)
        what = "stopped" if asked.switch == "stop" else f"{asked.switch}ed"
        fields: dict[str, Any] = {
            "appName": done.name,
            "switch": asked.switch,
            "verified": done.verified,
            "change": done.change_id,
            "message": f"{what} {done.name} on {done.device_name}",
        }
        return ToolOutput(fields, (done.evidence,))

    return device_tool(
        apps.registry,
        "switch-program",
        "Stop a program and keep it for later, start a stopped one again, or restart one.",
        SwitchParameters,
        switch,
        Permission.ACT,
        Effect.ONCE,
        words="{switch} {app_name} on {device}",
        complete=on_its_holder(apps),
    )


class TimesParameters(OnDevice, kw_only=True, rename="camel"):
    """A time that is left out stays as it is."""

    app_name: Annotated[str, Meta(min_length=1, max_length=126)]
    every: Annotated[str, Meta(max_length=20, description="How often it begins: 30s, 10m, 1h; off.")] | None = None
    stop_after: Annotated[str, Meta(max_length=20, description="How long each run may last: 5s; off.")] | None = None

    def new_times(self) -> dict[str, int | None]:
        given = {"every_ms": self.every, "stop_after_ms": self.stop_after}
        new = {name: time_or_off(text) for name, text in given.items() if text is not None}
        if not new:
            raise ToolRetry("nothing to set", next_step="give every or stopAfter, as 10m, or off to drop it")
        return new


def times_tool(apps: Apps) -> Tool[TimesParameters]:
    """set-program-times."""

    async def set_times(device: Device, asked: TimesParameters, context: ToolContext) -> ToolOutput:
        name, new = asked.app_name, asked.new_times()
        made = await apps.changes.set_times(device.device_id, name, context.report, approve=context.approve, **new)
        if isinstance(made, Deployed):
            return ToolOutput({"unchanged": True, "appName": made.name, "message": made.text})
        runs = made.trial.times.text() if made.trial.times else "once, and on"
        fields: dict[str, Any] = {
            "appName": made.name,
            "runs": runs,
            "verified": made.verified,
            "change": made.change_id,
            "message": f"{made.name} on {made.device_name} runs {runs}",
        }
        return ToolOutput(fields, (made.evidence,))

    return device_tool(
        apps.registry,
        "set-program-times",
        "Set when an installed program runs: begun anew every so often, each run stopped after a time.",
        TimesParameters,
        set_times,
        Permission.ACT,
        Effect.ONCE,
        has_preview=True,
        complete=on_its_holder(apps),
    )
