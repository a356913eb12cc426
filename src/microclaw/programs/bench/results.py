"""What GET bench says of a board: its wired parts with their facts and their states, and its pins."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import Struct
from msgspec.structs import asdict

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import Part, PartKind, ValueRange, quantities
from microclaw.hardware.parts.wiring import WiredPart, bus_pins, part_roles, soldered_parts, with_boot_button
from microclaw.host.operations.result import Listing
from microclaw.programs.bench.board_bench import BenchReading, BoardBench
from microclaw.programs.bench.hands import no_hands_text
from microclaw.programs.bench.states import BenchPin, BenchState, value_names

_WHOLE_STEP: Final = 1.0
_DARK: Final = "000000"
_BUS_USES: Final = {"sda": "i2c data", "scl": "i2c clock"}


class BenchValue(Struct, frozen=True, kw_only=True):
    """A value of a part's state. `sets`: hands can set it. `choices`: only these are possible."""

    least: float | None
    most: float | None
    unit: str
    step: float
    sets: bool
    choices: list[float]


class BenchPinUse(Struct, frozen=True, kw_only=True):
    """A pin of a part, and the GPIO that it is wired to."""

    role: str
    use: str
    gpio: int


class BenchPart(BenchState, frozen=True, kw_only=True):
    """A wired part: its facts and its state. `attributes` are all that its kind has."""

    id: str
    part: str
    title: str
    kind: PartKind
    label: str | None
    active: str
    address: int | None
    soldered: bool
    attributes: dict[str, float]
    pins: list[BenchPinUse]
    values: dict[str, BenchValue]

    @property
    def place(self) -> str:
        """Its pins by their roles, and its I2C address."""
        places = []
        for pin in self.pins:
            places.append(f"{pin.role} {pin.gpio}")
        if self.address is not None:
            places.append(f"0x{self.address:02x}")
        return ", ".join(places)

    @property
    def shown(self) -> str | None:
        """Its state in one line; None if nothing of it is known."""
        texts = []
        for name, value in self.state.items():
            if value is not None:
                texts.append(f"{name} {value:g} {self.values[name].unit}".rstrip())
        if self.colors is not None:
            lit_count = sum(color != _DARK for color in self.colors)
            texts.append(f"{lit_count} of {len(self.colors)} LEDs lit")
        if self.says is not None:
            texts.append(self.says)
        elif self.screen is not None:
            texts.append("a picture")
        return ", ".join(texts) or None

    @property
    def known(self) -> str:
        """How its state is known."""
        return self.source


class DeviceBench(Listing, frozen=True, kw_only=True):
    """The parts that are wired to a device, as they are now, and the pins that are wired or in use.

    `hands`: parts can be moved from here; `no_hands` says why not. `now_ms` is the board's time. `wiring` is another
    text if the wiring is another one. `fault` is why nothing is read.
    """

    document: ClassVar = "bench"
    columns: ClassVar = {
        "ID": "id",
        "PART": "part",
        "PINS": "place",
        "STATE": "shown",
        "KNOWN": "known",
    }
    empty: ClassVar = "nothing is wired there, as far as this host knows"

    parts: list[BenchPart]
    device: str
    board: str
    virtual: bool
    hands: bool
    no_hands: str | None
    now_ms: float | None
    wiring: str
    pins: list[BenchPin]
    fault: str | None

    @property
    def note(self) -> str:
        return self.fault or ""


def bench_of(bench: BoardBench, reading: BenchReading) -> DeviceBench:
    """Return a reading of a board with the facts of its parts."""
    device = bench.device
    parts = []
    for wired in bench.wiring.parts:
        parts.append(bench_part(device.board, wired, reading.parts[wired.id]))
    no_hands = no_hands_text(device)
    return DeviceBench(
        parts=parts,
        device=device.name,
        board=device.board.board_id,
        virtual=bench.is_virtual,
        hands=no_hands is None,
        no_hands=no_hands,
        now_ms=reading.now_ms,
        wiring=reading.wiring,
        pins=list(reading.pins.values()),
        fault=reading.fault,
    )


def bench_part(board: BoardProfile, wired: WiredPart, state: BenchState) -> BenchPart:
    """Return a part that is wired to a board, with its state."""
    facts = wired.facts
    attributes = {}
    for name, attribute in facts.attributes.items():
        attributes[name] = wired.attributes.get(name, attribute.default)
    return BenchPart(
        id=wired.id,
        part=wired.part,
        title=facts.title,
        kind=facts.kind,
        label=wired.label,
        active=wired.active,
        address=wired.address,
        soldered=wired in with_boot_button(soldered_parts(board), board).parts,
        attributes=attributes,
        pins=_pin_uses(board, wired),
        values=_values(facts),
        **asdict(state),
    )


def _pin_uses(board: BoardProfile, wired: WiredPart) -> list[BenchPinUse]:
    """Return the pins of a part in the order of its file, then those of its bus."""
    uses = []
    for role, pin in part_roles(wired.facts).items():
        if role in wired.pins and role not in _BUS_USES:
            uses.append(BenchPinUse(role=role, use=pin.use, gpio=wired.pins[role]))
    bus = None
    if wired.address is not None:
        bus = bus_pins(wired, board)
    if bus is not None:
        for role, gpio in zip(_BUS_USES, bus, strict=True):
            uses.append(BenchPinUse(role=role, use=_BUS_USES[role], gpio=gpio))
    return uses


def _values(facts: Part) -> dict[str, BenchValue]:
    """Return the values of a part's state with their ranges."""
    values = {}
    for name in value_names(facts):
        value_range = facts.inputs.get(name) or facts.measures.get(name)
        if value_range is None:
            shown = facts.shows[name]
            values[name] = BenchValue(
                least=shown.least,
                most=shown.most,
                unit=shown.unit,
                step=shown.slack or _WHOLE_STEP,
                sets=False,
                choices=[],
            )
        else:
            values[name] = _ranged_value(facts, name, value_range)
    return values


def _ranged_value(facts: Part, name: str, value_range: ValueRange) -> BenchValue:
    unit = value_range.unit
    step = _WHOLE_STEP
    if name in facts.measures:
        quantity = quantities()[name]
        unit = quantity.unit
        step = 10.0**-quantity.decimals
    return BenchValue(
        least=value_range.least,
        most=value_range.most,
        unit=unit,
        step=step,
        sets=not value_range.follows,
        choices=list(value_range.choices),
    )
