"""Names the program after which a board fell silent, and keeps it from being put back. Asks no board.

An app that does not give up the CPU hangs the firmware's application manager as soon as somebody waits for it (WAMR's
uninstall joins the app's thread without a limit), and only a reset of the board ends that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from microclaw.devices.registry.calls import AppInstall, AppUninstall, Call
from microclaw.devices.registry.device import Device
from microclaw.errors import DeviceSilent, DeviceTimeout, InstallInterrupted, MicroclawError
from microclaw.programs.board_list import find_by_name
from microclaw.programs.changes.change_log import (
    MAX_SILENCES,
    Change,
    ChangeLog,
    PutApp,
    RemoveApp,
    SetLevel,
    SetPwm,
    StartApp,
    StopApp,
)

_AppAction: TypeAlias = PutApp | RemoveApp | StopApp | StartApp
_OTHER_CLIENT: Final = "close other clients of it (host_tool, a second host), as it serves one at a time"
_VIRTUAL = "virtual:"
_LOOK_BACK: Final = 50
SOON_MS: Final = 60_000
"""A program is blamed for a silence that begins so soon after it was put there; later anything may be its cause."""


async def explain_silence(
    change_log: ChangeLog, device: Device, call: Call[Any], error: MicroclawError
) -> MicroclawError:
    """Return the error with the program that is probably its cause, and the way out; the error itself if there is none.

    The program is marked; one with which the board fell silent twice is not redeployed. An error of another
    transport names a program only while it is marked. A board serves one client at a time: long after a program
    was put there another client's connection is as probable, and no program is blamed.
    """
    is_silent = isinstance(error, DeviceSilent)
    if isinstance(error, InstallInterrupted):
        is_silent = error.silent
    wanted = await change_log.desired(device.device_id)
    marked = next((app for app in wanted if app.suspect_ms is not None), None)
    if marked is not None and not isinstance(call, AppInstall):
        return _explained(error, device, marked.name, "", again=marked.silences < MAX_SILENCES)
    if not is_silent:
        return error
    if isinstance(call, AppInstall):
        return _explained(error, device, call.name, "this version of ")
    history = await change_log.changes(device.device_id, _LOOK_BACK)
    put: AppUninstall | _AppAction | None
    if isinstance(call, AppUninstall):
        put = call
    else:
        put = _last_put(history, change_log.now_ms())
    if put is None:
        return error
    app = find_by_name(wanted, put.name)
    if app is None:
        return _explained(error, device, put.name, "")
    # Another version is on its way, or was cut short.
    if isinstance(put, PutApp) and put.version != app.version:
        return _explained(error, device, put.name, "this version of ")
    await change_log.set_suspect(app.device_id, app.name, is_suspect=True)
    return _explained(error, device, app.name, "", again=app.silences + 1 < MAX_SILENCES)


def _last_put(history: Sequence[Change], now_ms: int) -> _AppAction | None:
    """Return the act on the app that came last onto the device and is still there, or that was being removed.

    `history` is newest first. None when that is longer ago than SOON_MS.
    """
    gone: set[str] = set()
    for change in history:
        # A redeployment that broke off accuses no program.
        if change.kind == "app.restore" and change.state == "unknown":
            continue
        action = change.forward
        if isinstance(action, SetLevel | SetPwm):
            continue
        if isinstance(action, RemoveApp | StopApp) and change.state == "done":
            gone.add(action.name)
        elif change.state != "failed" and action.name not in gone:
            is_recent = now_ms - change.at_ms <= SOON_MS
            return action if is_recent else None
    return None


def way_to_reset(device: Device) -> str:
    """Return the way in which a person gets a board back that answers nothing."""
    if any(endpoint.startswith(_VIRTUAL) for endpoint in device.endpoints):
        return "restart it: end what began it (microclaw up --virtual, microclaw virtual) with Ctrl-C; start it again"
    return "reset it, or switch it off and on"


def _explained(error: MicroclawError, device: Device, name: str, which: str, *, again: bool = False) -> MicroclawError:
    """`again`: the program is redeployed once more."""
    text = f"{error.message}; the probable cause is {name}, after which {device.name} fell silent"
    step = way_to_reset(device)
    if device.board.firmware.apps_survive_reset:
        step += f" ({device.board.title} starts its programs again by itself: then flash it again)"
    back = "redeployed once more" if again else "not redeployed"
    step += f"; {which}{name} is {back}. Then deploy a corrected one, or drop it: "
    step += f"microclaw app uninstall {name} -d {device.name}"
    if isinstance(error, InstallInterrupted):
        return InstallInterrupted(text, outcome=error.outcome, next_step=step, silent=error.silent)
    if isinstance(error, DeviceSilent):
        return DeviceSilent(text, next_step=f"{_OTHER_CLIENT}, else {step}")
    return DeviceTimeout(text, next_step=step)
