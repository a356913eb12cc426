"""Targets of a command: device names, or a board's address without a host; a host's devices, and the chosen ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from microclaw.devices.link.results import ListedDevice
from microclaw.devices.registry.selection import Selection, names_text
from microclaw.errors import ConfigError
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.options import GlobalOptions
from microclaw.programs.changes.device_operations import list_devices

MAX_NAMED: Final = 5
_ADDRESS: Final = re.compile(r"(wasmachine://|serial:|virtual:).*|(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}")


def known_devices(host: Client) -> list[ListedDevice]:
    """Return all devices of the host, sorted by name; the host sends them in pages."""
    page = host.call(list_devices)
    while page.next is not None:
        page = page.joined(host.call(list_devices, after=page.next))
    return page.devices


def choice_fields(options: GlobalOptions) -> dict[str, Any]:
    """Return the chosen devices as a request's fields. Raises ConfigError if the options contradict each other."""
    Selection(options.devices, options.labels, options.every).check()
    return {"devices": list(options.devices), "labels": list(options.labels), "all": options.every}


def chosen_names(options: GlobalOptions, host: Client) -> list[str]:
    """Return the sorted names of the chosen devices. Raises ConfigError for an unknown name or label."""
    selection = Selection(options.devices, options.labels, options.every)
    selection.check()
    devices = known_devices(host)
    names_by_target = {device.name: device.name for device in devices}
    names_by_target |= {device.device_id: device.name for device in devices}
    unknown = sorted(set(options.devices) - names_by_target.keys())
    if unknown:
        raise ConfigError(f"no device named {', '.join(unknown)}", next_step="microclaw device list")
    if options.devices:
        names = {names_by_target[target] for target in options.devices}
    else:
        names = {device.name for device in devices if selection.selects(device.labels)}
    if names:
        return sorted(names)
    text = "no device is known"
    if options.labels:
        text = f"no device has the label {' and '.join(options.labels)}"
    raise ConfigError(text, next_step="microclaw device list")


def confirm_many(options: GlobalOptions, host: Client, act: str) -> None:
    """Ask for a yes if more than one device is chosen; `act` is the question's start. A no ends the command."""
    names = chosen_names(options, host)
    if len(names) > 1:
        options.agree(f"{act} {len(names)} devices: {names_text(names)}?")


def chosen_device(options: GlobalOptions, host: Client, program: str | None = None) -> str:
    """Return the device of -d, else the only device that lists the program, else the only device.

    Raises ConfigError if several devices are possible, or none.
    """
    if options.device:
        return options.device
    holders = [] if program is None else _devices_with(host, program)
    names = holders or sorted(device.name for device in known_devices(host))
    if len(names) == 1:
        return names[0]
    if program is not None and not holders:
        step = "microclaw app list; for a device that does not answer: -d NAME"
        raise ConfigError(f"no device lists a program {program}", next_step=step)
    if not names:
        raise ConfigError("this host knows no device", next_step="microclaw device add NAME --wasmachine HOST:PORT")
    reason = f"there are {len(names)}"
    if holders:
        reason = f"{program} is on {len(names)}: {', '.join(names[:MAX_NAMED])}"
    raise ConfigError(f"which device? {reason}", next_step=f"give -d {' or -d '.join(names[:MAX_NAMED])}")


def _devices_with(host: Client, program: str) -> Sequence[str]:
    """Return the sorted names of the devices that list a program."""
    from microclaw.programs.changes.operations import list_apps

    apps = host.call(list_apps).apps
    return sorted({app.device for app in apps if app.name == program})


def board_address(options: GlobalOptions) -> str | None:
    """Return the address in -d (HOST:PORT or a transport's full form), or None if -d is a name or chooses several."""
    if options.chooses_many or options.device is None or not is_address(options.device):
        return None
    return options.device


def is_address(target: str) -> bool:
    return _ADDRESS.fullmatch(target) is not None
