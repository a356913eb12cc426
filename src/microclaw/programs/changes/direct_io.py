"""Sets a pin at once, without a program: logged with its inverse, then read back. Reads go to the device itself.

A pin that a program has is refused, unless the person insisted on just that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.call_text import call_words
from microclaw.devices.registry.calls import (
    MAX_DUTY,
    AdcRead,
    Call,
    DeviceInfo,
    GpioGet,
    GpioSet,
    PinLevel,
    PwmSet,
    PwmState,
)
from microclaw.devices.registry.device import Device, check_call
from microclaw.devices.registry.device_text import collect_device_texts
from microclaw.errors import CallRejected, DeviceBusy, DeviceLied, DeviceUnreachable, NotSupported
from microclaw.events import Evidence
from microclaw.hardware.boards.pins import cautions
from microclaw.hardware.parts.named_parts import switched_pins
from microclaw.programs.changes.change_log import (
    ChangeKind,
    DeviceAction,
    PutApp,
    SetLevel,
    SetPwm,
    StartApp,
    StopApp,
    SwitchOff,
)
from microclaw.programs.changes.claims import PinConflict, live_conflict, timers_conflict, wired_input_text
from microclaw.programs.changes.installer import Installer, check_room
from microclaw.programs.changes.pin_cautions import PinCautions, refuse_caution
from microclaw.programs.changes.program_state import ProgramState, look_at_claims, recall_program

CLOCKS_APART: Final = 200e-6  # a board's crystal against the host's clock


async def booted_ms(device: Device, now_ms: Callable[[], int]) -> float | None:
    """Return the earliest time that the board can have started, in Unix time; None if it does not report its uptime."""
    if not device.supports(DeviceInfo.method):
        return None
    asked_ms = now_ms()
    try:
        # A number is taken: no text of the answer goes on.
        with collect_device_texts():
            values = (await device.call(DeviceInfo())).values
    except (NotSupported, CallRejected):
        return None
    up_ms = values.get("uptime_ms")
    if isinstance(up_ms, bool) or not isinstance(up_ms, int | float):
        return None
    # It reports whole milliseconds, so it may be up for one more.
    return asked_ms - (up_ms + 1) - up_ms * CLOCKS_APART


_LOOK_BACK = 200
_BUSY_S: Final = 5.0  # another host changes the device, and this one waits
_AGAIN_S: Final = 0.05


class PinChange(Struct, frozen=True):
    """A pin that was set, the evidence for it, and the number of the change.

    `is_as_before`: the pin was like that already, so there is nothing to undo.
    """

    device_name: str
    state: PinLevel | PwmState
    evidence: Evidence
    change_id: int
    warning: str | None = None
    is_as_before: bool = False


class PinOrder(Struct, frozen=True):
    """The action that set a pin, and when, in Unix time."""

    action: SetLevel | SetPwm
    at_ms: int


class DirectIo:
    """A device has one change at a time, live or not."""

    def __init__(self, installer: Installer, cautions: PinCautions) -> None:
        self._installer = installer
        self._cautions = cautions
        self._devices = installer.devices
        self._change_log = installer.change_log

    async def conflict(self, device: str, call: Call[Any], *, asks: bool = True) -> PinConflict | None:
        """Return the conflict of this call with a program; None when nothing is in its way.

        With `asks` the device is asked for its programs, else what this host knows of them counts.
        Raises what would refuse it anyway: PinRefused (by the board profile), CallRejected, NotSupported. A read fights
        only where reading makes an input of the pin: then it ends what a program drives there.
        """
        target = self._devices.get(device)
        check_call(target.board, call)
        program = target.transport_for(call.method).pin_program
        if program is not None:
            wanted = await self._change_log.desired(target.device_id)
            need = f"; {program} of microclaw's sets pins there and needs a place"
            check_room(target, program, (), wanted, need=need)
            if isinstance(call, PwmSet):
                rival = timers_conflict(target, call.pin, wanted)
                if rival is not None:
                    return rival
        match call:
            case GpioSet(pin=pin) | PwmSet(pin=pin):
                opens = program is not None and isinstance(call, GpioSet)
                return live_conflict(await self._look(target, asks=asks), pin, opens=opens)
            case GpioGet(pin=pin) | AdcRead(pin=pin) if not sees_pins(target):
                conflict = live_conflict(await self._look(target, asks=asks), pin)
                if conflict is not None and conflict.role == "drives":
                    return replace(conflict, can_stop=False)
                return None
            case _:
                return None

    async def caution(self, device: str, call: Call[Any]) -> str | None:
        """Return the caution of the pin that this call drives, unless a person has answered it with yes, or None."""
        if not isinstance(call, GpioSet | PwmSet):
            return None
        open_cautions = await self._cautions.open_cautions(self._devices.get(device), [call.pin])
        return open_cautions.get(call.pin)

    async def _look(self, device: Device, *, asks: bool) -> ProgramState:
        if asks:
            return await look_at_claims(self._change_log, device)
        return await recall_program(self._change_log, device, "")

    async def act(
        self, device: str, call: GpioSet | PwmSet, *, undoes: int | None = None, insist: Collection[str] = ()
    ) -> PinChange:
        """Drive a pin. `insist`: the texts of the conflicts and cautions that the person wants it in spite of.

        Raises PinRefused (by the board profile), PinClaimed, PinCaution, NotSupported, DeviceError. Undo gives a pin
        without PWM its level back, and needs no yes.
        """
        target = self._devices.get(device)
        give_up = time.monotonic() + _BUSY_S
        async with self._installer.holding(target):
            while True:
                try:
                    return await self._act(target, call, undoes, insist)
                except DeviceBusy:
                    # Another host changes it: what was there before is looked at again then.
                    if time.monotonic() > give_up:
                        raise
                await asyncio.sleep(_AGAIN_S)

    async def _act(
        self, target: Device, call: GpioSet | PwmSet, undoes: int | None, insist: Collection[str]
    ) -> PinChange:
        rival = await self.conflict(target.device_id, call)
        if rival is not None and (rival.is_final or rival.text not in insist):
            rival.raise_refused()
        caution = None if undoes is not None else await self.caution(target.device_id, call)
        if caution is not None:
            if caution not in insist:
                refuse_caution(target, call.pin, caution, "ask for it again, and say yes")
            await self._cautions.keep_yes(target, {call.pin: caution})
        try:
            inverse, seen = await self._inverse(target, call)
        except DeviceUnreachable:
            # The order was not sent either: the person reads about it, not about a question that came before it.
            target.check_present(call)
            raise
        forward: DeviceAction
        kind: ChangeKind
        if isinstance(call, GpioSet):
            kind = "gpio.set"
            forward = SetLevel(call.pin, call.level)
        else:
            kind = "pwm.set"
            forward = SetPwm(call.pin, call.duty, call.frequency_hz)
        summary = call_words(call, target.name)
        change_id = await self._change_log.plan(
            target.device_id, kind, summary, forward, inverse, undoes=undoes, seen=seen
        )
        async with self._change_log.closing(change_id):
            state = await target.call(cast("Call[PinLevel | PwmState]", call))
        if isinstance(call, GpioSet):
            evidence = await _read_back(target, call.pin, call.level, rival)
        else:
            assert isinstance(state, PwmState)
            text = f"{target.name} answers: pin {state.pin} at duty {state.duty} of 255, {state.frequency_hz:,} Hz"
            evidence = Evidence("reported", text)
        warning = _warning(target, call.pin, rival)
        return PinChange(target.name, state, evidence, change_id, warning, is_as_before=forward == inverse)

    async def _inverse(self, target: Device, call: GpioSet | PwmSet) -> tuple[DeviceAction | None, int]:
        """Return the action that takes this one back, None if it is not known, and the device's last change."""
        last, seen, is_untouched = await self._last(target, call.pin)
        off_level = _off_level(target, call.pin)
        if isinstance(call, GpioSet):
            if isinstance(last, SetPwm) and last.duty:
                return last, seen
            # The level of a pin that nothing drives says nothing of the part behind it.
            if is_untouched and off_level is not None:
                return SwitchOff(call.pin, off_level), seen
            return await _level_before(target, call.pin, last), seen
        is_high = isinstance(last, SetLevel) and last.level
        if isinstance(last, SetPwm) or is_high:
            return last, seen
        if last is None and off_level == 1:
            return SetPwm(call.pin, MAX_DUTY, call.frequency_hz), seen
        return SetPwm(call.pin, 0, call.frequency_hz), seen

    async def present_orders(self, device: Device) -> dict[int, PinOrder]:
        """Return the last order for each pin that still counts.

        It does not if a program that drives the pin was installed, started or stopped since, or the board restarted.
        """
        orders: dict[int, PinOrder] = {}
        passed = set[int]()
        for change in await self._change_log.changes(device.device_id, _LOOK_BACK, state="done"):
            match change.forward:
                case SetLevel(pin=pin) | SetPwm(pin=pin) as action if pin not in passed:
                    passed.add(pin)
                    orders[pin] = PinOrder(action, change.at_ms)
                case PutApp(version=version) | StartApp(version=version) | StopApp(version=version):
                    passed.update(version.pins)
        boot_ms = None
        if orders:
            boot_ms = await booted_ms(device, self._change_log.now_ms)
        if boot_ms is None:
            return orders
        return {pin: order for pin, order in orders.items() if order.at_ms >= boot_ms}

    async def _last(self, device: Device, pin: int) -> tuple[DeviceAction | None, int, bool]:
        """Return the last action on the pin, the number of the device's last change, and if nothing drove the pin.

        The action is None if a program that drives the pin came since, or the board restarted. A level that can be read
        needs no such care.
        """
        history = await self._change_log.changes(device.device_id, _LOOK_BACK)
        seen = 0
        if history:
            seen = history[0].change_id
        for change in history:
            if change.state != "done":
                continue
            match change.forward:
                case SetLevel(pin=own) | SetPwm(pin=own) as action if own == pin:
                    if isinstance(action, SetLevel) and sees_pins(device):
                        return action, seen, False
                    boot_ms = await booted_ms(device, self._change_log.now_ms)
                    if boot_ms is not None and boot_ms > change.at_ms:
                        return None, seen, True
                    return action, seen, False
                case PutApp(version=version) | StartApp(version=version) | StopApp(version=version):
                    if pin in version.pins:
                        return None, seen, False
        return None, seen, len(history) < _LOOK_BACK


