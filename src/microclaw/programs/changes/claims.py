"""The pins and parts that programs on a device use, and who else may have them. It asks no board.

Facts of stock firmware behind the rules: a second program that opens a driven pin or an I2C bus gets EBUSY
(esp-iot-solution, ext_vfs_gpio.c, ext_vfs_i2c.c), also while the first has ended and is still listed, as nothing closed
its files; opening a pin to read it turns its driver off; PWM channels are numbered over all LEDC timers, and a program
that tries a timer of another one stops its signal when it closes it again (ext_vfs_ledc.c). A program's own software
timers are its own: no two programs share them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppStates, GpioSet
from microclaw.devices.registry.device import Device
from microclaw.errors import DeployRejected, PinClaimed
from microclaw.hardware.boards.micropython.stock import PinRole
from microclaw.hardware.boards.profile import PinUse
from microclaw.hardware.parts.named_parts import inputs_on
from microclaw.host.operations.operation import Permission
from microclaw.programs.building import ProgramImage
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, Claims, DesiredApp
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.program_state import ProgramState, app_command
from microclaw.programs.proof.record import by_pin
from microclaw.programs.proof.trial import Trial

_KINDS: Final = {"i2c": "the I2C bus", "spi": "the SPI bus", "uart": "the UART", "ledc": "the PWM timers"}
_PASSIVE: Final[Mapping[PinRole, str]] = {"drives": "driven", "reads": "read", "uses": "used"}


class PinConflict(Struct, frozen=True):
    """A pin that a program on the device has: which program, how, and that in words.

    `is_final`: the firmware refuses the act whoever insists, so nobody is asked. `can_stop`: it drives the pin, and
    this host can stop it and start it again.
    """

    pin: int
    app: str
    role: PinRole
    text: str
    next_step: str
    is_final: bool = False
    can_stop: bool = False

    @property
    def warning(self) -> str:
        """The warning to a person who insists on the act."""
        text = f"{self.app} {self.role} pin {self.pin} too"
        if self.role == "drives":
            text += " and will change it again"
        return text

    def offer(self) -> str:
        """Return the question to a person. Raises PinClaimed if nobody can insist."""
        if self.can_stop:
            return f"{self.text}, so {self.app} is stopped first"
        if self.is_final:
            self.raise_refused()
        return self.text

    def raise_refused(self, insist: str | None = None) -> None:
        """Raise PinClaimed. `insist` says how a person can have it all the same, if the firmware allows that."""
        step = self.next_step
        if insist is not None and not self.is_final:
            step = f"{step}; {insist}"
        raise PinClaimed(self.text, next_step=step)


def driven_pins(trial: Trial) -> tuple[int, ...]:
    """Return the pins that the program drove in its trial, also those that it had closed again at the end."""
    return tuple(sorted({*trial.driven, *by_pin(trial.edges), *by_pin(trial.pwm), *by_pin(trial.leds)}))


def runs_once(trial: Trial) -> bool:
    """Return if the program ended by itself in its trial, and no interval begins it again."""
    return trial.ok and trial.ended in ("returned", "exited") and trial.times is None


def claims_of(image: ProgramImage, trial: Trial) -> Claims:
    """Return the program's claims beside the pins it drives: seen in its trial, or named in its source."""
    driven = set(driven_pins(trial))
    read = {pin for pin, role in trial.roles.items() if role == "input"} - driven
    return Claims(
        network=image.network,
        reads=tuple(sorted(read)),
        uses=tuple(sorted({*image.pins, *trial.pins} - driven - read)),
        nodes=image.nodes,
        ended=runs_once(trial),
        forced=not trial.ok,
    )


