"""Reads Wokwi's diagram.json, and joins its wires to nets. Knows no parts of ours; diagram.py makes a wiring of it.

The format: docs.wokwi.com, "diagram.json file format". A wire goes from `id:pin` to `id:pin`. On a breadboard the five
holes of a half column are one net ("bb1:6t.a"), and so is a rail ("bb1:tp.3").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.tables import read_table

MAX_DIAGRAM_BYTES: Final = 1_048_576
MAX_DIAGRAM_PARTS: Final = 500
MAX_WIRES: Final = 4_000
MAX_RESISTORS_IN_A_ROW: Final = 20

Power: TypeAlias = Literal["ground", "power"]

_HOLE: Final = re.compile(r"(\d+[tb])\.[a-j]")
_RAIL: Final = re.compile(r"([tb][pn])\.\d+")
_GPIO: Final = re.compile(r"(?:GPIO|IO|GP)?(\d{1,2})(?:\.\d+)?")
_D_GPIO: Final = re.compile(r"D(\d{1,2})")
_GROUND: Final = re.compile(r"(?:GND|VSS)(?:[._]?\w+)?", re.IGNORECASE)
_POWER: Final = re.compile(r"(?:VCC|VDD|3V3|5V|VIN|VBUS|3\.3V|VSYS|3V|V\+)(?:[._]\w+)?", re.IGNORECASE)
_RESISTOR: Final = "wokwi-resistor"
_SYMBOLS: Final[Mapping[str, Power]] = {"wokwi-gnd": "ground", "wokwi-vcc": "power"}
_NEXT: Final = "docs/wiring.md has what a diagram may have"


class DiagramPart(Struct, frozen=True):
    """A part as the file has it."""

    id: str
    type: str
    attrs: Mapping[str, Any] | None = None

    def attribute(self, name: str) -> str | None:
        """Return an attribute as text, or None if it is not there."""
        value = (self.attrs or {}).get(name)
        if value is None:
            return None
        return str(value)


class _DiagramFile(Struct, frozen=True):
    parts: list[DiagramPart]
    connections: list[list[Any]] = []


class Net(Struct, frozen=True):
    """The ends that are connected: the board's GPIOs, ground and power, and every end as "id:pin"."""

    gpios: frozenset[int]
    powers: frozenset[Power]
    ends: frozenset[str]


class Diagram:
    """The parts and nets of a diagram. Raises ConfigError for text that is none, or is too large.

    Nets do not pass through resistors, except through those that only carry a signal on: see `_join_series_resistors`.
    """

    def __init__(self, text: str) -> None:
        file = _parse(text)
        self.parts: Mapping[str, DiagramPart] = {part.id: part for part in file.parts}
        if len(self.parts) < len(file.parts):
            raise ConfigError("two parts of the diagram have one id", next_step="give each part its own id")
        self.board: DiagramPart | None = self._find_board()
        self._sets = _DisjointSets()
        for first, second in _wires(file):
            self._sets.join(self._end(first), self._end(second))
        self._join_series_resistors()

    @property
    def board_profile(self) -> str | None:
        """The name of our profile of the board, or None if there is none."""
        if self.board is None:
            return None
        profile: str | None = _boards()[self.board.type].get("profile")
        return profile

    def net(self, part_id: str, pin: str) -> Net:
        """Return the net of a part's pin; it has that end alone if no wire leads there."""
        return self._net_of(self._sets.members(f"{part_id}:{pin}"))

    def pins_of(self, part_id: str) -> list[str]:
        """Return the pins of a part that wires name, sorted."""
        prefix = f"{part_id}:"
        return sorted(end.removeprefix(prefix) for end in self._sets.ends() if end.startswith(prefix))

    def join_pins(self, part_id: str, first: str, second: str) -> None:
        """Connect two pins that are one inside the part."""
        self._sets.join(f"{part_id}:{first}", f"{part_id}:{second}")

    def pulls(self, net: Net) -> frozenset[Power]:
        """Return where resistors pull this net to: ground, power, both or nowhere."""
        pulls = set[Power]()
        for other in self._behind_resistors(net):
            pulls |= other.powers
        return frozenset(pulls)

    def _behind_resistors(self, net: Net) -> Iterator[Net]:
        """Yield the net at the other side of each resistor at this net."""
        for part in self.parts.values():
            if part.type != _RESISTOR:
                continue
            first = self.net(part.id, "1")
            second = self.net(part.id, "2")
            if first.ends == net.ends and second.ends != net.ends:
                yield second
            elif second.ends == net.ends and first.ends != net.ends:
                yield first

    def _join_series_resistors(self) -> None:
        """Join the two sides of a resistor if one of them has neither a GPIO nor power.

        Such a resistor limits a current, and the part behind it hangs on the GPIO. One between a GPIO and power pulls
        the GPIO, and joining it would make one net of everything.
        """
        resistors = [part for part in self.parts.values() if part.type == _RESISTOR]
        for _ in range(MAX_RESISTORS_IN_A_ROW):
            pulling = [part for part in resistors if not self._join_if_in_series(part)]
            if len(pulling) == len(resistors):
                return
            resistors = pulling

    def _join_if_in_series(self, resistor: DiagramPart) -> bool:
        for pin in ("1", "2"):
            side = self.net(resistor.id, pin)
            if not side.gpios and not side.powers:
                self.join_pins(resistor.id, "1", "2")
                return True
        return False

    def _find_board(self) -> DiagramPart | None:
        for part in self.parts.values():
            if part.type in _boards():
                return part
        return None

    def _end(self, end: str) -> str:
        """Return the end; holes of a half column of a breadboard, and places on a rail, have one name."""
        part_id, _, pin = end.partition(":")
        match = _HOLE.fullmatch(pin) or _RAIL.fullmatch(pin)
        if match is not None:
            return f"{part_id}:{match[1]}"
        return end

    def _net_of(self, ends: frozenset[str]) -> Net:
        gpios = set[int]()
        powers = set[Power]()
        for end in ends:
            part_id, _, pin = end.partition(":")
            part = self.parts.get(part_id)
            if part is None:
                continue
            if part.type in _SYMBOLS:
                powers.add(_SYMBOLS[part.type])
            elif part is self.board:
                gpio = _gpio_of(part.type, pin)
                power = _power_of(pin)
                if gpio is not None:
                    gpios.add(gpio)
                elif power is not None:
                    powers.add(power)
        return Net(frozenset(gpios), frozenset(powers), ends)


