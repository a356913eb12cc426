"""What the models of parts have in common, and what a board offers to them. Models run in the virtual board alone.

NAME/model.py has one class, `Model`, of a kind below. The board makes one for each wired part, calls it under its lock
and only with time going forward; nothing in a model may block. A model that raises is the part's fault: the board
notes its name and lets the program go on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Protocol

from msgspec import Struct

from microclaw.errors import CallRejected
from microclaw.hardware.parts.known_values import PinSignal, known_value
from microclaw.hardware.parts.reader import Part, ValueRange, quantities
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.hardware.screens.screen import Screen

_BYTE_BITS: Final = 8
SUPPLY_V: Final = 3.3
"""The voltage of the board, which its parts have too."""


class Bench(Protocol):
    """The board as its parts see it. Times are milliseconds of a clock that a reset of the board does not touch."""

    def now_ms(self) -> float: ...

    def call_at(self, t_ms: float, fn: Callable[[], None]) -> None:
        """Call `fn` under the board's lock at the time `t_ms`, unless the power is cut before."""

    def level(self, gpio: int) -> int:
        """Return the electrical level of a GPIO."""

    def drive(self, gpio: int, level: int | None) -> None:
        """Drive a GPIO from outside; None lets go of it."""

    def pull(self, gpio: int, level: int | None) -> None:
        """Pull a GPIO to a level with a resistor on the board; None takes the resistor away."""

    def join(self, gpio: int, other: int | None) -> None:
        """Connect a GPIO with another through a closed switch, so that it has the other's level; None opens it."""

    def set_volts(self, gpio: int, volts: float) -> None:
        """Set the voltage at a GPIO, as its ADC reads it."""

    def pwm(self, gpio: int) -> tuple[int, float]:
        """Return the frequency in Hz and the high time of a period in microseconds; (0, 0.0) without PWM."""

    def warn(self, text: str) -> None:
        """Say on the console, once for each text, that the program asks more of the part than a real one does."""

    def show(self, name: str, value: float) -> None:
        """Note a new value that the part shows, as an expectation names it in `shows` of part.toml."""

    def screen_changed(self) -> None:
        """Note that the display shows something else now; `Display.screen` is asked when it has settled."""


class PartModel:
    """A wired part with values that are set from outside.

    Values are named as in expectations: a quantity of quantities.toml ("temperature") or an input of part.toml
    ("pressed").
    """

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        self.wired = wired
        self.facts: Part = wired.facts
        self.bench = bench
        self.values: dict[str, float] = {}
        for name, value in self._ranges().items():
            if not value.follows:
                self.values[name] = wired.attributes.get(name, value.default)
        self._values_at_first = dict(self.values)

    def _ranges(self) -> Mapping[str, ValueRange]:
        return {**self.facts.measures, **self.facts.inputs}

    def set_values(self, values: Mapping[str, float]) -> None:
        """Set some of the values. Raises CallRejected, and changes nothing, if one is unknown or out of its range."""
        ranges = {name: value for name, value in self._ranges().items() if not value.follows}
        for name, number in values.items():
            if name not in ranges:
                raise CallRejected(f"no value {name[:40]!r}", next_step=f"known values: {', '.join(ranges)}")
            allowed = ranges[name]
            if not allowed.least <= number <= allowed.most:
                text = f"{name} {number:g} is out of range"
                raise CallRejected(text, next_step=f"choose {allowed.least:g} to {allowed.most:g}")
        self.values.update(values)
        self.values_changed(values)

    def changed_values(self) -> dict[str, float]:
        """Return the values that are others than at first."""
        return {name: value for name, value in self.values.items() if value != self._values_at_first[name]}

    def readings(self) -> dict[str, float]:
        """Return what it measures, by the field of a reading: {"temperature_c": 22.5}."""
        measured = self.present_values()
        return {quantities()[name].reading: measured[name] for name in self.facts.measures}

    def attribute(self, name: str) -> float:
        """Return an attribute of the wired part, or the part's usual one."""
        return self.wired.attributes.get(name, self.facts.attributes[name].default)

    def present_values(self) -> dict[str, float]:
        """Return what is set from outside and what follows from it, by name."""
        return {**self.values, **self.computed()}

    def computed(self) -> Mapping[str, float]:
        """Return the values that follow from others."""
        return {}

    def values_changed(self, values: Mapping[str, float]) -> None:
        """React to values that were set from outside."""

    def reset(self) -> None:
        """Return to the state at power on. Values that were set stay. A reset of the board does not call it.

        The board also calls it on a new model.
        """


