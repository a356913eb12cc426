"""Selects the devices of one request: the devices it names, the devices with its labels, or all. It acts on none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from microclaw.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from microclaw.devices.registry.device import Device
    from microclaw.devices.registry.registry import Registry

MAX_SHOWN: Final = 8


class Selection(Struct, frozen=True):
    """Exactly one of three: `names` (names or ids), `labels` (a device has all of them), or `every` device."""

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    every: bool = False

    def selects(self, labels: Iterable[str]) -> bool:
        """Return True if a device with these labels is selected; only for a selection without names."""
        return set(self.labels).issubset(labels)

    def check(self) -> None:
        """Raise ConfigError if nothing is selected, or if the selection has two meanings."""
        ways = sum((bool(self.names), bool(self.labels), self.every))
        if ways == 0:
            raise ConfigError("no device is chosen", next_step="give -d NAME, -l LABEL or --all")
        if ways > 1:
            text = "-d names devices, -l and --all choose them: together they have two meanings"
            raise ConfigError(text, next_step="give one of the three")


class SelectionResult(Struct, frozen=True):
    """The selected devices.

    `left_out` are the names of devices that a label or `every` selects too, but that do not offer the method.
    """

    devices: tuple[Device, ...]
    left_out: tuple[str, ...] = ()


def select(devices: Registry, selection: Selection, method: str) -> SelectionResult:
    """Return the devices for a call of `method`, each once: in the order of `names`, or sorted by name.

    A named device that does not offer the method stays: its own error gives the reason. Raises ConfigError,
    UnknownName.
    """
    selection.check()
    if selection.names:
        return SelectionResult(tuple(dict.fromkeys(devices.get(name) for name in selection.names)))
    all_devices = devices.list()
    matches = [device for device in all_devices if selection.selects(device.labels)]
    if not matches:
        if all_devices:
            text = f"no device has the label {' and '.join(selection.labels)}"
        else:
            text = "this host has no devices"
        raise UnknownName(text, next_step="microclaw device list")
    offering: list[Device] = []
    left_out: list[str] = []
    for device in matches:
        if method in device.capabilities:
            offering.append(device)
        else:
            left_out.append(device.name)
    if not offering:
        raise ConfigError(f"no selected device offers {method}: {names_text(left_out)}", next_step="give -d NAME")
    return SelectionResult(tuple(offering), tuple(left_out))


def names_text(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    text = ", ".join(names[:MAX_SHOWN])
    further_count = len(names) - MAX_SHOWN
    if further_count > 0:
        text += f" and {further_count} more"
    return text
