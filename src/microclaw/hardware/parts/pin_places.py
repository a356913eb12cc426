"""Finds the pins of a board at which a part can be wired, and proposes some of them. It changes no wiring."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.hardware.boards.pins import refusal
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.hardware.parts.reader import Part, PartPin, find_part
from microclaw.hardware.parts.wiring import (
    NEEDED_USE,
    WiredPart,
    Wiring,
    bus_pins,
    is_on_i2c,
    make_part,
    part_roles,
)
from microclaw.hardware.parts.wiring_check import PinUser, pin_users, pins_on

_BUS: Final = ("sda", "scl")


class BoardUse(Struct, frozen=True):
    """What is on a board: its wiring with what is soldered on, the pins that are free for each use, and who has others.

    `free` are the pins that need no care, as the host's rule has them. `holders` are the names of programs and parts.
    """

    board: BoardProfile
    wiring: Wiring
    free: Mapping[PinUse, Sequence[int]]
    holders: Mapping[int, str] = {}
    taken_ids: Collection[str] = ()


class PinPlace(Struct, frozen=True):
    """A GPIO for a role: `refused` says why the role cannot be there, `care` why one should think twice."""

    gpio: int
    refused: str | None = None
    care: str | None = None
    shared_with: tuple[str, ...] = ()


class RolePlaces(Struct, frozen=True):
    """A role of a part, the pin that is proposed for it (None if none is), and every pin of the board."""

    pin: PartPin
    proposed: int | None
    places: tuple[PinPlace, ...]


class AddressPlace(Struct, frozen=True):
    """An I2C address that the part can have; `holder` is the part that has it on the proposed bus."""

    address: int
    holder: str | None = None


class PartPlaces(Struct, frozen=True):
    """Where a part can be wired. `proposal` is None if that needs a choice, and `fault` says which."""

    part_id: str
    facts: Part
    roles: tuple[RolePlaces, ...]
    addresses: tuple[AddressPlace, ...]
    proposal: WiredPart | None
    fault: str | None = None


def places_of_new_part(use: BoardUse, name: str) -> PartPlaces:
    """Return where a further part of a kind can be wired. Raises UnknownName for an unknown kind."""
    facts = find_part(name)
    ids = {part.id for part in use.wiring.parts} | set(use.taken_ids)
    part_id = _numbered_id(name, ids)
    search = _Search(use, WiredPart(part_id, name))
    pins, fault = search.proposed_pins()
    bus = search.bus_of(pins)
    addresses = search.addresses(bus)
    proposal = None
    if fault is None:
        try:
            proposal = make_part(part_id, name, pins=pins, address=_first_free(addresses))
        except ConfigError as exc:
            fault = exc.message
    return PartPlaces(part_id, facts, search.roles(pins), addresses, proposal, fault)


def places_of_wired_part(use: BoardUse, part: WiredPart) -> PartPlaces:
    """Return where a part that is wired already can be moved to. Its own pins are proposed."""
    search = _Search(use, part)
    addresses: tuple[AddressPlace, ...] = ()
    if part.address is not None:
        addresses = search.addresses(bus_pins(part, use.board))
    return PartPlaces(part.id, part.facts, search.roles(pins_on(part, use.board)), addresses, part)


def _numbered_id(name: str, taken: Collection[str]) -> str:
    """Return the first free id of a part's name with a number: led1, led2, ssd1306-1."""
    joint = "-" if name[-1].isdigit() else ""
    number = 1
    while f"{name}{joint}{number}" in taken:
        number += 1
    return f"{name}{joint}{number}"


def _first_free(addresses: Sequence[AddressPlace]) -> int | None:
    for place in addresses:
        if place.holder is None:
            return place.address
    return None


