"""Reads Wokwi's diagram.json, and joins its wires to nets. Knows no parts of ours; diagram.py makes a wiring of it.

The format: docs.wokwi.com, "diagram.json file format". A wire goes from `id:pin` to `id:pin`. On a breadboard the five
holes of a half column are one net ("bb1:6t.a"), and so is a rail ("bb1:tp.3").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from microclaw.conversion import decode_json
from microclaw.errors import ConfigError, over_limit
from microclaw.tables import read_table

MAX_DIAGRAM_BYTES: Final = 1_000_000
MAX_DIAGRAM_PARTS: Final = 500
MAX_WIRES: Final = 4_000
RESISTOR_TYPE: Final = "wokwi-resistor"
MATRIX_SIDES: Final = ("rows", "cols")
"""The attributes of a matrix whose product is the number of its LEDs."""
OWN_PREFIX: Final = "microclaw:"
"""The beginning of the attributes that a written diagram has for what the format has no attribute for."""

Power: TypeAlias = Literal["ground", "power"]

_HOLE: Final = re.compile(r"(\d+[tb])\.[a-j]")
_RAIL: Final = re.compile(r"([tb][pn])\.\d+")
_GPIO: Final = re.compile(r"(?:GPIO|IO|GP)?(\d{1,2})(?:\.\d+)?")
_D_GPIO: Final = re.compile(r"D(\d{1,2})")
_GROUND: Final = re.compile(r"(?:GND|VSS)(?:[._]?\w+)?", re.IGNORECASE)
_POWER: Final = re.compile(r"(?:VCC|VDD|3V3|5V|VIN|VBUS|3\.3V|VSYS|3V|V\+)(?:[._]\w+)?", re.IGNORECASE)
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
    """The ends that are connected: the board's GPIOs, ground and power, and every end as "id:pin".

    `pulls`: where resistors pull it to.
    """

    gpios: frozenset[int]
    powers: frozenset[Power]
    ends: frozenset[str]
    pulls: frozenset[Power] = frozenset()

    @property
    def is_open(self) -> bool:
        """True if no wire leads there: all its ends are of one part."""
        part_id, colon, _ = next(iter(self.ends)).partition(":")
        return all(end.startswith(part_id + colon) for end in self.ends)


class Diagram:
    """The parts and nets of a diagram. Raises ConfigError for text that is none, or is too large.

    `joined` has the pins that are one inside a part, by the part's type. Nets do not pass through resistors, except
    through those that only carry a signal on: see `_join_series_resistors`.
    """

    def __init__(self, text: str, joined: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        file = _parse(text)
        self.parts: Mapping[str, DiagramPart] = {part.id: part for part in file.parts}
        if len(self.parts) < len(file.parts):
            raise ConfigError("two parts of the diagram have one id", next_step="give each part its own id")
        self.board: DiagramPart | None = self._find_board()
        self._sets = _DisjointSets()
        for first, second in _wires(file):
            self._sets.join(self._end(first), self._end(second))
        for part in self.parts.values():
            for first, second in joined.get(part.type, ()):
                self._sets.join(f"{part.id}:{first}", f"{part.id}:{second}")
        self._join_series_resistors()
        self._nets = self._make_nets()
        self._pins = self._pins_by_part()

    @property
    def board_profile(self) -> str | None:
        """The name of our profile of the board, or None if there is none."""
        if self.board is None:
            return None
        profile: str | None = diagram_boards()[self.board.type].get("profile")
        return profile

    @property
    def board_chip(self) -> str | None:
        """The chip of the board, as our profiles name it; None if it has none that they know."""
        if self.board is None:
            return None
        chip: str | None = diagram_boards()[self.board.type].get("chip")
        return chip

    def net(self, part_id: str, pin: str) -> Net:
        """Return the net of a part's pin; it has that end alone if no wire leads there."""
        end = f"{part_id}:{pin}"
        net = self._nets.get(end)
        if net is None:
            return Net(frozenset(), frozenset(), frozenset({end}))
        return net

    def pins_of(self, part_id: str) -> Sequence[str]:
        """Return the pins of a part that wires name, sorted."""
        return self._pins.get(part_id, ())

    def unknown_parts(self) -> list[str]:
        """Return the ids that wires name and that no part has, sorted. Wokwi's own begin with $ ("$serialMonitor")."""
        return sorted(name for name in self._pins if name not in self.parts and not name.startswith("$"))

    def _make_nets(self) -> dict[str, Net]:
        """Return the net of each end; the ends of one net have the same object."""
        nets: dict[str, Net] = {}
        pulls = self._pulls()
        for ends in self._sets.sets():
            gpios, powers = self._places(ends)
            net = Net(gpios, powers, frozenset(ends), frozenset(pulls.get(id(ends), ())))
            for end in ends:
                nets[end] = net
        return nets

    def _pulls(self) -> dict[int, set[Power]]:
        """Return where resistors pull each set of ends to, by the identity of the set."""
        powers: dict[int, frozenset[Power]] = {}
        for ends in self._sets.sets():
            powers[id(ends)] = self._places(ends)[1]
        pulls: dict[int, set[Power]] = {}
        for part in self._resistors():
            first = id(self._sets.find(f"{part.id}:1"))
            second = id(self._sets.find(f"{part.id}:2"))
            if first != second:
                pulls.setdefault(first, set()).update(powers.get(second, ()))
                pulls.setdefault(second, set()).update(powers.get(first, ()))
        return pulls

    def _pins_by_part(self) -> dict[str, list[str]]:
        pins: dict[str, list[str]] = {}
        for end in sorted(self._nets):
            part_id, _, pin = end.partition(":")
            pins.setdefault(part_id, []).append(pin)
        return pins

    def _resistors(self) -> list[DiagramPart]:
        return [part for part in self.parts.values() if part.type == RESISTOR_TYPE]

    def _join_series_resistors(self) -> None:
        """Join the two sides of a resistor if one of them has neither a GPIO nor power.

        Such a resistor limits a current, and the part behind it hangs on the GPIO. One between a GPIO and power pulls
        the GPIO, and joining it would make one net of everything. A side never loses what it has: one pass is enough.
        """
        for part in self._resistors():
            self._sets.find(f"{part.id}:1")
            self._sets.find(f"{part.id}:2")
        # Held until the end: the identity of a set that is gone could be that of another one.
        sets = self._sets.sets()
        has_level: dict[int, bool] = {}
        for ends in sets:
            gpios, powers = self._places(ends)
            has_level[id(ends)] = bool(gpios or powers)
        for part in self._resistors():
            first = self._sets.find(f"{part.id}:1")
            second = self._sets.find(f"{part.id}:2")
            is_first_level = has_level[id(first)]
            is_second_level = has_level[id(second)]
            if is_first_level and is_second_level:
                continue
            both = self._sets.join(f"{part.id}:1", f"{part.id}:2")
            has_level[id(both)] = is_first_level or is_second_level

    def _find_board(self) -> DiagramPart | None:
        for part in self.parts.values():
            if part.type in diagram_boards():
                return part
        return None

    def _end(self, end: str) -> str:
        """Return the end; holes of a half column of a breadboard, and places on a rail, have one name."""
        part_id, _, pin = end.partition(":")
        match = _HOLE.fullmatch(pin) or _RAIL.fullmatch(pin)
        if match is not None:
            return f"{part_id}:{match[1]}"
        return end

    def _places(self, ends: Collection[str]) -> tuple[frozenset[int], frozenset[Power]]:
        """Return the GPIOs of the board and the supplies that these ends have."""
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
        return frozenset(gpios), frozenset(powers)