def tried_version(request: ChangeRequest, image: ProgramImage, trial: Trial) -> AppVersion:
    """Return the version with the pins and the claims that its trial showed."""
    claims = replace(claims_of(image, trial), named_hosts=request.hosts, autostart=request.autostart)
    return AppVersion(
        sha256=image.sha256,
        heap_bytes=request.heap_bytes,
        timers=request.timers,
        watchdog_ms=request.watchdog_ms,
        pins=driven_pins(trial),
        claims=claims,
        kind=image.kind,
        origin=request.origin,
        times=request.times,
        wiring=request.wiring,
    )


def network_needs(request: ChangeRequest, image: ProgramImage, there: ProgramState) -> Permission | None:
    """Return RISKY if the program may do more or other things on the network than the version that runs there.

    None for a kept version: it was asked for when it was new.
    """
    if not image.network.text or request.version is not None:
        return None
    before = there.running
    if before is not None and before.claims.network == image.network:
        return None
    return Permission.RISKY


def pin_roles(version: AppVersion) -> dict[int, PinRole]:
    """Return every pin that this version has, and how."""
    uses = version.claims.uses
    reads = version.claims.reads
    return {**dict.fromkeys(uses, "uses"), **dict.fromkeys(reads, "reads"), **dict.fromkeys(version.pins, "drives")}


def read_pins(apps: Sequence[DesiredApp]) -> set[int]:
    """Return the pins that programs read, and that none of them drives: something has to be wired there."""
    pins: set[int] = set()
    for app in apps:
        pins.update(app.version.claims.reads)
    for app in apps:
        pins.difference_update(app.version.pins)
    return pins


def taken_pins(there: ProgramState) -> dict[int, str]:
    """Return the pins that a program, an act at once or a wired part has, each with the name of who has it.

    A program that has ended has its pins until it is stopped: it would begin again at the board's next start.
    """
    device = there.device
    taken: dict[int, str] = {}
    for part in device.wiring.parts:
        taken |= dict.fromkeys(part.pins.values(), part.id)
    for app in there.others:
        taken |= dict.fromkeys(pin_roles(app.version), app.name)
    for pin in device.held_pins:
        taken[pin] = device.pin_program(GpioSet.method) or "an act at once"
    return taken


def free_pins(there: ProgramState, use: PinUse) -> list[int]:
    """Return the pins that offer the use, need no caution, and are not taken, in order."""
    taken = taken_pins(there)
    return [pin for pin in there.device.board.usable_pins(use) if pin not in taken]


async def free_output_pins(log: ChangeLog, devices: Sequence[Device]) -> dict[str, list[int]]:
    """Return the free output pins of each device by its id, by what this host wants there: no board is asked."""
    wanted: dict[str, list[DesiredApp]] = defaultdict(list)
    for app in await log.desired():
        wanted[app.device_id].append(app)
    pins: dict[str, list[int]] = {}
    for device in devices:
        there = ProgramState(device=device, name="", listed=None, states=None, wanted=wanted[device.device_id], kept=())
        pins[device.device_id] = free_pins(there, "output")
    return pins


def wired_input_text(device: Device, pin: int) -> str | None:
    """Return a warning for who drives a pin at which a wired part drives, too; None if there is none."""
    for part in inputs_on(device.wiring, pin):
        return f"pin {pin}: {part.id} ({part.part}) is wired there and drives it, which can be a short circuit"
    return None


def live_conflict(there: ProgramState, pin: int, *, opens: bool = False) -> PinConflict | None:
    """Return the program that an order on this pin would fight.

    None for one that has ended: its level stays, nobody drives. `opens`: the order opens the pin beside the program to
    drive it, which stock firmware refuses (its PWM opens no pin).
    """
    for app in there.others:
        role = pin_roles(app.version).get(pin)
        if role is None or there.has_ended(app):
            continue
        conflict = _conflict(there, app.name, pin, role, ours=app in there.wanted)
        if opens and role == "drives" and not _has_pwm(app.version.claims.nodes):
            text = f"{conflict.text}, and its firmware lets nobody else set it"
            return replace(conflict, text=text, is_final=True)
        return conflict
    return None