class BusDevice(PartModel, ABC):
    """A part on the I2C bus. Register-level: `write` and `read` are one transfer each, without the address byte."""

    @property
    def acknowledges_read(self) -> bool:
        """False while it does not acknowledge its address in a read, as a few chips that have no data."""
        return True

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    @abstractmethod
    def read(self, size: int) -> bytes: ...


class PinDevice(PartModel, ABC):
    """A part that reacts to edges of its pins and may drive others."""

    @abstractmethod
    def edge(self, role: str, level: int) -> None:
        """React to a new level of its pin, at the board's present time."""

    def pwm_changed(self, role: str) -> None:
        """React to PWM that begins, changes or ends on its pin; `bench.pwm` has it."""

    def signal(self, role: str) -> PinSignal:
        """Return what is at its pin now: a level, or PWM."""
        pin = self.wired.pins[role]
        frequency_hz, pulse_us = self.bench.pwm(pin)
        return PinSignal(self.bench.level(pin), frequency_hz, pulse_us)

    def active_share(self, role: str) -> float:
        """Return the share of the time in which its pin has the active level: 0 or 1, or the one of PWM."""
        return self.signal(role).active_share(self.wired.active)


class PinShow(PinDevice):
    """A part that shows what follows from its pins at once, as `known` of its part.toml says."""

    def reset(self) -> None:
        for role in self.wired.pins:
            self._show(role)

    def edge(self, role: str, _level: int) -> None:
        self._show(role)

    def pwm_changed(self, role: str) -> None:
        self._show(role)

    def _show(self, role: str) -> None:
        for name, known in self.facts.known.items():
            if known.role != role:
                continue
            value = known_value(self.wired, name, self.signal(role))
            if value is not None:
                self.bench.show(name, value)


class SpiBus(Struct, frozen=True):
    """A bus of the chip as a program set it up. `cs`: a pin that the bus itself pulls down for each transfer.

    `mode` is the polarity of its clock times 2, and the phase.
    """

    sck: int | None
    mosi: int | None
    cs: int | None = None
    mode: int = 0
    is_lowest_first: bool = False


