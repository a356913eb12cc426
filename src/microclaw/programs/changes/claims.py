"""The pins and parts that programs on a device use, and who else may have them. Asks a board only which have ended.

Facts of stock firmware behind the rules: a second program that opens a driven pin or an I2C bus gets EBUSY
(esp-iot-solution, ext_vfs_gpio.c, ext_vfs_i2c.c), also while the first has ended and is still listed, as nothing closed
its files; opening a pin to read it turns its driver off; PWM channels are numbered over all LEDC timers, and a program
that tries a timer of another one stops its signal when it closes it again (ext_vfs_ledc.c). A program's own software
timers are its own: no two programs share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppStates, GpioSet
from microclaw.devices.registry.device import Device
from microclaw.errors import DeviceError, PinClaimed
from microclaw.hardware.boards.micropython.stock import PinRole
from microclaw.programs.building import ProgramImage
from microclaw.programs.changes.change_log import AppVersion, Claims, DesiredApp
from microclaw.programs.changes.program_state import app_states
from microclaw.programs.proof.trial import Trial

_KINDS: Final = {"i2c": "the I2C bus", "spi": "the SPI bus", "uart": "the UART", "ledc": "the PWM timers"}
_PASSIVE: Final[Mapping[PinRole, str]] = {"drives": "driven", "reads": "read", "uses": "used"}
ENDED: Final = frozenset({"returned", "exited", "trapped", "loaded", "stopped"})
"""States of a program of which no function runs any more."""


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
        """Tells the person who insists on the act."""
        again = " and will change it again" if self.role == "drives" else ""
        return f"{self.app} {self.role} pin {self.pin} too{again}"

    def offer(self) -> str:
        """The question to a person. Raises PinClaimed where nobody can insist."""
        if self.can_stop:
            return f"{self.text}, which is stopped first"
        if self.is_final:
            self.raise_refused()
        return self.text

    def raise_refused(self, insist: str | None = None) -> None:
        """Raise PinClaimed. `insist` says how a person can have it all the same, where that is so."""
        is_open = insist is not None and not self.is_final
        raise PinClaimed(self.text, next_step=f"{self.next_step}; {insist}" if is_open else self.next_step)


def driven_pins(trial: Trial) -> tuple[int, ...]:
    """The pins that the program drove in its trial, those that it had closed again at the end included."""
    changes = (trial.edges, trial.pwm, trial.leds)
    return tuple(sorted({*trial.driven, *(change.pin for record in changes for change in record)}))


def runs_once(trial: Trial) -> bool:
    """True if the program ended by itself in its trial, and no interval begins it again."""
    return trial.ok and trial.ended in ("returned", "exited") and trial.times is None


def claims_of(image: ProgramImage, trial: Trial) -> Claims:
    """The program's claims beside the pins it drives: seen in its trial, or named in its source."""
    driven = set(driven_pins(trial))
    read = {pin for pin, role in trial.roles.items() if role == "input"} - driven
    return Claims(
        reads=tuple(sorted(read)),
        uses=tuple(sorted({*image.pins, *trial.pins} - driven - read)),
        nodes=image.nodes,
        ended=runs_once(trial),
        forced=not trial.ok,
    )


def pin_roles(version: AppVersion) -> dict[int, PinRole]:
    """Every pin that this version has, and how."""
    uses = version.claims.uses
    reads = version.claims.reads
    return {**dict.fromkeys(uses, "uses"), **dict.fromkeys(reads, "reads"), **dict.fromkeys(version.pins, "drives")}