def _parse(text: str) -> _DiagramFile:
    size = len(text.encode())
    if size > MAX_DIAGRAM_BYTES:
        raise ConfigError(f"the diagram has {size} bytes, at most {MAX_DIAGRAM_BYTES}", next_step=_NEXT)
    try:
        file = msgspec.json.decode(text, type=_DiagramFile)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise ConfigError(f"this is no diagram.json: {exc}", next_step=_NEXT) from exc
    if len(file.parts) > MAX_DIAGRAM_PARTS or len(file.connections) > MAX_WIRES:
        text = f"the diagram has {len(file.parts)} parts and {len(file.connections)} wires"
        raise ConfigError(f"{text}, at most {MAX_DIAGRAM_PARTS} and {MAX_WIRES}", next_step=_NEXT)
    return file


def _wires(file: _DiagramFile) -> Iterator[tuple[str, str]]:
    for wire in file.connections:
        ends = wire[:2]
        if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
            raise ConfigError(f"the diagram has a wire without two ends: {wire!r:.60}", next_step=_NEXT)
        yield ends[0], ends[1]


def _boards() -> Mapping[str, Mapping[str, Any]]:
    boards: Mapping[str, Mapping[str, Any]] = read_table(__package__, "diagram_boards")
    return boards


def _gpio_of(board_type: str, pin: str) -> int | None:
    """Return the GPIO that a pin of the board is, or None."""
    board = _boards()[board_type]
    named = board["names"].get(pin)
    if named is not None:
        return int(named)
    match = _GPIO.fullmatch(pin)
    if match is None and board.get("d_is_gpio", False):
        match = _D_GPIO.fullmatch(pin)
    if match is None:
        return None
    return int(match[1])


def _power_of(pin: str) -> Power | None:
    if _GROUND.fullmatch(pin):
        return "ground"
    if _POWER.fullmatch(pin):
        return "power"
    return None


class _DisjointSets:
    """Sets of ends that are joined (union by size, with the members of each set)."""

    def __init__(self) -> None:
        self._sets: dict[str, set[str]] = {}

    def join(self, first: str, second: str) -> None:
        larger = self._sets.setdefault(first, {first})
        smaller = self._sets.setdefault(second, {second})
        if larger is smaller:
            return
        if len(larger) < len(smaller):
            larger, smaller = smaller, larger
        larger |= smaller
        for end in smaller:
            self._sets[end] = larger

    def members(self, end: str) -> frozenset[str]:
        return frozenset(self._sets.get(end, {end}))

    def ends(self) -> Iterator[str]:
        yield from self._sets
