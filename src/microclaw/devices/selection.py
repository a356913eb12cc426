"""Selects the devices that one request is about: those it names, those with labels, or all. It acts on none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from microclaw.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from microclaw.devices.device import Device
    from microclaw.devices.registry import Registry

MAX_SHOWN: Final = 8


class Selection(Struct, frozen=True):
    """Exactly one of the three: `names` (names or ids), `labels` (a device has all of them), `every` device."""

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    every: bool = False

    def means(self, labels: Iterable[str]) -> bool:
        """True if one with these labels is chosen, where none is named."""
        return set(self.labels).issubset(labels)

    def check(self) -> None:
        """Raises ConfigError where nothing is chosen, or the choice has two meanings."""
        ways = sum((bool(self.names), bool(self.labels), self.every))
        if ways == 0:
            raise ConfigError("no device is chosen", next_step="give -d NAME, -l LABEL or --all")
        if ways > 1:
            text = "-d names devices, -l and --all choose them: together they have two meanings"
            raise ConfigError(text, next_step="give one of the three")


class Selected(Struct, frozen=True):
    """`left_out`: names of devices that a label or `every` means too, and that do not offer what is asked."""

    devices: tuple[Device, ...]
    left_out: tuple[str, ...] = ()


def select(devices: Registry, selection: Selection, method: str) -> Selected:
    """The devices, each once, for a call of `method`: those that are named in that order, others by their names.

    One that is named and does not offer the method stays: its own error says why. Raises ConfigError, UnknownName.
    """
    selection.check()
    if selection.names:
        return Selected(tuple(dict.fromkeys(devices.get(name) for name in selection.names)))
    known = devices.list()
    found = [one for one in known if selection.means(one.labels)]
    if not found:
        if known:
            text = f"no device has the label {' and '.join(selection.labels)}"
        else:
            text = "this host knows no device"
        raise UnknownName(text, next_step="microclaw device list")
    offering = tuple(one for one in found if method in one.capabilities)
    left_out = tuple(one.name for one in found if method not in one.capabilities)
    if not offering:
        raise ConfigError(f"no device that is meant offers {method}: {names_text(left_out)}", next_step="give -d NAME")
    return Selected(offering, left_out)


def names_text(names: Sequence[str]) -> str:
    """The names, and how many more there are."""
    more = len(names) - MAX_SHOWN
    return ", ".join(names[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
