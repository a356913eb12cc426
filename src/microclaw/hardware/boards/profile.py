"""A board as data: pins, LED, buses, memory, and what its firmware build offers. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

PinUse: TypeAlias = Literal["input", "output", "pwm", "adc", "i2c", "touch"]
PinLack: TypeAlias = PinUse | Literal["pull"]
Generation: TypeAlias = Literal["old", "new"]


class BoardPin(Struct, frozen=True):
    """One GPIO. `reserved` names to whom it belongs, so that it must not be used at all; `caution` is a reason to think
    twice before it is driven (strapping); `lacks` says why the chip has no ADC or pull resistor for it."""

    number: int
    uses: frozenset[PinUse]
    reserved: str | None = None
    caution: str | None = None
    lacks: Mapping[PinLack, str] = {}
    source: str = ""


class PwmUnit(Struct, frozen=True, forbid_unknown_fields=True):
    """The chip's LEDC: groups of timers and channels. A channel is a pin's, its timer gives it a frequency.

    `lowest_hz` is that of stock MicroPython, which takes the most bits of resolution that a frequency leaves.
    """

    groups: int
    timers: int  # of each group
    channels: int  # of each group
    clock_hz: int
    lowest_hz: int
    source: str

    def highest_hz(self, bits: int = 1) -> int:
        """Return the highest frequency that has so many bits of resolution."""
        return self.clock_hz >> bits


NO_PWM: Final = PwmUnit(groups=0, timers=0, channels=0, clock_hz=0, lowest_hz=0, source="")


class Led(Struct, frozen=True, forbid_unknown_fields=True):
    """The user LED: `simple` is driven by a level, `addressable` needs a timed protocol."""

    pin: int
    kind: Literal["simple", "addressable"]
    active_level: int = 1
    source: str = ""


class I2cBus(Struct, frozen=True):
    sda: int
    scl: int
    sensors: Mapping[str, int]  # name -> 7-bit address
    source: str = ""


class HeaderPin(Struct, frozen=True):
    """A place on a header: what is printed beside it, and its GPIO; None for power, ground, reset."""

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
    """An ESP-WASMachine build: which groups of natives and device nodes it has, and its limits (bytes, ms).

    `described` are the words of a person's description (boards/firmware.py) that this build follows instead of its
    source; of the groups `natives_lacking` are not there, and beside them `natives_added` are. None is no own limit.
    """

    native_groups: frozenset[str]  # NativeGroup values of boards.natives
    device_nodes: frozenset[str]  # "gpio", "i2c", "ledc", "uart", "spi"
    attribute_generation: Generation
    max_apps: int
    app_heap_bytes: int
    max_module_bytes: int
    max_memory_bytes: int
    apps_survive_reset: bool
    source: str = ""
    no_stock_build: str | None = None  # why it does not run on this board; the rest is of a build of one's own
    natives_added: frozenset[str] = frozenset()
    natives_lacking: frozenset[str] = frozenset()
    max_heap_bytes: int | None = None
    max_timers: int | None = None
    has_files: bool = True  # /storage
    described: tuple[str, ...] = ()

    def has_native(self, name: str, group: str) -> bool:
        """True if it has the function of this group; profiles may spell a group with a dash."""
        if name in self.natives_lacking:
            return False
        return name in self.natives_added or group in {known.replace("-", "_") for known in self.native_groups}


class BoardProfile(Struct, frozen=True):
    board_id: str
    title: str
    chip: str
    flash_mb: int
    psram_mb: int
    pins: Mapping[int, BoardPin]
    led: Led | None
    i2c: I2cBus | None
    firmware: Firmware
    power_cut: str  # one sentence: what becomes of programs at a power cut
    no_led: str | None = None  # why there is no LED that a program can switch; None where `led` is one
    no_led_source: str = ""
    arduino_pins: Mapping[str, int] = field(default_factory=dict)  # A0, TX: as Arduino's package has them
    pwm: PwmUnit = NO_PWM
    layout: Layout | None = None  # None: nobody looked up how its pins lie, or it has no headers

    def usable_pins(self, use: PinUse) -> tuple[int, ...]:
        """Every pin that offers the use, is not reserved and needs no caution, in order."""
        pins = sorted(self.pins.values(), key=lambda pin: pin.number)
        return tuple(p.number for p in pins if use in p.uses and p.reserved is None and p.caution is None)
