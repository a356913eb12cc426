"""Names the program after which a board fell silent, and keeps it from being put back. Asks no board.

An app that does not give up the CPU hangs the firmware's application manager as soon as somebody waits for it (WAMR's
uninstall joins the app's thread without a limit), and only a reset of the board ends that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from microclaw.devices.registry.calls import AppInstall, AppUninstall, Call
from microclaw.devices.registry.device import Device
from microclaw.errors import DeviceSilent, DeviceTimeout, InstallInterrupted, MicroclawError
from microclaw.programs.changes.change_log import MAX_SILENCES, Change, ChangeLog, PutApp, RemoveApp, StartApp, StopApp

_OTHER_CLIENT: Final = "close other clients of it (host_tool, a second host), as it serves one at a time"
_VIRTUAL = "virtual:"
_LOOK_BACK: Final = 50
SOON_MS: Final = 60_000
"""A program is blamed for a silence that begins so soon after it was put there; later anything may be its cause."""


async def explain_silence(
    change_log: ChangeLog, device: Device, call: Call[Any], error: MicroclawError
) -> MicroclawError:
    """The error with the program that is probably its cause, and the way out; as it is when there is none.

    The program is marked; one with which the board fell silent twice is not redeployed. An error of another
    transport names a program only while it is marked. A board serves one client at a time: long after a program
    was put there another client's connection is as probable, and nobody is blamed.
    """
    is_silent = isinstance(error, DeviceSilent) or (isinstance(error, InstallInterrupted) and error.silent)
    wanted = await change_log.desired(device.device_id)
    marked = next((app for app in wanted if app.suspect_ms is not None), None)
    if marked is not None and not isinstance(call, AppInstall):
        return _explained(error, device, marked.name, "", again=marked.silences < MAX_SILENCES)
    if not is_silent:
        return error
    if isinstance(call, AppInstall):
        return _explained(error, device, call.name, "this version of ")
    history = await change_log.changes(device.device_id, _LOOK_BACK)
    put = call if isinstance(call, AppUninstall) else _last_put(history, change_log.now_ms())
    if put is None:
        return error
    app = next((app for app in wanted if app.name == put.name), None)
    is_newer = app is not None and isinstance(put, PutApp) and put.version != app.version  # on its way, or cut short
    if app is None or is_newer:
        return _explained(error, device, put.name, "this version of " if is_newer else "")
    await change_log.set_suspect(app.device_id, app.name, is_suspect=True)
    return _explained(error, device, app.name, "", again=app.silences + 1 < MAX_SILENCES)


def _last_put(history: Sequence[Change], now_ms: int) -> PutApp | RemoveApp | StopApp | StartApp | None:
    """The act on the app that came last onto the device and is still there, or that was being removed.

    `history` is newest first. None when that is longer ago than SOON_MS.
    """
    gone: set[str] = set()
    for change in history:
        if change.kind == "app.restore" and change.state == "unknown":
            continue  # what broke off by itself accuses no program
        match change.forward:
            case RemoveApp(name=name) | StopApp(name=name) if change.state == "done":
                gone.add(name)
            case RemoveApp(name=name) | StopApp(name=name) | PutApp(name=name) | StartApp(name=name) if (
                change.state != "failed" and name not in gone
            ):
                return change.forward if now_ms - change.at_ms <= SOON_MS else None
            case _:
                pass
    return None


def way_to_reset(device: Device) -> str:
    """The way in which a person gets a board back that answers nothing."""
    if any(endpoint.startswith(_VIRTUAL) for endpoint in device.endpoints):
        return "restart it: end what began it (microclaw up --virtual, microclaw virtual) with Ctrl-C; start it again"
    return "reset it, or switch it off and on"


def _explained(error: MicroclawError, device: Device, name: str, which: str, *, again: bool = False) -> MicroclawError:
    """`again`: the program is redeployed once more."""
    text = f"{error.message}; the probable cause is {name}, after which {device.name} fell silent"
    survives = device.board.firmware.apps_survive_reset
    reset = way_to_reset(device)
    if survives:
        kept = f" ({device.board.title} starts its programs again by itself: then flash it again)"
    else:
        kept = ""
    back = "redeployed once more" if again else "not redeployed"
    step = (
        f"{reset}{kept}; {which}{name} is {back}. Then deploy a corrected one, or drop it: "
        f"microclaw app uninstall {name} -d {device.name}"
    )
    if isinstance(error, InstallInterrupted):
        return InstallInterrupted(text, outcome=error.outcome, next_step=step, silent=error.silent)
    if isinstance(error, DeviceSilent):
        return DeviceSilent(text, next_step=f"{_OTHER_CLIENT}, else {step}")
    return DeviceTimeout(text, next_step=step)
