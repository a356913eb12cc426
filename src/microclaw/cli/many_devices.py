"""Targets: a name of a device, or an address of a board without a host; the devices of a host, and those meant."""

from __future__ import annotations

import re
from typing import Any, Final

from microclaw.apps.device_operations import list_devices
from microclaw.cli.options import GlobalOptions
from microclaw.devices.selection import Selection, names_text
from microclaw.errors import ConfigError
from microclaw.link_server.device_facts import ListedDevice
from microclaw.operations.client import Client


def known_devices(host: Client) -> list[ListedDevice]:
    """All of them, by name; the host tells them in pages."""
    found = host.call(list_devices)
    while found.next is not None:
        found = found.joined(host.call(list_devices, after=found.next))
    return found.devices


def choice_body(options: GlobalOptions) -> dict[str, Any]:
    """The choice as the host takes it. Raises ConfigError where it has two meanings."""
    Selection(options.devices, options.labels, options.every).check()
    return {"devices": list(options.devices), "labels": list(options.labels), "all": options.every}


def chosen_names(options: GlobalOptions, host: Client) -> list[str]:
    """The names of the devices that are meant, sorted. Raises ConfigError for a name or label that there is not."""
    selection = Selection(options.devices, options.labels, options.every)
    selection.check()
    known = known_devices(host)
    named = {one.name: one.name for one in known} | {one.device_id: one.name for one in known}
    unknown = sorted(set(options.devices) - named.keys())
    if unknown:
        raise ConfigError(f"no device named {', '.join(unknown)}", next_step="microclaw device list")
    with_labels = (one.name for one in known if selection.means(one.labels))
    names = sorted({named[one] for one in options.devices} or set(with_labels))
    if names:
        return names
    if options.labels:
        what = f"no device has the label {' and '.join(options.labels)}"
    else:
        what = "no device is known"
    raise ConfigError(what, next_step="microclaw device list")


def ask_once(options: GlobalOptions, host: Client, act: str) -> None:
    names = chosen_names(options, host)
    if len(names) > 1:
        options.agree(f"{act} {len(names)} devices: {names_text(names)}?")


def chosen_device(options: GlobalOptions, host: Client, program: str | None = None) -> str:
    """The device of -d, else the only one that has a program of that name, else the only one there is."""
    if options.device:
        return options.device
    having = []
    if program is not None:
        from microclaw.apps.operations import list_apps

        having = sorted({app.device for app in host.call(list_apps).apps if app.name == program})
    names = having or sorted(one.name for one in known_devices(host))
    if len(names) == 1:
        return names[0]
    if program is not None and not having:
        step = "microclaw app list; for a device that does not answer: -d NAME"
        raise ConfigError(f"no device lists a program {program}", next_step=step)
    if not names:
        raise ConfigError("this host knows no device", next_step="microclaw device add NAME --wasmachine HOST:PORT")
    if having:
        which = f"{program} is on {len(names)}: {', '.join(names[:5])}"
    else:
        which = f"there are {len(names)}"
    raise ConfigError(f"which device? {which}", next_step=f"give -d {' or -d '.join(names[:5])}")


_ADDRESS: Final = re.compile(r"(wasmachine://|serial:|virtual:).*|(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}")


def board_address(options: GlobalOptions) -> str | None:
    """The -d that names an address instead of a device: HOST:PORT or a transport's full form."""
    return options.device if not options.chooses_many and is_address(options.device or "") else None


def is_address(target: str) -> bool:
    return _ADDRESS.fullmatch(target) is not None
