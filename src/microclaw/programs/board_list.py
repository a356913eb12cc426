"""The programs that a board lists: its list and states, and its list after a change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Final, Protocol, TypeVar

from microclaw.devices.registry.calls import AppEntry, AppList, AppState, AppStates
from microclaw.devices.registry.device import Device
from microclaw.errors import DeployRejected
from microclaw.text import program_name

_NAME: Final = attrgetter("name")
# Firmware may list a program a moment after it answered the installation, or the removal.
_AGAIN_S: Final = 1.0


class Named(Protocol):
    """A row about a program."""

    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


async def ask_programs(device: Device, *, wait: bool) -> tuple[Sequence[AppEntry], Sequence[AppState] | None]:
    """Ask the board for its list, and for the states if they are not in it. Raises DeviceError."""
    listed = await device.call(AppList(), wait=wait)
    if not device.supports(AppStates.method):
        return listed, None
    states: list[AppState] = []
    for entry in listed:
        if entry.state is not None:
            states.append(entry.state)
    # An empty list has no states to ask for.
    if len(states) < len(listed):
        states = [*await device.call(AppStates(), wait=wait)]
    return listed, states


async def ask_states(device: Device, *, wait: bool) -> Sequence[AppState] | None:
    """Ask the board for the states of its programs. None if it does not report them. Raises DeviceError."""
    if not device.supports(AppStates.method):
        return None
    return await device.call(AppStates(), wait=wait)


def find_by_name(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.name == name), None)


async def names_after_change(
    device: Device, name: str, *, there: bool, sleep: Callable[[float], Awaitable[None]]
) -> tuple[str, ...]:
    """Return the listed names, sorted. The board is asked twice unless `name` is among them just as `there` says."""
    is_second = False
    while True:
        listed = await device.call(AppList())
        names = tuple(sorted(map(_NAME, listed)))
        if is_second or (name in names) is there:
            return names
        await sleep(_AGAIN_S)
        is_second = True


async def removal_text(device: Device, name: str, sleep: Callable[[float], Awaitable[None]], *, next_step: str) -> str:
    """Return the device's list without `name`, in words. Raises DeployRejected if the device goes on listing it."""
    left = await names_after_change(device, name, there=False, sleep=sleep)
    if name in left:
        text = f"{device.name} answered that it removed {program_name(name)}, but still lists it"
        raise DeployRejected(text, next_step=next_step)
    if left:
        runs = f"{', '.join(map(program_name, left))} still on it"
    else:
        runs = "no app left on it"
    return f"{device.name} no longer lists {name}; {runs}"