def _off_level(device: Device, pin: int) -> int | None:
    """Return the level at which the part that a pin switches is off, or None if no such part is known."""
    for part in switched_pins(device.wiring):
        if part.gpio == pin:
            return 1 - part.active_level
    led = device.board.led
    if led is not None and led.kind == "simple" and led.pin == pin:
        return 1 - led.active_level
    return None


async def _level_before(device: Device, pin: int, last: DeviceAction | None) -> SetLevel | None:
    """Return the action that sets the pin's present level again; None if nobody knows the level."""
    if sees_pins(device):
        return SetLevel(pin, (await device.call(GpioGet(pin))).level)
    if isinstance(last, SetLevel):
        return SetLevel(pin, last.level)
    return None


def _warning(device: Device, pin: int, rival: PinConflict | None) -> str | None:
    """Return what to know of a pin that was driven: its caution, and what the program that has it does."""
    reasons = [message for message, _ in cautions(device.board, pin, is_driven=True, is_pulled=False)]
    wired_input = wired_input_text(device, pin)
    if wired_input is not None:
        reasons.append(wired_input)
    if rival is not None and rival.warning is not None:
        reasons.append(rival.warning)
    return "; ".join(reasons) or None


def sees_pins(device: Device) -> bool:
    """Return if a driven pin may be read. With stock firmware reading turns the pin into an input."""
    return device.evidence_of(GpioGet.method) == "counted"


async def _read_back(device: Device, pin: int, level: int, rival: PinConflict | None) -> Evidence:
    if not sees_pins(device):
        return Evidence("reported", f"{device.name} answers: pin {pin} set to {level}")
    present = (await device.call(GpioGet(pin))).level
    if present == level:
        return Evidence("counted", f"read back on the board: pin {pin} is at {present}")
    # The program may have moved the pin in between.
    if rival is not None and rival.role == "drives":
        text = f"{device.name} answers: pin {pin} set to {level}; {rival.app} has it at {present} again"
        return Evidence("reported", text)
    raise DeviceLied(
        f"{device.name} took the order, but read back pin {pin} is at {present}, not {level}",
        next_step="something else drives it, a wire or a program: look at it, then undo or try again",
    )
