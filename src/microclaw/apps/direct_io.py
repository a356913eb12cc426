"""Sets a pin at once, without a program: logged with its inverse, then read back. Reads go to the device itself.

A pin that a program has is refused, unless the person insisted on just that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from microclaw.apps.changes import ChangeLog, DeviceAction, SetLevel, SetPwm, subject_of
from microclaw.apps.claims import PinConflict, live_conflict
from microclaw.apps.installer import Installer
from microclaw.devices.calls import AdcRead, Call, DeviceInfo, GpioGet, GpioSet, PinLevel, PwmSet, PwmState
from microclaw.devices.device import Device, check_call
from microclaw.devices.registry import Registry
from microclaw.errors import CallRejected, DeviceLied, NotSupported
from microclaw.events import Evidence

CLOCKS_APART: Final = 200e-6  # a board's crystal against the host's clock


async def booted_ms(device: Device, now_ms: Callable[[], int]) -> float | None:
    """The earliest time that the board can have started, in Unix time; None when it does not report its uptime."""
    if not device.supports(DeviceInfo.method):
        return None
    asked_ms = now_ms()
    try:
        values = (await device.call(DeviceInfo())).values
    except (NotSupported, CallRejected):
        return None
    up_ms = values.get("uptime_ms")
    if isinstance(up_ms, bool) or not isinstance(up_ms, int | float):
        return None
    return asked_ms - (up_ms + 1) - up_ms * CLOCKS_APART  # + 1: it reports whole milliseconds


_LOOK_BACK = 200


@dataclass(frozen=True, slots=True)
class PinChange:
    """What was set, the evidence for it, and the number of the change."""

    device_id: str
    device_name: str
    state: PinLevel | PwmState
    evidence: Evidence
    change_id: int
    warning: str | None = None


class DirectIo:
    """`DirectIo(devices=registry, change_log=..., installer=...)`; a device has one change at a time, live or not."""

    def __init__(self, *, devices: Registry, change_log: ChangeLog, installer: Installer) -> None:
        self._devices = devices
        self._change_log = change_log
        self._installer = installer

    async def conflict(self, device: str, call: Call[Any]) -> PinConflict | None:
        """What this call would fight; None when nothing is in its way.

        Raises what would refuse it anyway: PinRefused (by the board profile), CallRejected, NotSupported. A read fights
        only where reading makes an input of the pin: then it ends what a program drives there.
        """
        target = self._devices.get(device)
        check_call(target.board, call)
        target.transport_for(call.method)
        match call:
            case GpioSet(pin=pin) | PwmSet(pin=pin):
                return await live_conflict(target, pin, await self._change_log.desired(target.device_id))
            case GpioGet(pin=pin) | AdcRead(pin=pin) if not sees_pins(target):
                found = await live_conflict(target, pin, await self._change_log.desired(target.device_id))
                return found if found is not None and found.role == "drives" else None
            case _:
                return None

    async def set_pin(
        self, device: str, pin: int, level: int, *, undoes: int | None = None, insist: Collection[str] = ()
    ) -> PinChange:
        """Drive a pin. `insist`: the texts of the conflicts that the person wants it in spite of.

        Raises PinRefused (by the board profile), PinClaimed, NotSupported, DeviceError.
        """
        target = self._devices.get(device)
        async with self._installer.holding(target):
            return await self._set_pin(target, pin, level, undoes, insist)

    async def set_pwm(
        self,
        device: str,
        pin: int,
        duty: int,
        frequency_hz: int = 5000,
        *,
        undoes: int | None = None,
        insist: Collection[str] = (),
    ) -> PinChange:
        """Drive a pin with PWM, `duty` 0-255. Raises as `set_pin`. Undo gives a pin without PWM its level back."""
        target = self._devices.get(device)
        async with self._installer.holding(target):
            return await self._set_pwm(target, pin, duty, frequency_hz, undoes, insist)

    async def _warning(self, device: Device, call: Call[Any], insist: Collection[str]) -> str | None:
        """Raise PinClaimed for a conflict that nobody insisted on; of another one, the warning."""
        conflict = await self.conflict(device.device_id, call)
        if conflict is None:
            return None
        if conflict.text not in insist:
            conflict.raise_refused()
        return f"{conflict.app} {conflict.role} pin {conflict.pin} too" + (
            " and may change it again at once" if conflict.role == "drives" else ""
        )

    async def _set_pin(
        self, target: Device, pin: int, level: int, undoes: int | None, insist: Collection[str]
    ) -> PinChange:
        call = GpioSet(pin, level)
        warning = await self._warning(target, call, insist)
        last = await self._last(target, pin)
        if isinstance(last, SetPwm) and last.duty:
            inverse: DeviceAction | None = last
        else:
            before = await _level(target, pin, last)
            inverse = None if before is None else SetLevel(pin, before)
        summary = f"set pin {pin} of {target.name} {'high' if level else 'low'}"
        change_id = await self._change_log.plan(
            target.device_id, "gpio.set", summary, SetLevel(pin, level), inverse, undoes=undoes
        )
        async with self._change_log.closing(change_id):
            state = await target.call(call)
        evidence = await _read_back(target, pin, level)
        return PinChange(target.device_id, target.name, state, evidence, change_id, warning)

    async def _set_pwm(
        self, target: Device, pin: int, duty: int, frequency_hz: int, undoes: int | None, insist: Collection[str]
    ) -> PinChange:
        call = PwmSet(pin, duty, frequency_hz)
        warning = await self._warning(target, call, insist)
        last = await self._last(target, pin)
        inverse: DeviceAction = SetPwm(pin, 0, frequency_hz)
        if isinstance(last, SetPwm) or (isinstance(last, SetLevel) and last.level):
            inverse = last
        summary = f"PWM {duty} of 255 on pin {pin} of {target.name}"
        change_id = await self._change_log.plan(
            target.device_id, "pwm.set", summary, SetPwm(pin, duty, frequency_hz), inverse, undoes=undoes
        )
        async with self._change_log.closing(change_id):
            state = await target.call(call)
        text = f"{target.name} answers: pin {pin} at duty {state.duty} of 255, {state.frequency_hz:,} Hz"
        evidence = Evidence("reported", text)
        return PinChange(target.device_id, target.name, state, evidence, change_id, warning)

    async def _last(self, device: Device, pin: int) -> DeviceAction | None:
        """The last action of this host on the pin; None for PWM that a restart of the board ended."""
        subject = subject_of(SetLevel(pin, 0))
        history = await self._change_log.changes(device.device_id, _LOOK_BACK)
        last = next((c for c in history if c.state == "done" and c.subject == subject), None)
        if last is None or not isinstance(last.forward, SetPwm):
            return last.forward if last is not None else None
        boot_ms = await booted_ms(device, self._change_log.now_ms)
        return last.forward if boot_ms is None or boot_ms <= last.at_ms else None


def sees_pins(device: Device) -> bool:
    """Whether a driven pin may be read. With stock firmware reading turns the pin into an input."""
    return device.evidence_of(GpioGet.method) == "counted"


async def _level(device: Device, pin: int, last: DeviceAction | None) -> int | None:
    if sees_pins(device):
        return (await device.call(GpioGet(pin))).level
    return last.level if isinstance(last, SetLevel) else None


async def _read_back(device: Device, pin: int, level: int) -> Evidence:
    if not sees_pins(device):
        return Evidence("reported", f"{device.name} answers: pin {pin} set to {level}")
    found = (await device.call(GpioGet(pin))).level
    if found == level:
        return Evidence("counted", f"read back on the board: pin {pin} is at {found}")
    raise DeviceLied(
        f"{device.name} took the order, but read back pin {pin} is at {found}, not {level}",
        next_step="something else drives it, a wire or a program: look at it, then undo or try again",
    )
