"""Checks a wiring against its board: its pins, its buses and its names. It reads and changes none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.hardware.boards.pins import refusal
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import PartPin
from microclaw.hardware.parts.wiring import (
    NEEDED_USE,
    WIRING_STEP,
    WiredPart,
    Wiring,
    bus_pins,
    check_count,
    part_roles,
    wiring_of_board,
)

_SPI_WIRES: Final[Mapping[str, str]] = {"ds": "mosi", "shcp": "sck"}
"""The roles of shift registers, which take the data and the clock of an SPI bus, too."""


class PinUser(Struct, frozen=True):
    """A pin of a wired part, which uses a GPIO."""

    part: WiredPart
    pin: PartPin

    def may_share_with(self, other: PinUser) -> bool:
        """Return True if both may be on one GPIO: as the same wire of one bus."""
        is_of_other_part = self.part is not other.part
        is_same_wire = _wire_of(self.pin) == _wire_of(other.pin) and self.pin.use == other.pin.use
        return is_of_other_part and is_same_wire and self.pin.shared and other.pin.shared


def check_wiring(wiring: Wiring, board: BoardProfile) -> None:
    """Raise ConfigError for a wiring that this board, with what it has soldered on, cannot have.

    That is: more than MAX_PARTS, an id twice, a GPIO that the board lacks, reserves or cannot use so, a GPIO with two
    pins that cannot share it, an I2C address twice on one bus, an I2C part without pins on a board without I2C, and
    two parts on one SPI bus if one of them has no CS.
    """
    check_count(len(wiring.parts))
    ids: set[str] = set()
    labels: dict[str, str] = {}
    users: dict[int, PinUser] = {}
    addresses: dict[tuple[int, int], WiredPart] = {}
    parts = wiring_of_board(wiring, board).parts
    for part in parts:
        if part.id in ids:
            raise ConfigError(f"the wiring has two parts named {part.id}", next_step="give each its own id")
        ids.add(part.id)
        if part.label is not None and labels.setdefault(part.label.lower(), part.id) != part.id:
            text = f"{labels[part.label.lower()]} and {part.id} are both called {part.label!r}"
            raise ConfigError(text, next_step="give each part its own label")
        _check_address(part, addresses, board)
        for role, gpio in pins_on(part, board).items():
            _check_gpio(PinUser(part, part_roles(part.facts)[role]), gpio, users, board)
    _check_selection(parts)


def pin_users(parts: Iterable[WiredPart], board: BoardProfile) -> dict[int, list[PinUser]]:
    """Return the pins of wired parts, by the GPIOs that they use."""
    users: dict[int, list[PinUser]] = {}
    for part in parts:
        for role, gpio in pins_on(part, board).items():
            users.setdefault(gpio, []).append(PinUser(part, part_roles(part.facts)[role]))
    return users


def pins_on(part: WiredPart, board: BoardProfile) -> Mapping[str, int]:
    """Return the GPIOs of a part by its roles; a part on the board's own I2C bus has the pins of that bus."""
    bus = bus_pins(part, board)
    if part.address is None or bus is None:
        return part.pins
    return {**part.pins, "sda": bus[0], "scl": bus[1]}


def _check_address(part: WiredPart, addresses: dict[tuple[int, int], WiredPart], board: BoardProfile) -> None:
    if part.address is None:
        return
    bus = bus_pins(part, board)
    if bus is None:
        raise ConfigError(
            f"{part.id}: {board.title} has no I2C pins of its own", next_step="add sda = PIN and scl = PIN"
        )
    other = addresses.setdefault((bus[0], part.address), part)
    if other is not part:
        text = f"{other.id} and {part.id} are both at 0x{part.address:02x}"
        raise ConfigError(text, next_step="set another address with the part's address pins")


def _check_gpio(user: PinUser, gpio: int, users: dict[int, PinUser], board: BoardProfile) -> None:
    part = user.part
    role = user.pin.role
    reason = refusal(board, gpio, NEEDED_USE[user.pin.use])
    if reason is not None:
        raise ConfigError(f"{part.id}: {role} on pin {gpio}: {reason}", next_step=WIRING_STEP)
    other = users.setdefault(gpio, user)
    if other is user or other.may_share_with(user):
        return
    if other.part is part:
        text = f"{part.id}: {other.pin.role} and {role} are both on pin {gpio}"
        raise ConfigError(text, next_step="wire one of them to another pin")
    text = f"pin {gpio} has two parts: {other.part.id} and {part.id}"
    if "i2c" in (other.pin.use, user.pin.use):
        text = f"pin {gpio} has {other.part.id} ({other.pin.role}) and {part.id} ({role})"
    raise ConfigError(text, next_step="wire one of them to another pin")


def _wire_of(pin: PartPin) -> str:
    return _SPI_WIRES.get(pin.role, pin.role)


def _check_selection(parts: Sequence[WiredPart]) -> None:
    """Raise ConfigError for a part that takes what is sent to another one on its SPI bus."""
    buses: dict[tuple[int, int], WiredPart] = {}
    for part in parts:
        sck = part.pins.get("sck")
        mosi = part.pins.get("mosi")
        if sck is None or mosi is None:
            continue
        other = buses.setdefault((sck, mosi), part)
        is_selected = "cs" in part.pins and "cs" in other.pins
        if other is not part and not is_selected:
            text = f"{other.id} and {part.id} are on one SPI bus, and one of them has no cs"
            raise ConfigError(text, next_step="wire the cs of each to its own pin")