async def live_conflict(
    device: Device, pin: int, wanted: Sequence[DesiredApp], *, opens: bool = False, asks: bool = True
) -> PinConflict | None:
    """Return the program that an order on this pin would fight.

    None for one that has ended: its level stays, nobody drives. With `asks` the board itself is asked whether the
    program has ended, if it can tell; else its trial counts. `opens`: the order opens the pin beside the program to
    drive it, which stock firmware refuses (its PWM opens no pin).
    """
    for app in wanted:
        role = pin_roles(app.version).get(pin)
        if role is not None and not await has_ended(device, app, asks=asks):
            found = _conflict(device, app.name, pin, role)
            has_pwm = any(node.startswith("ledc") for node in app.version.claims.nodes)
            if not opens or role != "drives" or has_pwm:
                return found
            return replace(found, text=f"{found.text}, and its firmware lets nobody else set it", is_final=True)
    if not asks:
        return None
    for app in (await with_foreign_apps(device, wanted))[len(wanted) :]:
        role = pin_roles(app.version).get(pin)
        if role is not None:
            return _conflict(device, app.name, pin, role, ours=False)
    return None


async def with_foreign_apps(device: Device, wanted: Sequence[DesiredApp]) -> tuple[DesiredApp, ...]:
    """`wanted`, and the programs there that this host did not install, with the pins that the board tells of them.

    How they use a pin is not known. A board that does not tell, or does not answer, adds nothing.
    """
    try:
        states = await app_states(device, wait=False)
    except DeviceError:
        return tuple(wanted)
    found = list(wanted)
    for one in states:
        is_ours = any(app.name == one.name for app in wanted) or one.name in device.pin_programs
        if one.pins and one.state not in ENDED and not is_ours:
            found.append(DesiredApp(device.device_id, one.name, "", one.heap_bytes, 0, 0, (), 0, Claims(uses=one.pins)))
    return tuple(found)


async def has_ended(device: Device, app: DesiredApp, *, asks: bool = True) -> bool:
    """Return if nothing of the program runs any more: by the board's word if it is asked, else by its trial.

    One that runs at times has not ended between two runs: its pins wait for the next one.
    """
    if not app.sha256:
        return False  # an installation to come, or a program of others that claiming() has found running
    if asks and device.supports(AppStates.method):
        with suppress(DeviceError):
            states = await app_states(device, wait=False)  # one that is lost is redeployed at once
            return any(one.name == app.name and one.state in ENDED for one in states)
    return app.version.times is None and app.version.claims.ended


async def check_named(device: Device, name: str, image: ProgramImage, wanted: Sequence[DesiredApp]) -> None:
    """Raise as `check_free` does, before a trial: for what the image's source names."""
    await check_free(device, name, to_come(device, name, image).version, wanted)


def to_come(device: Device, name: str, image: ProgramImage) -> DesiredApp:
    """Return the program as it will be wanted on the device, with the claims that its source names."""
    claims = Claims(reads=tuple(sorted(set(image.pins) - set(image.driven))), nodes=image.nodes)
    return DesiredApp(
        device_id=device.device_id,
        name=name,
        sha256="",
        heap_bytes=0,
        timers=0,
        watchdog_ms=0,
        pins=image.driven,
        since_ms=0,
        claims=claims,
    )


async def check_free(device: Device, name: str, version: AppVersion, wanted: Sequence[DesiredApp]) -> None:
    """Raise PinClaimed when another program has one of these pins, buses or timers. Two may read the same pin.

    Before the trial a program counts as a reader of the pins that its source names and does not open as outputs.
    """
    own = pin_roles(version)
    claims = version.claims
    _check_not_held(device, own, claims.nodes)
    for app in wanted:
        if app.name == name:
            continue
        node = _shared_node(claims.nodes, app.version.claims.nodes)
        # A bus has pins, and of two programs on it another pin would help neither.
        if node is not None and not app.waits and not await has_ended(device, app):
            raise _bus_taken(device, app, node)
        theirs = pin_roles(app.version)
        for pin in sorted(own.keys() & theirs.keys()):
            if own[pin] == theirs[pin] == "reads":
                continue
            if app.waits:
                raise _kept_for(device, app, f"pin {pin}")
            if not await has_ended(device, app):
                _conflict(device, app.name, pin, theirs[pin]).raise_refused()
            if not device.supports(AppStates.method):  # else the installation takes it off first
                raise PinClaimed(
                    f"{app.name} has ended on {device.name} and still holds pin {pin}: the firmware frees it with its "
                    "removal",
                    next_step=f"remove it first: {_uninstall(app.name, device)}",
                )
        if node is not None and app.waits:
            raise _kept_for(device, app, node)
        if node is not None:
            raise _bus_taken(device, app, node)


