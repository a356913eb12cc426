"""A look at a device's programs: the board's list and states, and what this host wants there. It changes nothing.

It also has the reasons why an act makes no sense there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppEntry, AppState
from microclaw.devices.registry.device import Device
from microclaw.errors import AppExists, AppNotFound, DeployRejected, DeviceError
from microclaw.programs.board_list import ask_programs, ask_states, find_by_name
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, Claims, DesiredApp
from microclaw.text import program_name

DeferredKind: TypeAlias = Literal["install", "upgrade", "uninstall", "stop", "start"]
Act: TypeAlias = Literal[DeferredKind, "restart"]
ENDED: Final = frozenset({"returned", "exited", "trapped", "loaded", "stopped"})
"""States of a program of which no function runs any more."""
_Row = TypeVar("_Row", AppEntry, AppState, DesiredApp)
_DONE: Final = {"upgrade": "redeployed", "stop": "stopped", "start": "started", "restart": "restarted"}


class ProgramState(Struct, frozen=True):
    """One look at a device, and at one program on it. The program has the name "" if the look is only at the others.

    `listed` is the board's list, None if it was not asked. `states` is None if the board was not asked, or does not
    report them. `wanted` are the programs that this host wants there, `kept` those that it stopped and keeps.
    `is_away`: the act waits for the board, and each act that makes way for it has to wait, too.
    """

    device: Device
    name: str
    listed: Sequence[AppEntry] | None
    states: Sequence[AppState] | None
    wanted: Sequence[DesiredApp]
    kept: Sequence[DesiredApp]
    is_away: bool = False

    @property
    def desired(self) -> DesiredApp | None:
        return find_by_name(self.wanted, self.name)

    @property
    def running(self) -> AppVersion | None:
        """The version that this host wants there, running."""
        return None if self.desired is None else self.desired.version

    @property
    def stopped(self) -> AppVersion | None:
        """The version that this host stopped and keeps."""
        kept = find_by_name(self.kept, self.name)
        return None if kept is None else kept.version

    @property
    def state(self) -> AppState | None:
        """The program's state as the board reports it."""
        return find_by_name(self.states or (), self.name)

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
        return tuple(sorted(set(self.names) - self._wanted_names - {self.name}))

    @property
    def others(self) -> tuple[DesiredApp, ...]:
        """The other programs with their claims: those that this host wants there, and those of others that run there.

        Of a program of others only the pins are known that the board reports, and not how it uses them.
        """
        apps = _without(self.wanted, self.name)
        for state in self.states or ():
            is_known = state.name == self.name or self.has_installed(state.name)
            if state.pins and state.state not in ENDED and not is_known:
                apps.append(_foreign_app(self.device, state))
        return tuple(apps)

    @property
    def _wanted_names(self) -> frozenset[str]:
        return frozenset(app.name for app in self.wanted)

    def has_installed(self, name: str) -> bool:
        """Return if this host installed the program, also as the one that sets pins at once."""
        return name in self._wanted_names or name in self.device.pin_programs

    def has_ended(self, app: DesiredApp) -> bool:
        """Return if nothing of the program runs any more: by the board's word, else by its trial.

        One that runs at times has not ended between two runs: its pins wait for the next one. One that the board lost
        has not ended: it is redeployed at once.
        """
        # An installation to come, or a program of others that runs.
        if not app.sha256:
            return False
        if self.states is None:
            return app.version.times is None and app.version.claims.ended
        state = find_by_name(self.states, app.name)
        return state is not None and state.state in ENDED

    def about(self, name: str) -> ProgramState:
        """Return the same look for another program."""
        return replace(self, name=name)

    def without(self, name: str) -> ProgramState:
        """Return the look as it is after that program was taken off."""
        listed = self.listed
        if listed is not None:
            listed = _without(listed, name)
        states = self.states
        if states is not None:
            states = _without(states, name)
        return replace(self, listed=listed, states=states, wanted=_without(self.wanted, name))

    def kept_version(self, act: Act, version: AppVersion | None) -> AppVersion:
        """Return the version that a start or a restart installs: the one that an undo gives, else that of this host.

        Raises DeployRejected, AppNotFound if the act makes no sense there.
        """
        if version is None and self.running is not None:
            # A program that the board has lost is started.
            if act == "start" and self.is_listed:
                self._check_not_running()
            return self.running
        version = version or self.stopped
        if version is None or act == "restart":
            raise self.refused(act)
        return version

    def _check_not_running(self) -> None:
        """Raise DeployRejected for a program that runs, or of which the board reports no state."""
        device = self.device.name
        if self.state is None:
            text = f"{device} lists {self.name}, and tells no more"
        elif self.state.state == "running":
            text = f"{self.name} runs on {device} already"
        else:
            return
        raise DeployRejected(text, next_step=f"microclaw app restart {self.name} -d {device}")

    def refused(self, act: Act) -> DeployRejected:
        """Return why this act makes no sense: the program is not there, not of this host, or in another state."""
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


def app_command(verb: str, name: str, device: Device, *, is_away: bool = False) -> str:
    """Return the command that stops a program or takes it off."""
    command = f"microclaw app {verb} {name} -d {device.name}"
    if is_away:
        command += " --when-back"
    return command


async def look_at_program(log: ChangeLog, device: Device, name: str) -> ProgramState:
    """Ask the board for its programs, and wait for one that is away. Raises DeviceError."""
    there = await recall_program(log, device, name)
    listed, states = await ask_programs(device, wait=True)
    return replace(there, listed=listed, states=states)


async def running_version(log: ChangeLog, device: Device, name: str) -> AppVersion:
    """Return the version that this host wants there, running. Raises what keeps it from being changed."""
    there = await recall_program(log, device, name)
    if there.running is not None:
        return there.running
    if there.stopped is None:
        there = await look_at_program(log, device, name)
    raise there.refused("upgrade")


async def look_at_claims(log: ChangeLog, device: Device) -> ProgramState:
    """Ask the board only for the states of its programs. A board that does not answer adds nothing."""
    there = await recall_program(log, device, "")
    try:
        states = await ask_states(device, wait=False)
    except DeviceError:
        return there
    return replace(there, states=states)


async def recall_program(log: ChangeLog, device: Device, name: str) -> ProgramState:
    """Return what this host wants on the board, without a question to it."""
    return ProgramState(
        device=device,
        name=name,
        listed=None,
        states=None,
        wanted=await log.desired(device.device_id),
        kept=await log.desired(device.device_id, stopped=True),
    )


def _without(rows: Sequence[_Row], name: str) -> list[_Row]:
    return [row for row in rows if row.name != name]


def _foreign_app(device: Device, state: AppState) -> DesiredApp:
    """Return a program that this host did not install, with the pins that the board reports."""
    return DesiredApp(
        device_id=device.device_id,
        name=state.name,
        sha256="",
        heap_bytes=state.heap_bytes,
        timers=0,
        watchdog_ms=0,
        pins=(),
        since_ms=0,
        claims=Claims(uses=state.pins),
    )


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
