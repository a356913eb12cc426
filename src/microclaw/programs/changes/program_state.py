"""A program on a device as things are now, why an act on it makes no sense, and what the device lists after one.

It changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.devices.registry.calls import AppEntry, AppList, AppState, AppStates
from microclaw.devices.registry.device import Device
from microclaw.errors import AppExists, AppNotFound, DeployRejected
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, DesiredApp
from microclaw.text import program_name

DeferredKind: TypeAlias = Literal["install", "upgrade", "uninstall", "stop", "start"]
Act: TypeAlias = Literal[DeferredKind, "restart"]
_AGAIN_S: Final = 1.0
"""Firmware may list a program a moment after it answered the installation, or the removal."""
_DONE: Final = {"upgrade": "redeployed", "stop": "stopped", "start": "started", "restart": "restarted"}


class ProgramState(Struct, frozen=True):
    """`listed` by the board, None where it was not asked; `wanted` there by this host; this program, `stopped` and
    kept.
    """

    device: Device
    name: str
    listed: Sequence[AppEntry] | None
    wanted: Sequence[DesiredApp]
    stopped: AppVersion | None

    @property
    def desired(self) -> DesiredApp | None:
        return next((app for app in self.wanted if app.name == self.name), None)

    @property
    def running(self) -> AppVersion | None:
        """The version that this host wants there, running."""
        return None if self.desired is None else self.desired.version

    @property
    def names(self) -> list[str]:
        return [app.name for app in self.listed or ()]

    @property
    def is_listed(self) -> bool:
        return self.name in self.names

    @property
    def is_foreign(self) -> bool:
        """The device lists it, and this host did not install it: there is no copy."""
        return self.is_listed and self.running is None

    @property
    def foreign(self) -> tuple[str, ...]:
        """The programs that the device lists beside this one and this host did not install."""
        return tuple(sorted(set(self.names) - {app.name for app in self.wanted} - {self.name}))

    def refused(self, act: Act) -> DeployRejected:
        """Why this act makes no sense there: the program is not there, not of this host, or in another state."""
        name = self.name
        device = self.device.name
        if self.is_foreign and (self.stopped is None or act == "stop"):
            return DeployRejected(
                f"{name} on {device} was not installed from here: this host has no copy, so it cannot be {_DONE[act]}",
                next_step=f"take it off: microclaw app uninstall {name} -d {device}; or replace it knowingly: "
                f"microclaw run FILE --name {name} --replace -d {device}",
            )
        if self.running is not None:
            return DeployRejected(
                f"{name} is not stopped on {device}: the host puts it back when the board returns",
                next_step="microclaw app list",
            )
        if self.stopped is not None:
            return DeployRejected(f"{name} is stopped on {device}", next_step=f"microclaw app start {name} -d {device}")
        if self.listed is not None:
            return not_found(self.device, name, self.names)
        return AppNotFound(f"this host has no program {name} on {device} yet", next_step="microclaw app list")


async def standing(log: ChangeLog, device: Device, name: str, *, asks: bool = True) -> ProgramState:
    """With `asks` the device is asked for its list. Raises DeviceError."""
    listed: Sequence[AppEntry] | None = None
    if asks:
        listed = await device.call(AppList())
    wanted = await log.desired(device.device_id)
    kept = await log.desired(device.device_id, stopped=True)
    return ProgramState(device, name, listed, wanted, next((app.version for app in kept if app.name == name), None))


def name_taken(device: Device, name: str) -> AppExists:
    return AppExists(
        f"{device.name} already has an app {name!r}, and there is no record of it here",
        next_step=f"choose another name, or take it off: microclaw app uninstall {name} -d {device.name}, "
        f"or replace it: microclaw run FILE --name {name} --replace -d {device.name}",
    )


def not_found(device: Device, name: str, there: Sequence[str]) -> AppNotFound:
    if there:
        listing = f"it lists {', '.join(map(program_name, sorted(there)))}"
    else:
        listing = "it lists none"
    return AppNotFound(f"no app {name!r} on {device.name}: {listing}", next_step="microclaw app list")


async def app_states(device: Device, *, wait: bool = True) -> Sequence[AppState]:
    """The programs as the board has them; none where it does not tell."""
    if not device.supports(AppStates.method):
        return ()
    return await device.call(AppStates(), wait=wait)


async def names_after_change(
    device: Device, name: str, *, there: bool, sleep: Callable[[float], Awaitable[None]]
) -> tuple[str, ...]:
    """The listed names, sorted; asked twice unless `name` is among them just as `there` says."""
    is_second = False
    while True:
        names = tuple(sorted(app.name for app in await device.call(AppList())))
        if is_second or (name in names) is there:
            return names
        await sleep(_AGAIN_S)
        is_second = True


async def removal_text(device: Device, name: str, sleep: Callable[[float], Awaitable[None]], *, next_step: str) -> str:
    """The device's list without `name`; DeployRejected when it says that it removed it and goes on listing it."""
    left = await names_after_change(device, name, there=False, sleep=sleep)
    if name in left:
        text = f"{device.name} answered that it removed {program_name(name)}, but still lists it"
        raise DeployRejected(text, next_step=next_step)
    if left:
        runs = f"{', '.join(map(program_name, left))} still on it"
    else:
        runs = "no app left on it"
    return f"{device.name} no longer lists {name}; {runs}"
