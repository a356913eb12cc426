"""Reads the files of the parts: quantities.toml and NAME/part.toml. Facts alone; other rooms derive their tables."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, ValidationError

from microclaw.conversion import convert
from microclaw.errors import ConfigError, UnknownName

PartKind: TypeAlias = Literal["sensor", "actuator", "leds", "input", "display", "clock", "expander"]
PartPinUse: TypeAlias = Literal["input", "output", "pwm", "adc", "one-wire", "single-wire", "i2c"]
Rail: TypeAlias = Literal["ground", "power"]
Active: TypeAlias = Literal["high", "low"]

FOLDER: Final = Path(__file__).parent
"""The folder of the parts' folders and of quantities.toml."""
_PART_FILE: Final = "part.toml"


class Quantity(Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of measured value. quantities.toml says what each field is."""

    reading: str
    unit: str
    spoken_unit: str
    decimals: int
    possible: tuple[float, float]
    home_assistant: str
    words: Mapping[str, str]


class ValueRange(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that a part has or measures, in its quantity's unit.

    `default` is the virtual part's first value, `sample` another value within the range for trials. `follows`: it is
    computed from these, and nobody sets it. `choices`: only these values are possible. `names`: what people call each
    of them, if they are no quantities.
    """

    least: float
    most: float
    default: float = 0.0
    sample: float | None = None
    unit: str = ""
    follows: tuple[str, ...] = ()
    choices: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


class ShownValue(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that the part shows, as where a motor stands. `slack`: two values that differ by it are the same.

    `least` and `most` are the ends of its range, None if it has none.
    """

    unit: str = ""
    slack: float = 0.0
    least: float | None = None
    most: float | None = None


class KnownValue(Struct, frozen=True, forbid_unknown_fields=True):
    """How a value of the part follows from what is at its pin `role`, on any board.

    `by` is "level" (1 while the pin is active for any of the time), "share" (of the time in which it is active; in
    percent if that is the value's unit), "frequency" (of its PWM, 0 without) or "pulse": a pulse of the first or the
    last of `pulses_us` is the first or the last of `values`, if there are as many pulses a second as `rates_hz` says.
    `active` is the pin's active level, None if the wiring says it.
    """

    role: str
    by: Literal["level", "share", "frequency", "pulse"]
    active: Active | None = None
    pulses_us: tuple[float, float] = (0.0, 0.0)
    values: tuple[float, float] = (0.0, 0.0)
    rates_hz: tuple[float, float] = (0.0, 0.0)


class I2cFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the part answers: 7-bit addresses, the usual one first, and the highest clock of its bus."""

    addresses: tuple[int, ...]
    max_hz: int = 400_000


class PartPin(Struct, frozen=True, forbid_unknown_fields=True):
    """A pin of the part that is wired to a GPIO.

    `use` is what the GPIO must be able to do. `needs`: why a slow program cannot drive it ("pulses of 26 us").
    `polarity`: it can be wired so that low is on, or so that high is; `active` is the usual one. `shared`: several
    parts may share this GPIO. `optional`: it may be left open.
    `passive`: it only connects the part's pins with each other, so a program may drive it. `instead_of_i2c`: a part
    with one of these pins is not on I2C.
    """

    role: str
    use: PartPinUse
    needs: str | None = None
    polarity: bool = False
    active: Active = "high"
    shared: bool = False
    optional: bool = False
    passive: bool = False
    instead_of_i2c: bool = False


class Stimulus(Struct, frozen=True, forbid_unknown_fields=True):
    """A verb of expectations: `press btn1 at 2 s for 100 ms` sets the value `sets` to `to`, and to `back` afterwards.

    `for_ms` is how long, if the line does not say it; None if the value stays. `argument`: the line has a number
    ("turn enc1 by 3") or a quoted key ("press keypad1 "5""), which is the value or, for a key, its name.
    """

    sets: str
    example: str
    to: float | None = None
    back: float | None = None
    for_ms: float | None = None
    argument: Literal["number", "key"] | None = None


class Serves(Struct, frozen=True, forbid_unknown_fields=True):
    """The names under which programs include or import the part's library.

    `constructors`: the Python classes that programs make with the part's pins ("module.Class"). Each has its
    parameters in their order, with the role or the attribute that each gives: "bus" is an I2C object, "address" the
    part's number on it, "address offset" a number that the driver adds to its usual address, "" anything else.
    `addresses`: the usual address of such a driver, if it is another than the part's. `classes`: the classes of
    Arduino libraries that stand for an I2C part, with the address that the library takes if a sketch gives none.
    `class_attributes`: what the name of such a class says of the part.
    """

    arduino: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    constructors: Mapping[str, Mapping[str, str]] = {}
    addresses: Mapping[str, int] = {}
    classes: Mapping[str, int] = {}
    class_attributes: Mapping[str, Mapping[str, float]] = {}


class OutputFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """The part that stands for a part whose pins are at the outputs of shift registers.

    `attributes` are those of that part, each of which is the number of an output, by the pins.
    """

    part: str
    attributes: Mapping[str, str]


class WokwiForm(Struct, frozen=True, forbid_unknown_fields=True):
    """How a part is written to a diagram.json, if it is in a certain form.

    That is: it is on I2C (`if_i2c`), this attribute is not the usual one (`if_changed`), or its LEDs are the product of
    its width and height (`is_matrix`). `type` is its type, if it is not the first of its types. `names` are the pins
    that this type has, where other types have other names for the same role or rail. `attributes` are those of the
    diagram, beside the part's own.
    """

    if_i2c: bool = False
    if_changed: str | None = None
    is_matrix: bool = False
    type: str | None = None
    names: tuple[str, ...] = ()
    attributes: Mapping[str, str] = {}


class WokwiFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """How the part stands in a diagram.json: its types, their pins by our role, attributes by ours.

    A part is written with the first type, and the first of several names for a role or a rail; else the first of
    `forms` says how.
    `joined`: pins that are one inside the part. `chained`: the output that feeds the next part's input. `low_if`:
    attributes, each with the text that makes low mean "on". `texts`: attributes with words, each word with our
    attributes that follow from it; "" stands for a diagram without the attribute. `outputs`: the outputs of a shift
    register, in their order.
    `supply`: the pins of its supply, each with its rail; names of one rail stand for each other. `levels`: pins that
    need a rail, or a GPIO. `pulled`: pins that the part itself holds there, if they are open. `others`: pins that do
    nothing in a simulation.
    `legs`: its two ends, one of them on a GPIO, the other on a rail. `anode`: the leg through which the current comes.
    `throw`: the third contact of a switch, which closes when the second leg opens. `common`: the pin that several LEDs
    share; on the supply it makes low mean "on". `rails`: pins without a GPIO, which are on the supply if that attribute
    of ours is 1, else on ground. `address_pin`: on the supply it gives the part its second address.
    """

    types: tuple[str, ...]
    pins: Mapping[str, str] = {}
    attributes: Mapping[str, str] = {}
    joined: tuple[tuple[str, str], ...] = ()
    chained: Mapping[str, str] = {}
    low_if: Mapping[str, str] = {}
    texts: Mapping[str, Mapping[str, Mapping[str, float]]] = {}
    outputs: tuple[str, ...] = ()
    over_outputs: OutputFacts | None = None
    supply: Mapping[str, Rail] = {}
    levels: Mapping[str, Rail] = {}
    pulled: Mapping[str, Rail] = {}
    others: tuple[str, ...] = ()
    legs: tuple[str, ...] = ()
    anode: str | None = None
    throw: str | None = None
    common: str | None = None
    rails: Mapping[str, str] = {}
    address_pin: str | None = None
    forms: tuple[WokwiForm, ...] = ()

    @property
    def all_pins(self) -> tuple[str, ...]:
        """The names of all its pins."""
        names = [*self.pins, *self.supply, *self.levels, *self.pulled, *self.chained, *self.others]
        if self.common is not None:
            names.append(self.common)
        return tuple(dict.fromkeys(names))

    @property
    def leg_pins(self) -> tuple[str, ...]:
        """The names of its legs, also those that are one inside the part."""
        if not self.legs:
            return ()
        names = [*self.legs]
        if self.throw is not None:
            names.append(self.throw)
        for first, second in self.joined:
            names += (first, second)
        return tuple(names)

    def other_leg(self, leg: str) -> str:
        """Return the other one of its two legs."""
        first, second = self.legs
        if leg == first:
            return second
        return first


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """The facts of a part. `name` is its folder. `generic`: it stands for a part of which only its pin is known."""

    name: str
    title: str
    kind: PartKind
    source: str
    generic: bool = False
    words: Mapping[str, str] = {}
    i2c: I2cFacts | None = None
    pins: tuple[PartPin, ...] = ()
    measures: Mapping[str, ValueRange] = {}
    inputs: Mapping[str, ValueRange] = {}
    attributes: Mapping[str, ValueRange] = {}
    shows: Mapping[str, ShownValue] = {}
    known: Mapping[str, KnownValue] = {}
    stimuli: Mapping[str, Stimulus] = {}
    serves: Serves = Serves()
    wokwi: WokwiFacts | None = None

    @property
    def wokwi_facts(self) -> WokwiFacts:
        """How it stands in a diagram.json; without types if it has no counterpart there."""
        return self.wokwi or WokwiFacts(types=())

    @property
    def reading_fields(self) -> tuple[str, ...]:
        """The fields of its reading, in the order of its file: ("temperature_c", "humidity_pct")."""
        fields = []
        for name in self.measures:
            fields.append(quantities()[name].reading)
        return tuple(fields)

    def pin(self, role: str) -> PartPin | None:
        """Return the pin of that role, or None if the part has none."""
        for pin in self.pins:
            if pin.role == role:
                return pin
        return None


class PartTable(Mapping[str, Part]):
    """The parts by the names of their folders. A part's file is read when the part is asked for the first time."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = {folder.name: folder for folder in folders}
        self._parts: dict[str, Part] = {}

    def __getitem__(self, name: str) -> Part:
        """Return the part of that name. Raises KeyError, or ConfigError if its file is wrong."""
        part = self._parts.get(name)
        if part is None:
            part = read_part(self._folders[name])
            self._parts[name] = part
        return part

    def __contains__(self, name: object) -> bool:
        return name in self._folders

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)


@functools.cache
def quantities() -> Mapping[str, Quantity]:
    """Return every quantity by its name."""
    text = (FOLDER / "quantities.toml").read_text(encoding="utf-8")
    table: Mapping[str, Quantity] = _parse(text, dict[str, Quantity], "quantities.toml")
    return table


@functools.cache
def part_folders() -> tuple[Path, ...]:
    """Return the folders that have parts, one for each part, sorted by name."""
    folders = []
    for path in FOLDER.glob(f"*/{_PART_FILE}"):
        folders.append(path.parent)
    return tuple(sorted(folders))


def part_drawing(folder: Path) -> Path | None:
    """Return the file that draws the part in the page: `draw.js`, or `picture.svg`; None without one."""
    for name in ("draw.js", "picture.svg"):
        if (folder / name).is_file():
            return folder / name
    return None


@functools.cache
def parts() -> Mapping[str, Part]:
    """Return every part by the name of its folder. Only the files of the parts that are asked for are read."""
    return PartTable(part_folders())


def read_part(folder: Path) -> Part:
    """Read the facts of a part's folder. Raises ConfigError with the key if a key is missing, unknown or wrong."""
    file = folder / _PART_FILE
    where = f"{folder.name}/{_PART_FILE}"
    table = _parse(file.read_text(encoding="utf-8"), dict[str, Any], where)
    part: Part = _convert({**table, "name": folder.name}, Part, where)
    _check(part, where)
    return part


def find_part(name: str) -> Part:
    """Return the part of that name. Raises UnknownName with the nearest names."""
    part = parts().get(name)
    if part is not None:
        return part
    near = difflib.get_close_matches(name, parts(), n=1)
    if near:
        step = f"did you mean {near[0]}?"
    else:
        step = f"known parts: {', '.join(parts())}"
    raise UnknownName(f"no part named {name[:40]!r}", next_step=step)


def parts_measuring(quantity: str) -> tuple[Part, ...]:
    """Return the parts that measure a quantity, sorted by name."""
    return tuple(part for part in parts().values() if quantity in part.measures)


def i2c_sensors() -> Mapping[str, Part]:
    """Return the parts that measure something and are read over I2C, by name."""
    sensors = {}
    for name, part in parts().items():
        if part.i2c is not None and part.measures:
            sensors[name] = part
    return sensors


def i2c_sensors_of(quantity: str) -> tuple[Part, ...]:
    """Return the I2C sensors that measure a quantity, sorted by name."""
    return tuple(part for part in parts_measuring(quantity) if part.i2c is not None)


def i2c_quantities() -> tuple[str, ...]:
    """Return the names of the quantities that an I2C sensor measures, in the order of quantities.toml."""
    return tuple(filter(i2c_sensors_of, quantities()))


def _parse(text: str, kind: Any, where: str) -> Any:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{where}: {exc}") from exc
    return _convert(table, kind, where)


def _convert(table: Any, kind: Any, where: str) -> Any:
    try:
        return convert(table, kind)
    except ValidationError as exc:
        raise ConfigError(f"{where}: {exc}", next_step="compare it with another part's file") from exc


def _check(part: Part, where: str) -> None:
    """Raise ConfigError for facts that contradict each other."""
    for name in part.measures:
        if name not in quantities():
            raise ConfigError(f"{where}: measures.{name}: no such quantity", next_step="add it to quantities.toml")
    for name, value in {**part.measures, **part.inputs, **part.attributes}.items():
        is_in_range = value.follows or value.least <= value.default <= value.most
        if not is_in_range:
            raise ConfigError(f"{where}: {name}: its default {value.default} is not in its range")
        if value.names and len(value.names) != len(value.choices):
            raise ConfigError(f"{where}: {name}: its names are not as many as its choices")
    for verb, stimulus in part.stimuli.items():
        if stimulus.argument != "key" and stimulus.sets not in part.inputs:
            raise ConfigError(f"{where}: stimuli.{verb}: it sets {stimulus.sets!r}, which is none of its inputs")
    _check_known(part, where)
    _check_classes(part, where)
    if part.i2c is None and not part.pins:
        raise ConfigError(f"{where}: it has neither pins nor an I2C address")


def _check_known(part: Part, where: str) -> None:
    """Raise ConfigError for a value that cannot follow from a pin as it is said."""
    for name, known in part.known.items():
        if name not in part.shows and name not in part.inputs:
            raise ConfigError(f"{where}: known.{name}: it shows no such value, and nobody sets it")
        if known.by == "share" and name not in part.shows:
            raise ConfigError(f"{where}: known.{name}: a share is a value that it shows")
        if part.pin(known.role) is None:
            raise ConfigError(f"{where}: known.{name}: it has no pin {known.role!r}")
        is_pulse = known.by == "pulse"
        has_ends = known.pulses_us[0] < known.pulses_us[1] and known.rates_hz[0] < known.rates_hz[1]
        if is_pulse != has_ends:
            raise ConfigError(f"{where}: known.{name}: only a pulse has pulses_us, values and rates_hz, two of each")


def _check_classes(part: Part, where: str) -> None:
    """Raise ConfigError if a class of an Arduino library stands for a part that cannot be."""
    addresses = part.i2c.addresses if part.i2c is not None else ()
    for name, address in {**part.serves.classes, **part.serves.addresses}.items():
        if address not in addresses:
            raise ConfigError(f"{where}: serves: {name}: 0x{address:02x} is none of its addresses")
    for name, attributes in part.serves.class_attributes.items():
        if not attributes.keys() <= part.attributes.keys():
            raise ConfigError(f"{where}: serves.class_attributes.{name}: it has no such attribute")