class _Search:
    """Looks for the pins of one part, beside all other parts of the board."""

    def __init__(self, use: BoardUse, part: WiredPart) -> None:
        self._use = use
        self._board = use.board
        self._part = part
        self._facts = part.facts
        self._others = [other for other in use.wiring.parts if other.id != part.id]
        self._users = pin_users(self._others, use.board)

    def roles(self, pins: Mapping[str, int]) -> tuple[RolePlaces, ...]:
        """Return each role of the part with its pin among these, and every pin of the board."""
        rows = []
        for role, pin in part_roles(self._facts).items():
            places = tuple(self._place(pin, gpio) for gpio in sorted(self._board.pins))
            rows.append(RolePlaces(pin, pins.get(role), places))
        return tuple(rows)

    def proposed_pins(self) -> tuple[dict[str, int], str | None]:
        """Return pins for the roles that must be wired, and the reason if there are not enough."""
        pins: dict[str, int] = {}
        if is_on_i2c(self._facts, ()):
            bus = self._find_bus()
            if bus is None:
                return {}, "no pins for a bus with a free address: choose them"
            pins = dict(zip(_BUS, bus, strict=True))
        for pin in self._needed():
            gpio = self._shared_gpio(pin)
            if gpio is None:
                gpio = self._free_gpio(pin, pins.values())
            if gpio is None:
                return pins, f"no free pin for {pin.role} that needs no care: choose one"
            pins[pin.role] = gpio
        return pins, None

    def bus_of(self, pins: Mapping[str, int]) -> tuple[int, int] | None:
        """Return SDA and SCL of these pins, or None."""
        if not set(_BUS) <= pins.keys():
            return None
        return pins["sda"], pins["scl"]

    def addresses(self, bus: tuple[int, int] | None) -> tuple[AddressPlace, ...]:
        """Return the addresses of the part, each with the part that has it on this bus."""
        if self._facts.i2c is None:
            return ()
        holders: dict[int, str] = {}
        for other in self._others:
            if other.address is not None and bus_pins(other, self._board) == bus:
                holders[other.address] = other.id
        return tuple(AddressPlace(address, holders.get(address)) for address in self._facts.i2c.addresses)

    def _needed(self) -> list[PartPin]:
        """Return the pins that a proposal wires, beside a bus. A part with only optional ones gets all of them."""
        is_bus_part = is_on_i2c(self._facts, ())
        needed = []
        for pin in self._facts.pins:
            is_instead = pin.instead_of_i2c and is_bus_part
            # Parts on one SPI bus are told apart by their CS.
            if (not pin.optional or pin.role == "cs") and not is_instead:
                needed.append(pin)
        if needed or is_bus_part:
            return needed
        return list(self._facts.pins)

    def _find_bus(self) -> tuple[int, int] | None:
        """Return SDA and SCL: of a bus with a free address, else of the board, else of free pins."""
        for bus in self._buses():
            if self._may_join(bus) and _first_free(self.addresses(bus)) is not None:
                return bus
        free = [gpio for gpio in self._use.free.get("i2c", ()) if self._is_free(self._bus_pin("sda"), gpio)]
        if len(free) < len(_BUS):
            return None
        return free[0], free[1]

    def _buses(self) -> Iterator[tuple[int, int]]:
        for other in self._others:
            bus = bus_pins(other, self._board)
            if other.address is not None and bus is not None:
                yield bus
        if self._board.i2c is not None:
            yield self._board.i2c.sda, self._board.i2c.scl

    def _may_join(self, bus: tuple[int, int]) -> bool:
        for role, gpio in zip(_BUS, bus, strict=True):
            if self._place(self._bus_pin(role), gpio).refused is not None:
                return False
        return True

    def _bus_pin(self, role: str) -> PartPin:
        return part_roles(self._facts)[role]

    def _shared_gpio(self, pin: PartPin) -> int | None:
        """Return the GPIO of a bus that the part can join, or None."""
        user = PinUser(self._part, pin)
        for gpio, others in self._users.items():
            is_joint = all(other.may_share_with(user) and self._are_told_apart(other) for other in others)
            if is_joint and self._place(pin, gpio).refused is None:
                return gpio
        return None

    def _are_told_apart(self, other: PinUser) -> bool:
        """Return True if a program can speak to one of both on the same pin: by a number of its own, or by its CS."""
        if other.pin.use == "one-wire":
            return True
        return self._facts.pin("cs") is not None and "cs" in other.part.pins

    def _free_gpio(self, pin: PartPin, chosen: Collection[int]) -> int | None:
        for gpio in self._use.free.get(NEEDED_USE[pin.use], ()):
            if gpio not in chosen and self._is_free(pin, gpio):
                return gpio
        return None

    def _is_free(self, pin: PartPin, gpio: int) -> bool:
        """Return True for a pin without a part, beside those of the board's own I2C bus: sensors come there."""
        bus = self._board.i2c
        is_of_bus = bus is not None and gpio in (bus.sda, bus.scl)
        return not is_of_bus and gpio not in self._users and self._place(pin, gpio).refused is None

    def _place(self, pin: PartPin, gpio: int) -> PinPlace:
        reason = refusal(self._board, gpio, NEEDED_USE[pin.use])
        if reason is not None:
            return PinPlace(gpio, refused=reason)
        user = PinUser(self._part, pin)
        others = self._users.get(gpio, ())
        for other in others:
            if not other.may_share_with(user):
                return PinPlace(gpio, refused=f"{other.part.id} is there ({other.pin.role})")
        names = tuple(other.part.id for other in others)
        return PinPlace(gpio, care=self._care(gpio, names), shared_with=names)

    def _care(self, gpio: int, names: Sequence[str]) -> str | None:
        caution = self._board.pins[gpio].caution
        holder = self._use.holders.get(gpio)
        if caution is not None or holder is None or holder in (*names, self._part.id):
            return caution
        return f"{holder} uses it"