class SpiDevice(PinDevice, ABC):
    """A part on SPI: its roles are `sck` and `mosi`, and `cs` if it has one, which selects it while it is low.

    Bytes come from a bus of the chip whose pins are these, or bit by bit from a program that moves the pins itself.
    Bits are taken at rising edges of the clock, the highest first, which is MODES.
    """

    MODES: ClassVar[tuple[int, ...]] = (0, 3)

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._bits = 0
        self._bit_count = 0

    @abstractmethod
    def transfer(self, data: bytes) -> bytes:
        """Take bytes while it is selected; return as many, which it sends meanwhile."""

    def deselected(self) -> None:
        """React to the end of a selection, at which some parts take what they were sent."""

    @property
    def is_selected(self) -> bool:
        cs = self.wired.pins.get("cs")
        return cs is None or not self.bench.level(cs)

    def hangs_at(self, bus: SpiBus) -> bool:
        """Return True if its clock and data pins are those of the bus."""
        return (self.wired.pins.get("sck"), self.wired.pins.get("mosi")) == (bus.sck, bus.mosi)

    def is_selected_by(self, bus: SpiBus) -> bool:
        """Return True if it takes the bus's transfers: it is selected, or the bus selects it for each of them."""
        return self._has_cs_of(bus) or self.is_selected

    def exchange(self, bus: SpiBus, data: bytes) -> bytes:
        """Take the bytes of a transfer; return as many, which it sends meanwhile."""
        taken = data
        if bus.is_lowest_first:
            taken = taken.translate(_REVERSED)
        if bus.mode not in self.MODES:
            modes = " or ".join(map(str, self.MODES))
            self.bench.warn(f"it takes SPI mode {modes}, and the program sends in mode {bus.mode}")
            taken = _one_bit_late(taken)
        received = self.transfer(taken)
        if bus.is_lowest_first:
            received = received.translate(_REVERSED)
        if self._has_cs_of(bus):
            self._bit_count = 0
            self.deselected()
        return received

    def _has_cs_of(self, bus: SpiBus) -> bool:
        cs = self.wired.pins.get("cs")
        return cs is not None and cs == bus.cs

    def edge(self, role: str, level: int) -> None:
        """Take a bit, or end a selection. A subclass with further pins calls this for `sck` and `cs`."""
        if role == "cs":
            self._bit_count = 0
            if level:
                self.deselected()
        elif role == "sck" and level and self.is_selected:
            self._take_bit(self.bench.level(self.wired.pins["mosi"]))

    def _take_bit(self, bit: int) -> None:
        self._bits = (self._bits << 1 | bit) & 0xFF
        self._bit_count += 1
        if self._bit_count == _BYTE_BITS:
            self._bit_count = 0
            self.transfer(bytes([self._bits]))


def _reversed_bits(byte: int) -> int:
    return int(f"{byte:08b}"[::-1], 2)


_REVERSED: Final = bytes(map(_reversed_bits, range(256)))


def _one_bit_late(data: bytes) -> bytes:
    """Return what is read at the edges of the clock at which the bits change: each time the bit before."""
    return (int.from_bytes(data, "big") >> 1).to_bytes(len(data), "big")


class Display(PartModel, ABC):
    """A part that shows pictures, characters or digits. It is also a BusDevice or a PinDevice.

    It calls `bench.screen_changed` after each transfer or edge that changes what is seen.
    """

    @abstractmethod
    def screen(self) -> Screen:
        """Return what is seen now. A display that is off is blank."""


class OneWireDevice(PartModel, ABC):
    """A part on a single-wire bus that is read in one message, as MicroPython's dht and onewire modules do."""

    @property
    def rom(self) -> bytes | None:
        """Its 8 bytes of ROM code on a 1-Wire bus, which several parts share; None for a part without one."""
        return None

    @abstractmethod
    def message(self) -> bytes:
        """Return the bytes of a measurement; none if it does not answer."""


class LedChain(PartModel, ABC):
    """Addressable LEDs in a chain, which is sent the colors of all of them at once."""

    @abstractmethod
    def lit(self, data: bytes) -> bytes:
        """Return as much of the data as the chain has LEDs for."""

    @abstractmethod
    def colors(self) -> bytes:
        """Return the red, green and blue of each LED as they are lit now, three bytes for each."""


class AnalogDevice(PartModel, ABC):
    """A part whose outputs follow from its values at once: voltages at ADC pins, and levels at others."""

    @abstractmethod
    def volts(self) -> Mapping[str, float]:
        """Return the voltage at each of its analog outputs, by its role. The chip reads them from 0 to 3.3 V."""

    def levels(self) -> Mapping[str, int]:
        """Return the level at each of its digital outputs, by its role."""
        return {}

    def reset(self) -> None:
        self._drive_outputs()

    def values_changed(self, values: Mapping[str, float]) -> None:
        if values:
            self._drive_outputs()

    def _drive_outputs(self) -> None:
        """Put the voltages and levels on the pins that are wired."""
        pins = self.wired.pins
        for role, volts in self.volts().items():
            if role in pins:
                self.bench.set_volts(pins[role], min(max(volts, 0.0), SUPPLY_V))
        for role, level in self.levels().items():
            if role in pins:
                self.bench.drive(pins[role], level)
