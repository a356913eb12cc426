"""Names the program after which a board fell silent, and keeps it from being put back. Asks no board.

An app that does not give up the CPU hangs the firmware's application manager as soon as somebody waits for it (WAMR's
uninstall joins the app's thread without a limit), and only a reset of the board ends that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from microclaw.apps.changes import Change, ChangeLog, DesiredApp, PutApp, RemoveApp, StartApp, StopApp
from microclaw.devices.calls import AppInstall, AppUninstall, Call
from microclaw.devices.device import Device
from microclaw.errors import DeviceSilent, DeviceTimeout, InstallInterrupted, MicroclawError

_VIRTUAL = "virtual:"
_LOOK_BACK: Final = 50


class SilenceExplainer:
    """`registry.explain_silence = SilenceExplainer(change_log).explain`"""

    def __init__(self, change_log: ChangeLog) -> None:
        self._change_log = change_log

    async def explain(self, device: Device, call: Call[Any], error: MicroclawError) -> MicroclawError:
        """The error with the program that is probably its cause, and the way out; as it is when there is none.

        The program is marked, so that the reconciler does not put it back. An error of another transport names a
        program only while it is marked.
        """
        is_silent = isinstance(error, DeviceSilent) or (isinstance(error, InstallInterrupted) and error.silent)
        wanted = await self._change_log.desired(device.device_id)
        marked = next((app for app in wanted if app.suspect_ms is not None), None)
        if marked is not None and not isinstance(call, AppInstall):
            return _explained(error, device, marked.name, "")
        if not is_silent:
            return error
        if isinstance(call, AppInstall):
            return _explained(error, device, call.name, "this version of ")
        history = await self._change_log.changes(device.device_id, _LOOK_BACK)
        suspect = call.name if isinstance(call, AppUninstall) else _last_put(history)
        if suspect is None:
            return error
        app = next((app for app in wanted if app.name == suspect), None)
        if app is None or _is_being_replaced(app, history, call):
            return _explained(error, device, suspect, "" if app is None else "this version of ")
        await self._change_log.set_suspect(app, is_suspect=True)
        return _explained(error, device, suspect, "")


def _last_put(history: Sequence[Change]) -> str | None:
    """The app that came last onto the device and is still there, or that was being removed; `history` newest first."""
    gone: set[str] = set()
    for change in history:
        match change.forward:
            case RemoveApp(name=name) | StopApp(name=name) if change.state == "done":
                gone.add(name)
            case RemoveApp(name=name) | StopApp(name=name) | PutApp(name=name) | StartApp(name=name) if (
                change.state != "failed" and name not in gone
            ):
                return name
            case _:
                pass
    return None


def _is_being_replaced(app: DesiredApp, history: Sequence[Change], call: Call[Any]) -> bool:
    """Whether another version of the app is on its way: then that one is the cause, not the wanted one."""
    if isinstance(call, AppUninstall):
        return False
    newest = next((c for c in history if isinstance(c.forward, PutApp) and c.forward.name == app.name), None)
    return (
        newest is not None
        and newest.state in ("planned", "unknown")
        and isinstance(newest.forward, PutApp)
        and newest.forward.version != app.version
    )


def way_to_reset(device: Device) -> str:
    """How a person gets a board back that answers nothing."""
    if any(endpoint.startswith(_VIRTUAL) for endpoint in device.endpoints):
        return "restart it: end its host with Ctrl-C, then microclaw up --virtual 1"
    return "reset it, or switch it off and on"


def _explained(error: MicroclawError, device: Device, name: str, which: str) -> MicroclawError:
    text = f"{error.message}; the probable cause is {name}, after which {device.name} fell silent"
    survives = device.board.firmware.apps_survive_reset
    reset = way_to_reset(device)
    kept = f" ({device.board.title} starts its programs again by itself: then flash it anew)" if survives else ""
    step = (
        f"{reset}{kept}; {which}{name} is not put back. Then deploy a corrected one, or drop it: "
        f"microclaw app uninstall {name} -d {device.name}"
    )
    if isinstance(error, InstallInterrupted):
        return InstallInterrupted(text, outcome=error.outcome, next_step=step, silent=error.silent)
    if isinstance(error, DeviceSilent):
        return DeviceSilent(text, next_step=f"{step}. Or another program has its one connection: close that")
    return DeviceTimeout(text, next_step=step)