def _has_pwm(nodes: Sequence[str]) -> bool:
    return any(node.startswith("ledc") for node in nodes)


def to_come(there: ProgramState, image: ProgramImage) -> DesiredApp:
    """Return the program as it will be wanted on the device, with the claims that its source names."""
    reads = tuple(sorted(set(image.pins) - set(image.driven)))
    claims = Claims(reads=reads, nodes=image.nodes, network=image.network)
    return DesiredApp(
        device_id=there.device.device_id,
        name=there.name,
        sha256="",
        heap_bytes=0,
        timers=0,
        watchdog_ms=0,
        pins=image.driven,
        since_ms=0,
        claims=claims,
    )


def check_free(there: ProgramState, version: AppVersion) -> None:
    """Raise PinClaimed when another program has one of these pins, buses or timers. Two may read the same pin.

    Raises DeployRejected if another program opens the same port of the board: the second would get an error there.
    Before the trial a program counts as a reader of the pins that its source names and does not open as outputs.
    """
    device = there.device
    _check_not_held(device, pin_roles(version), version.claims.nodes)
    for app in there.others:
        node = _shared_node(version.claims.nodes, app.version.claims.nodes)
        # A bus has pins, and of two programs on it another pin would help neither.
        if node is not None and not app.waits and not there.has_ended(app):
            raise _bus_taken(there, app, node)
        for pin in _shared_pins(version, app.version):
            _check_pin_free(there, app, pin)
        if node is not None and app.waits:
            raise _kept_for(device, app, node)
        if node is not None:
            raise _bus_taken(there, app, node)
        for port in shared_ports(version, app.version):
            _check_port_free(there, app, port)


def shared_ports(version: AppVersion, other: AppVersion) -> list[int]:
    """Return the network ports that both open."""
    return sorted(set(version.claims.network.ports) & set(other.claims.network.ports))


def _check_port_free(there: ProgramState, app: DesiredApp, port: int) -> None:
    """Raise DeployRejected unless the program that opens the port has ended, and is taken off by the installation."""
    device = there.device
    if app.waits:
        raise DeployRejected(
            f"port {port} of {device.name} is kept for {app.name}, which waits until {device.name} is back",
            next_step=f"choose another port, or drop what waits: microclaw app cancel {app.name} -d {device.name}",
        )
    if not there.has_ended(app) or not device.supports(AppStates.method):
        way = _stop(app.name, device, is_away=there.is_away)
        step = f"choose another port, or stop {app.name} first: {way}"
        raise DeployRejected(f"port {port} of {device.name} is opened by {app.name}", next_step=step)


def _shared_pins(version: AppVersion, other: AppVersion) -> list[int]:
    """Return the pins that both have, without those that both only read."""
    own = pin_roles(version)
    theirs = pin_roles(other)
    pins = []
    for pin in sorted(own.keys() & theirs.keys()):
        is_read_by_both = own[pin] == theirs[pin] == "reads"
        if not is_read_by_both:
            pins.append(pin)
    return pins


def _check_pin_free(there: ProgramState, app: DesiredApp, pin: int) -> None:
    """Raise PinClaimed unless the program that has the pin has ended, and can be taken off first."""
    device = there.device
    if app.waits:
        raise _kept_for(device, app, f"pin {pin}")
    if not there.has_ended(app):
        _conflict(there, app.name, pin, pin_roles(app.version)[pin]).raise_refused()
    # If the board reports states, the installation takes the ended program off first.
    if not device.supports(AppStates.method):
        text = f"{app.name} has ended on {device.name} and still holds pin {pin}"
        step = f"remove it first: {app_command('uninstall', app.name, device, is_away=there.is_away)}"
        raise PinClaimed(f"{text}: the firmware frees it with its removal", next_step=step)


