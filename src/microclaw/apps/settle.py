"""Settles changes that a crash or a lost connection left open, by asking their device for the truth."""

from __future__ import annotations

from collections.abc import Collection

from microclaw.apps.change import Change, PutApp, RemoveApp, SetLevel, SetPwm
from microclaw.apps.ledger import Ledger
from microclaw.apps.placement import install_call
from microclaw.devices.calls import AppList, AppUninstall, GpioGet
from microclaw.devices.device import Device


async def settle(device: Device, ledger: Ledger) -> tuple[str, ...]:
    """Close every open change of a device; one sentence each. Call it holding the device; raises DeviceError.

    Oldest first. An upgrade that was cut short leaves a name in the list and nothing that tells the old image from the
    new one, so the old one, which is still the wanted one, is put there again.
    """
    told: list[str] = []
    for change in await ledger.unfinished(device.device_id):
        match change.forward:
            case PutApp() | RemoveApp():
                listed = {app.name for app in await device.call(AppList(), wait=False)}
                happened, text = await _settle_app(device, ledger, change, listed)
            case SetLevel(pin=pin, level=level):
                happened = (
                    device.supports(GpioGet.method) and (await device.call(GpioGet(pin), wait=False)).level == level
                )
                text = f"pin {pin} {'is' if happened else 'is not'} at {level}"
            case SetPwm(pin=pin):
                happened, text = False, f"whether PWM on pin {pin} was set is unknown"
        await (ledger.complete(change.change_id) if happened else ledger.fail(change.change_id))
        told.append(f"change {change.change_id} ({change.summary}) was cut short: {text}")
    return tuple(told)


async def _settle_app(device: Device, ledger: Ledger, change: Change, listed: Collection[str]) -> tuple[bool, str]:
    """Whether the change holds now, and what was found."""
    match change.forward, change.inverse:
        case RemoveApp(name=name), _:
            return name not in listed, f"{device.name} {'still lists it' if name in listed else 'no longer lists it'}"
        case PutApp(name=name), PutApp(version=before) if name in listed:
            image = await ledger.image(before.sha256)
            await device.call(AppUninstall(name))
            await device.call(install_call(name, image.wasm, before))
            return False, f"the former {name} was put there again; deploy the new one once more"
        case PutApp(name=name), _:
            if name in listed:
                return True, f"{device.name} lists it"
            return False, f"{device.name} does not list it"
        case _:
            raise AssertionError("only app changes come here")
