"""A board as data: pins, LED, buses, memory, and what its firmware build offers. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

PinUse: TypeAlias = Literal["input", "output", "pwm", "adc", "i2c", "touch"]
PinLack: TypeAlias = PinUse | Literal["pull"]
Generation: TypeAlias = Literal["old", "new"]


class BoardPin(Struct, frozen=True):
    """One GPIO.

    `reserved` names what it belongs to, so that it must not be used at all. `caution` is a reason to think twice before
    it is driven (strapping). `lacks` says why the chip has no ADC or pull resistor for it.
    """

    number: int
    uses: frozenset[PinUse]
    reserved: str | None = None
    caution: str | None = None
    lacks: Mapping[PinLack, str] = {}
    source: str = ""

    def is_free_for(self, use: PinUse) -> bool:
        """Return True if it offers the use, is not reserved and needs no caution."""
        return use in self.uses and self.reserved is None and self.caution is None


class PwmUnit(Struct, frozen=True, forbid_unknown_fields=True):
    """The chip's LEDC: groups of timers and channels. A channel is a pin's, its timer gives it a frequency.

    `timers` and `channels` are those of each group. `lowest_hz` is that of stock MicroPython, which takes the most bits
    of resolution that a frequency leaves.
    """

    groups: int
    timers: int
    channels: int
    clock_hz: int
    lowest_hz: int
    source: str

    def highest_hz(self, bits: int = 1) -> int:
        """Return the highest frequency that has this many bits of resolution."""
        return self.clock_hz >> bits


NO_PWM: Final = PwmUnit(groups=0, timers=0, channels=0, clock_hz=0, lowest_hz=0, source="")


class Led(Struct, frozen=True, forbid_unknown_fields=True):
    """The user LED: `simple` is driven by a level, `addressable` needs a timed protocol."""

    pin: int
    kind: Literal["simple", "addressable"]
    active_level: int = 1
    source: str = ""


class I2cBus(Struct, frozen=True):
    """The I2C bus of a board. `sensors` are soldered on: name -> 7-bit address."""

    sda: int
    scl: int
    sensors: Mapping[str, int]
    source: str = ""


class HeaderPin(Struct, frozen=True):
    """A place on a header: the print beside it, and its GPIO; None for power, ground, reset."""

    label: str
    gpio: int | None


class Header(Struct, frozen=True):
    """One row of pins in its real order, from the upper end of the board to the lower."""

    name: str
    side: Literal["left", "right"]
    pins: tuple[HeaderPin, ...]


class Layout(Struct, frozen=True):
    """The board's headers, seen from above; `usb` is the end with the USB socket."""

    usb: Literal["top", "bottom"]
    headers: tuple[Header, ...]
    source: str


class Firmware(Struct, frozen=True, forbid_unknown_fields=True):
    """An ESP-WASMachine build: its groups of natives, its device nodes and its limits (bytes, ms); None: no limit.

    `native_groups` are values of NativeGroup, `device_nodes` names such as "gpio" and "ledc". `no_stock_build` says why
    the stock build does not run on this board; then the other fields are those of a build of one's own. `has_files` is
    about /storage. `described` are the words of a person's description (boards/firmware.py) that this build follows
    instead of its source: it lacks `natives_lacking` of the groups, and has `natives_added` beside them.
    """

    native_groups: frozenset[str]
    device_nodes: frozenset[str]
    attribute_generation: Generation
    max_apps: int
    app_heap_bytes: int
    max_module_bytes: int
    max_memory_bytes: int
    apps_survive_reset: bool
    source: str = ""
    no_stock_build: str | None = None
    natives_added: frozenset[str] = frozenset()
    natives_lacking: frozenset[str] = frozenset()
    max_heap_bytes: int | None = None
    max_timers: int | None = None
    has_files: bool = True
    described: tuple[str, ...] = ()

    @property
    def groups(self) -> frozenset[str]:
        """The native groups, each with underscores; profiles may spell a group with a dash."""
        return frozenset(group.replace("-", "_") for group in self.native_groups)

    def has_native(self, name: str, group: str) -> bool:
        """Return True if it has the function `name` of this group."""
        if name in self.natives_lacking:
            return False
        return name in self.natives_added or group in self.groups


class BoardProfile(Struct, frozen=True):
    """A board. `led` and `no_led`: one of them is None; `no_led` says why a program can switch no LED.

    `power_cut` is one sentence: what becomes of programs at a power cut. `arduino_pins` are the names of Arduino's
    package for the board (A0, TX). `layout` is None if the board has no headers, or if their order is unknown.
    """

    board_id: str
    title: str
    chip: str
    flash_mb: int
    psram_mb: int
    pins: Mapping[int, BoardPin]
    led: Led | None
    i2c: I2cBus | None
    firmware: Firmware
    power_cut: str
    no_led: str | None = None
    no_led_source: str = ""
    arduino_pins: Mapping[str, int] = field(default_factory=dict)
    pwm: PwmUnit = NO_PWM
    layout: Layout | None = None

    @property
    def named_pins(self) -> Mapping[str, int]:
        """The names that a sketch has here, with their GPIOs: those of Arduino's package, and LED_BUILTIN."""
        if self.led is None or self.led.kind != "simple":
            return self.arduino_pins
        return {**self.arduino_pins, "LED_BUILTIN": self.led.pin}

    def usable_pins(self, use: PinUse) -> tuple[int, ...]:
        """Return every pin that offers the use, is not reserved and needs no caution, in order."""
        numbers = [pin.number for pin in self.pins.values() if pin.is_free_for(use)]
        return tuple(sorted(numbers))