def _check_not_held(device: Device, pins: Iterable[int], nodes: Sequence[str]) -> None:
    """Raise PinClaimed for a pin that an act at once holds, or for PWM timers beside PWM that does."""
    held = device.held_pins
    found = sorted(held.keys() & set(pins))
    if not found and _has_pwm(nodes):
        found = sorted(pin for pin, kind in held.items() if kind == "pwm")
    name = device.pin_program(GpioSet.method)
    if found and name is not None:
        raise PinClaimed(
            f"pin {found[0]} of {device.name} is held by {name}, which set it at once",
            next_step=f"let go of it first: {app_command('uninstall', name, device)}",
        )


def timers_conflict(device: Device, pin: int, wanted: Iterable[DesiredApp]) -> PinConflict | None:
    """Return the program whose PWM an act at once on this pin would disturb, if another program has to do the act."""
    for app in wanted:
        if _has_pwm(app.version.claims.nodes):
            text = f"the PWM timers of {device.name} are used by {app.name}, and on this firmware programs disturb them"
            return PinConflict(pin, app.name, "uses", text, f"stop it first: {_stop(app.name, device)}")
    return None


def unknown_pins_text(device: Device, foreign: Sequence[str]) -> str | None:
    """Return a warning of programs that were not installed from here, on a board that does not report their pins."""
    if device.supports(AppStates.method):
        return None
    names = sorted(set(foreign) - device.pin_programs)
    if not names:
        return None
    listing = ", ".join(names)
    return f"not installed from here, on {device.name}: {listing}; their pins are not known and not checked"


def _bus_taken(there: ProgramState, app: DesiredApp, node: str) -> PinClaimed:
    """Return the error for a bus, or timers, that only one program at a time can have."""
    device = there.device
    verb = "are" if node.endswith("timers") else "is"
    text = f"{node} of {device.name} {verb} used by {app.name}: on this firmware one program at a time can have that"
    step = f"put both into one program, or stop the other first: {_stop(app.name, device, is_away=there.is_away)}"
    return PinClaimed(text, next_step=step)


def _kept_for(device: Device, app: DesiredApp, what: str) -> PinClaimed:
    """Return the error for a part of a program that is not there yet: its installation waits for the device."""
    return PinClaimed(
        f"{what} of {device.name} is kept for {app.name}, which waits until {device.name} is back (--when-back)",
        next_step=f"choose another, or drop what waits first: microclaw app cancel {app.name} -d {device.name}",
    )


def _conflict(there: ProgramState, app: str, pin: int, role: PinRole, *, ours: bool = True) -> PinConflict:
    """Return the conflict with a program. `ours`: this host has its image, so it can be stopped and started again."""
    text = f"pin {pin} is {_PASSIVE[role]} by {app} on {there.device.name}"
    if role == "reads":
        text += ": driving it works against what is connected there, which can be a short circuit"
    way = _stop(app, there.device, is_away=there.is_away)
    if not ours:
        way = app_command("uninstall", app, there.device, is_away=there.is_away)
    step = f"choose another pin, or stop it first: {way}"
    return PinConflict(pin, app, role, text, step, can_stop=ours and role == "drives")


def _shared_node(own: Sequence[str], theirs: Sequence[str]) -> str | None:
    """Return "the I2C bus 0" if both have it. All LEDC timers share their channels; a computed number can be any."""
    for node in own:
        kind, _, number = node.partition("/")
        for other in theirs:
            other_kind, _, other_number = other.partition("/")
            if kind != other_kind:
                continue
            if kind == "ledc":
                return _KINDS[kind]
            if number == other_number or not number or not other_number:
                return f"{_KINDS[kind]} {number or other_number}".rstrip()
    return None


def _stop(app: str, device: Device, *, is_away: bool = False) -> str:
    stop = app_command("stop", app, device, is_away=is_away)
    uninstall = app_command("uninstall", app, device, is_away=is_away)
    return f"{stop}, or take it off: {uninstall}"
