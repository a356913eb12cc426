"""Acts at once on a pin and leaves no program behind; the change is journaled with its inverse and read back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from microclaw.apps.changes import ChangeKind, ChangeLog, DeviceAction, SetLevel, SetPwm, subject_of
from microclaw.apps.trial import Devices
from microclaw.devices.calls import DeviceInfo, GpioGet, GpioSet, PinLevel, PwmSet, PwmState
from microclaw.devices.device import Device, check_call
from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable, MicroclawError, NotSupported
from microclaw.events import Evidence

CLOCKS_APART: Final = 200e-6  # a board's crystal and the host's clock, over the time that the board is up


async def booted_ms(device: Device, now_ms: Callable[[], int]) -> float | None:
    """When the present boot began, in Unix time, at the earliest; None where the board does not tell."""
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
    return asked_ms - (up_ms + 1) - up_ms * CLOCKS_APART  # + 1: told in whole milliseconds


S = TypeVar("S")

_LOOK_BACK = 200


@dataclass(frozen=True, slots=True)
class PinChange:
    """What was set, how it is known, and the change to undo."""

    device_id: str
    device_name: str
    state: PinLevel | PwmState
    evidence: Evidence
    change_id: int
    warning: str | None = None


class DirectIo:
    """`DirectIo(devices=registry, change_log=...)`; reads need no journal: call the device itself for them."""

    def __init__(self, *, devices: Devices, change_log: ChangeLog) -> None:
        self._devices = devices
        self._change_log = change_log

    async def set_pin(self, device: str, pin: int, level: int, *, undoes: int | None = None) -> PinChange:
        """Drive a pin; raises PinRefused by board profile, NotSupported, DeviceError."""
        target = self._devices.get(device)
        call = GpioSet(pin, level)
        check_call(target.board, call)
        target.transport_for(call.method)
        last = await self._last(target, pin)
        if isinstance(last, SetPwm) and last.duty:
            inverse: DeviceAction | None = last
        else:
            before = await _level(target, pin, last)
            inverse = None if before is None else SetLevel(pin, before)
        summary = f"set pin {pin} of {target.name} {'high' if level else 'low'}"
        change_id = await self._plan(target, "gpio.set", summary, SetLevel(pin, level), inverse, undoes)
        state = await self._act(change_id, target.call(call))
        return PinChange(
            target.device_id,
            target.name,
            state,
            await _read_back(target, pin, level),
            change_id,
            await self._contested(target, pin),
        )

    async def set_pwm(
        self, device: str, pin: int, duty: int, frequency_hz: int = 5000, *, undoes: int | None = None
    ) -> PinChange:
        """Drive a pin with PWM, `duty` 0-255; raises as set_pin. What was not PWM before goes back to its level."""
        target = self._devices.get(device)
        call = PwmSet(pin, duty, frequency_hz)
        check_call(target.board, call)
        target.transport_for(call.method)
        last = await self._last(target, pin)
        inverse: DeviceAction = SetPwm(pin, 0, frequency_hz)
        if isinstance(last, SetPwm) or (isinstance(last, SetLevel) and last.level):
            inverse = last
        summary = f"PWM {duty} of 255 on pin {pin} of {target.name}"
        change_id = await self._plan(target, "pwm.set", summary, SetPwm(pin, duty, frequency_hz), inverse, undoes)
        state = await self._act(change_id, target.call(call))
        text = f"{target.name} answers: pin {pin} at duty {state.duty} of 255, {state.frequency_hz:,} Hz"
        evidence = Evidence("reported", text)
        return PinChange(target.device_id, target.name, state, evidence, change_id, await self._contested(target, pin))

    async def _last(self, device: Device, pin: int) -> DeviceAction | None:
        """What this host last did to the pin; None for PWM that a restart of the board has ended since."""
        subject = subject_of(SetLevel(pin, 0))
        history = await self._change_log.changes(device.device_id, _LOOK_BACK)
        last = next((c for c in history if c.state == "done" and c.subject == subject), None)
        if last is None or not isinstance(last.forward, SetPwm):
            return last.forward if last is not None else None
        boot_ms = await booted_ms(device, self._change_log.now_ms)
        return last.forward if boot_ms is None or boot_ms <= last.at_ms else None

    async def _plan(
        self,
        device: Device,
        kind: ChangeKind,
        summary: str,
        forward: DeviceAction,
        inverse: DeviceAction | None,
        undoes: int | None,
    ) -> int:
        return await self._change_log.plan(device.device_id, kind, summary, forward, inverse, undoes=undoes)

    async def _act(self, change_id: int, answer: Awaitable[S]) -> S:
        try:
            state = await answer
        except (DeviceTimeout, DeviceUnreachable):
            await self._change_log.leave_open(change_id)
            raise
        except MicroclawError:
            await self._change_log.fail(change_id)
            raise
        await self._change_log.complete(change_id)
        return state

    async def _contested(self, device: Device, pin: int) -> str | None:
        for app in await self._change_log.desired(device.device_id):
            if pin in app.version.pins:
                return f"{app.name} drives pin {pin} too and may change it again at once"
        return None


def sees_pins(device: Device) -> bool:
    """Only a board that reports its pins is asked: reading a driven pin makes plain firmware turn it into an input."""
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
    return Evidence(
        "counted", f"read back on the board: pin {pin} is at {found}, not {level}: something else drives it"
    )