def _check_not_held(device: Device, pins: Iterable[int], nodes: Sequence[str]) -> None:
    """Raise PinClaimed for a pin that an act at once holds, or for PWM timers beside PWM that does."""
    held = device.held_pins
    found = sorted(held.keys() & set(pins))
    if not found and any(node.startswith("ledc") for node in nodes):
        found = sorted(pin for pin, kind in held.items() if kind == "pwm")
    name = device.pin_program(GpioSet.method)
    if found and name is not None:
        raise PinClaimed(
            f"pin {found[0]} of {device.name} is held by {name}, which set it at once",
            next_step=f"let go of it first: {_uninstall(name, device)}",
        )


def timers_conflict(device: Device, pin: int, wanted: Iterable[DesiredApp]) -> PinConflict | None:
    """The program whose PWM an act at once on this pin would disturb, where another program has to do the act."""
    for app in wanted:
        if any(node.startswith("ledc") for node in app.version.claims.nodes):
            text = f"the PWM timers of {device.name} are used by {app.name}, and on this firmware programs disturb them"
            return PinConflict(pin, app.name, "uses", text, f"stop it first: {_stop(app.name, device)}")
    return None


def unknown_pins_text(device: Device, foreign: Sequence[str]) -> str | None:
    """A warning of the programs there that were not installed from here, on a board that does not tell their pins."""
    if device.supports(AppStates.method):
        return None
    names = ", ".join(sorted(set(foreign) - device.pin_programs))
    text = f"not installed from here, on {device.name}: {names}; their pins are not known and not checked"
    return text if names else None


def _bus_taken(device: Device, app: DesiredApp, node: str) -> PinClaimed:
    """Return the error for a bus, or timers, that only one program at a time can have."""
    verb = "are" if node.endswith("timers") else "is"
    text = f"{node} of {device.name} {verb} used by {app.name}: on this firmware one program at a time can have that"
    step = f"put both into one program, or stop the other first: {_stop(app.name, device)}"
    return PinClaimed(text, next_step=step)


def _kept_for(device: Device, app: DesiredApp, what: str) -> PinClaimed:
    """Of a program that is not there yet: what puts it there waits for the device."""
    return PinClaimed(
        f"{what} of {device.name} is kept for {app.name}, which waits until {device.name} is back (--when-back)",
        next_step=f"choose another, or drop what waits first: microclaw app cancel {app.name} -d {device.name}",
    )


def _conflict(device: Device, app: str, pin: int, role: PinRole, *, ours: bool = True) -> PinConflict:
    """`ours`: this host has its image, so it can be stopped and started again."""
    text = f"pin {pin} is {_PASSIVE[role]} by {app} on {device.name}"
    if role == "reads":
        text += ": driving it works against what is connected there, which can be a short circuit"
    step = f"choose another pin, or stop it first: {_stop(app, device) if ours else _uninstall(app, device)}"
    return PinConflict(pin, app, role, text, step, can_stop=ours and role == "drives")


def _shared_node(own: Sequence[str], theirs: Sequence[str]) -> str | None:
    """ "the I2C bus 0" when both have it. All LEDC timers share their channels; a computed number can be any."""
    for node in own:
        kind, _, number = node.partition("/")
        for other in theirs:
            other_kind, _, other_number = other.partition("/")
            if kind == other_kind and (kind == "ledc" or number == other_number or not number or not other_number):
                if kind == "ledc":
                    known = ""
                else:
                    known = number or other_number
                return f"{_KINDS[kind]} {known}".rstrip()
    return None


def _uninstall(app: str, device: Device) -> str:
    return f"microclaw app uninstall {app} -d {device.name}"


def _stop(app: str, device: Device) -> str:
    return f"microclaw app stop {app} -d {device.name}, or take it off: {_uninstall(app, device)}"