def _parse(text: str) -> _DiagramFile:
    size = len(text.encode())
    if size > MAX_DIAGRAM_BYTES:
        raise ConfigError(over_limit("the diagram", MAX_DIAGRAM_BYTES, "byte", size), next_step=_NEXT)
    try:
        file = decode_json(text, _DiagramFile)
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


def diagram_boards() -> Mapping[str, Mapping[str, Any]]:
    """Return what diagram_boards.toml says of each board, by its type."""
    boards: Mapping[str, Mapping[str, Any]] = read_table(__package__, "diagram_boards")
    return boards


def _gpio_of(board_type: str, pin: str) -> int | None:
    """Return the GPIO that a pin of the board is, or None."""
    board = diagram_boards()[board_type]
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

    def join(self, first: str, second: str) -> set[str]:
        """Join the sets of two ends, and return the set that both are in."""
        larger = self.find(first)
        smaller = self.find(second)
        if larger is smaller:
            return larger
        if len(larger) < len(smaller):
            larger, smaller = smaller, larger
        larger |= smaller
        for end in smaller:
            self._sets[end] = larger
        return larger

    def find(self, end: str) -> set[str]:
        """Return the set of an end, which is the same object for all its ends."""
        return self._sets.setdefault(end, {end})

    def sets(self) -> list[set[str]]:
        """Return each set once."""
        by_identity = {id(ends): ends for ends in self._sets.values()}
        return list(by_identity.values())
