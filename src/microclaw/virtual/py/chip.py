"""The simulated chip as MicroPython drives it: `perform(name, arguments)` in JSON, and events. Runs no interpreter.

Pins, interrupts, PWM, ADC, addressable LEDs, I2C, SPI and the one-wire sensors are the board's. Nothing is wired to
UART, whose transfers take their time all the same. It has no radio, and no program may reset it
(firmware/fw/peripherals.py).
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.errors import MicroclawError, PinRefused
from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.parts.models import SpiBus
from microclaw.virtual.board import Board
from microclaw.virtual.bus_time import UART_FIFO_BYTES, i2c_transfer_ms, spi_transfer_ms, uart_byte_ms
from microclaw.virtual.part_bus import PartBus
from microclaw.virtual.py.pulse import PulseTimer
from microclaw.wire.board_replies import EdgeRow

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Driver: TypeAlias = Callable[..., Json]
"""Called with the arguments of the guest's `_board.call`, which come out of JSON, and with the bytes of `send` last."""

SpiSettings: TypeAlias = tuple[int | None, int | None, int, int, int]
"""Of a bus: the pins of its clock and data, its mode, whether the lowest bit is first, and its clock in Hz."""

ENODEV: Final = 19
EINVAL: Final = 22
ETIMEDOUT: Final = 116
"""MicroPython's on the chips (newlib's)."""
OUT: Final = 3
OPEN_DRAIN: Final = 7
PULLS: Final = {1: 0, 2: 1}
"""The level of PULL_DOWN and PULL_UP."""
RISING: Final = 1
FALLING: Final = 2
FULL_SCALES_V: Final = {0: 1.1, 1: 1.5, 2: 2.2, 3: 3.3}
"""By ATTN_0DB, ATTN_2_5DB, ATTN_6DB and ATTN_11DB (ESP-IDF, adc.h; at 11 dB the supply is the limit)."""
MAX_TRANSFER_BYTES: Final = 4096
SCANNED_ADDRESSES: Final = 0x78 - 0x08
"""I2C.scan asks these (extmod/machine_i2c.c)."""
MAX_CALLS: Final = 256
"""Calls of the runner that wait at once."""
MAX_INTERRUPTS: Final = 32
"""Interrupts that wait at once: MICROPY_SCHEDULER_DEPTH of the esp32 port; further ones are lost, as on the chip."""
MIN_ANSWER_BYTES: Final = 1024
MAX_ANSWER_BYTES: Final = 65_536
_FRAME_BYTES: Final = 32
_log = logging.getLogger(__name__)


class DriverError(Exception):
    """A call that the chip's driver refuses: `kind` is OSError, ValueError or RuntimeError, raised in the program."""

    def __init__(self, kind: str, *values: int | str) -> None:
        super().__init__(f"{kind}{values}")
        self.row: list[Json] = [kind, *values]


class ChipTime(Struct, frozen=True):
    """The interpreter's ways to let time pass. All but `wake` are called in its thread."""

    wake: Callable[[], None]
    """Something waits: it ends `idle_until`. From any thread; must not block."""
    spend_ms: Callable[[float], None]
    """Let the time of a transfer on a bus pass."""
    idle_until: Callable[[float], None]
    """Do nothing until that time, or until `wake`."""
    note_act: Callable[[], None]
    """A pin was changed: the program does not only wait."""


class PythonChip:
    """One run of an interpreter's. `owners`: which program has which pin. `call_NAME` performs NAME."""

    def __init__(self, board: Board, chip_time: ChipTime) -> None:
        self.owners: dict[int, str] = {}
        self.on_close: Callable[[], None] = lambda: None
        """Ends what others keep of this run."""
        self._board = board
        self._time = chip_time
        self._spend_ms = chip_time.spend_ms
        self._lock = threading.Lock()
        self._interrupts: deque[list[Json]] = deque()
        self._calls: deque[list[Json]] = deque()
        self._room = MAX_ANSWER_BYTES
        self._triggers: dict[int, int] = {}
        calls = [name for name in dir(self) if name.startswith("call_")]
        self._drivers: dict[str, Driver] = {name.removeprefix("call_"): getattr(self, name) for name in calls}
        self._drivers["pin_read"] = board.read_pin
        board.watch_edges(self._on_edge)

    def add(self, name: str, driver: Driver) -> None:
        """Another call, of those around the chip."""
        self._drivers[name] = driver

    def close(self) -> None:
        """End all interrupts: the interpreter is gone. The pins stay as they are."""
        self._board.ignore_edges(self._on_edge)
        self._triggers.clear()
        self.on_close()

    def perform(self, name: str, arguments: str, most: int, data: bytes | None = None) -> str:
        """Return [value, error, pending] in JSON, of at most `most` bytes; never raises for what a program asks.

        `data` are bytes that belong to the call, its last argument.
        """
        value: Json = None
        error: Json = None
        try:
            values = json.loads(arguments)
            if data is not None:
                values.append(data)
            value = self._drivers[name](*values)
        except DriverError as exc:
            error = exc.row
        except MicroclawError as exc:
            error = ["RuntimeError", exc.message]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as exc:
            error = ["TypeError", f"{name}: {exc}"[:200]]
        except OSError as exc:
            _log.warning("the simulated chip: %s", exc)
            error = ["OSError", exc.errno or 5]
        answer = json.dumps([value, error, int(self._has_more(name))])
        if len(answer) > most:
            return json.dumps([None, ["OSError", EINVAL, "the answer is too long"], 0])
        return answer

    # Events: interrupts, and calls of the runner

    @property
    def has_events(self) -> bool:
        return bool(self._interrupts or self._calls)

    def post_call(self, call: list[Json]) -> None:
        """Have a call of the runner handled when the event loop waits. From any thread; does not block."""
        with self._lock:
            if len(self._calls) < MAX_CALLS:
                self._calls.append(call)
        self._time.wake()

    def make_room(self) -> int:
        """Return the length that the next answer may have, with the first event that waits."""
        with self._lock:
            firsts = [queue[0] for queue in (self._interrupts, self._calls) if queue]
            self._room = MIN_ANSWER_BYTES + max(map(_size, firsts), default=0)
        return self._room

    def call_interrupts(self) -> Json:
        """Take the first interrupts that wait, as many as the answer has room for."""
        with self._lock:
            return self._take_first(self._interrupts)

    def call_calls(self) -> Json:
        """Take the first calls of the runner that wait, as many as the answer has room for."""
        with self._lock:
            return self._take_first(self._calls)

    def _take_first(self, queue: deque[list[Json]]) -> list[Json]:
        events: list[Json] = []
        left = self._room - _FRAME_BYTES
        while queue and _size(queue[0]) <= left:
            event = queue.popleft()
            left -= _size(event)
            events.append(event)
        return events

    def _has_more(self, driver: str) -> bool:
        """Return True if the interpreter is to fetch events now.

        Interrupts come between two bytecodes. A call of the runner comes when the event loop waits, as on a board: a
        question of the host must not take board time from a program that measures.
        """
        if driver == "wait":
            return self.has_events
        if driver == "calls":
            return bool(self._calls)
        return bool(self._interrupts)

    def _on_edge(self, record: EdgeRow) -> None:
        """Under the board's lock."""
        if not self._triggers.get(record.pin, 0) & (RISING if record.level else FALLING):
            return
        with self._lock:
            if len(self._interrupts) >= MAX_INTERRUPTS:
                return
            self._interrupts.append(["irq", record.pin, record.level, round(record.t_ms, 3)])
        self._time.wake()

    # Pins

    def call_pin_open(self, pin: int) -> None:
        if type(pin) is not int or not self._board.has_pin(pin):
            raise DriverError("ValueError", "invalid pin")

    def call_pin_init(self, pin: int, mode: int | None, pull: int | None, value: int | None) -> None:
        self.call_pin_open(pin)
        drives = mode in (OUT, OPEN_DRAIN)
        if drives and not self._board.can_drive(pin):
            raise DriverError("ValueError", "pin can only be input")
        if value is not None:
            self._board.write_pin(pin, value)
        if mode != -1:
            self._board.configure_pin(
                pin,
                reads=mode is not None,
                drives=drives,
                pull=PULLS.get(pull or 0),
                open_drain=mode == OPEN_DRAIN,
                app=self.owners.get(pin),
            )

    def call_pin_irq(self, pin: int, trigger: int) -> None:
        self.call_pin_open(pin)
        # An interrupt depends on the pin's level, as a reading does.
        self._board.read_pin(pin)
        self._triggers[pin] = trigger

    def call_pin_write(self, pin: int, level: int) -> None:
        # The firmware itself writes 0 to the pins of a program that ended.
        if self._board.write_pin(pin, level, warns=bool(level)):
            self._time.note_act()

    def call_pulse_us(self, pin: int, level: int, timeout_us: int) -> Json:
        self.call_pin_open(pin)
        timer = PulseTimer(self._board, pin, self._time.wake, self._time.idle_until)
        return timer.measure_us(level, timeout_us)

    def call_bitstream(self, pin: int, data: str) -> None:
        """Show colours on addressable LEDs at the pin; the order of the bytes is the strip's (green first)."""
        self.call_pin_open(pin)
        self._board.show_leds(pin, _hex_bytes(data))

    # PWM and ADC

    def call_pwm(self, pin: int, frequency_hz: int, high_ns: int) -> None:
        self.call_pin_open(pin)
        share = min(1.0, high_ns * frequency_hz / 1e9)
        owner = self.owners.get(pin)
        self._board.start_pwm(pin, round(share * 255), int(frequency_hz), owner, pulse_us=high_ns / 1000)

    def call_pwm_end(self, pin: int) -> None:
        self._board.configure_pin(pin, reads=True, drives=True, app=self.owners.get(pin))

    def call_adc_read(self, pin: int, attenuation: int) -> Json:
        """Read the 16-bit value and microvolts; a voltage above the full scale of the attenuation reads as that."""
        if attenuation not in FULL_SCALES_V:
            raise DriverError("ValueError", "invalid atten")
        try:
            volts = self._board.adc.read(pin).volts
        except PinRefused as refused:
            raise DriverError("ValueError", refused.message) from None
        full_scale_v = FULL_SCALES_V[attenuation]
        seen_v = min(volts, full_scale_v)
        return [round(seen_v / full_scale_v * 65535), round(seen_v * 1_000_000)]

    # Buses. The parts that are wired to an I2C bus's pins answer on it.

    def call_i2c_open(self, scl: int, sda: int, clock_hz: int) -> Json:
        """Return the bus, which every other call names: its pins and its clock."""
        self.call_pin_open(scl)
        self.call_pin_open(sda)
        if scl == sda:
            raise DriverError("ValueError", "invalid pin")
        if type(clock_hz) is not int or clock_hz < 1:
            raise DriverError("ValueError", "invalid freq")
        return [sda, scl, clock_hz]

    def call_i2c_scan(self, bus: tuple[int, int, int]) -> Json:
        parts, clock_hz = self._bus(bus)
        self._spend_ms(SCANNED_ADDRESSES * i2c_transfer_ms(0, clock_hz))
        addresses = parts.addresses()
        if not addresses:
            self._board.note_absent("I2C device on these pins")
        return addresses

    def call_i2c_read(self, bus: tuple[int, int, int], address: int, size: int, has_stop: bool) -> Json:
        if type(size) is not int or not 0 <= size <= MAX_TRANSFER_BYTES:
            raise DriverError("ValueError", f"at most {MAX_TRANSFER_BYTES} bytes at a time here")
        parts = self._transfer(bus, address, size, has_stop)
        data = parts.read(address, size)
        if data is None:
            raise self._no_device(address)
        return data.hex()

    def call_i2c_write(self, bus: tuple[int, int, int], address: int, has_stop: bool, data: bytes) -> None:
        parts = self._transfer(bus, address, len(data), has_stop)
        parts.write(address, data)

    def _transfer(self, bus: tuple[int, int, int], address: int, size: int, has_stop: bool) -> PartBus:
        """Let the time of a transfer pass. Raises DriverError after the address if no part acknowledges it."""
        parts, clock_hz = self._bus(bus)
        if not parts.has_device(address):
            self._spend_ms(i2c_transfer_ms(0, clock_hz))
            raise self._no_device(address)
        transfer_ms = i2c_transfer_ms(size, clock_hz, has_stop=has_stop)
        parts.expect_transfer(address, transfer_ms)
        self._spend_ms(transfer_ms)
        return parts

    def _bus(self, bus: tuple[int, int, int]) -> tuple[PartBus, int]:
        """Return the parts on a bus, and its clock in Hz."""
        sda, scl, clock_hz = bus
        return PartBus(self._board, (sda, scl)), clock_hz

    def _no_device(self, address: int) -> DriverError:
        self._board.note_absent(f"I2C device at 0x{address:02x}")
        return DriverError("OSError", ENODEV)

    def call_bus_open(self, kind: str, number: int, *pins: int | None) -> None:
        """Check that the chip has such a bus ("SPI" or "UART") and pins."""
        numbers = self._board.spi_hosts if kind == "SPI" else self._board.uarts
        if number not in numbers:
            raise DriverError("ValueError", f"{kind}({number}) doesn't exist")
        for pin in pins:
            if pin is not None:
                self.call_pin_open(pin)

    def call_spi_transfer(self, settings: SpiSettings, data: bytes) -> Json:
        """Send bytes on a bus; return as many, which were received."""
        return self._transfer_on_spi(settings, data).hex()

    def call_spi_send(self, settings: SpiSettings, data: bytes) -> None:
        self._transfer_on_spi(settings, data)

    def _transfer_on_spi(self, settings: SpiSettings, data: bytes) -> bytes:
        sck, mosi, mode, first_bit, clock_hz = settings
        bus = SpiBus(sck, mosi, mode=mode, is_lowest_first=bool(first_bit))
        transfer_ms = spi_transfer_ms(len(data), clock_hz)
        self._board.parts.expect_spi_transfer(bus, transfer_ms)
        self._spend_ms(transfer_ms)
        return self._board.parts.spi_transfer(bus, data)

    def call_spi_pins(self, number: int) -> Json:
        """Return the clock and data pins of a bus that is given none."""
        pins = stock_image().default_pins.get(self._board.profile.chip.upper(), {})
        own_pins = pins.get(f"machine.SPI({number})", {})
        return [own_pins.get("sck"), own_pins.get("mosi")]

    def call_uart_write(self, port: int, byte_count: int, baudrate: int, bits: int, buffer_bytes: int) -> None:
        """Send bytes of `bits` with start and stop; wait until they fit into the driver's buffer and the FIFO."""
        byte_ms = uart_byte_ms(baudrate, bits)
        room_bytes = buffer_bytes + UART_FIFO_BYTES
        queue = self._board.uart_queues[port]
        self._spend_ms(queue.send(byte_count, byte_ms, room_bytes, self._board.clock.now_ms()))

    def call_uart_left_ms(self, port: int) -> Json:
        """Return the time until all is sent."""
        return self._board.uart_queues[port].left_ms(self._board.clock.now_ms())

    # Parts on a single wire.

    def call_dht(self, pin: int, kind: int) -> Json:
        """Return the five bytes of the DHT on the pin, checksum last; `kind` is what the program takes it for.

        Raises DriverError if none is there, or if it does not answer.
        """
        self.call_pin_open(pin)
        message = self._board.parts.message(pin)
        if message is None:
            self._board.note_absent(f"DHT{kind} on pin {pin}")
            raise DriverError("OSError", ETIMEDOUT)
        if not message:
            raise DriverError("OSError", ETIMEDOUT)
        return message.hex()

    def call_onewire(self, pin: int) -> Json:
        """Return the measurement of each part on the pin's 1-Wire bus, by its ROM code."""
        self.call_pin_open(pin)
        messages = self._board.parts.messages(pin)
        if not messages:
            self._board.note_absent(f"1-Wire part on pin {pin}")
        return {rom.hex(): message.hex() for rom, message in messages.items()}

    def call_digest(self, name: str, data: str) -> str:
        return hashlib.new(name, _hex_bytes(data), usedforsecurity=False).hexdigest()

    def call_chip_name(self) -> str:
        return f"{self._board.profile.title} with {self._board.profile.chip}"

    def call_absent(self, what: str) -> None:
        """Tell whoever tries the program of something that the chip has and this board has not."""
        self._board.note_absent(what)

    def call_unique_id(self) -> Json:
        """Return a MAC address of the locally administered range, by the board's name."""
        return "02" + self._board.name.encode().hex().rjust(10, "0")[-10:]


def _size(event: list[Json]) -> int:
    return len(json.dumps(event)) + 2


def _hex_bytes(text: str) -> bytes:
    """Read a buffer of a program. Raises ValueError if it is no hex or too long."""
    if len(text) > 2 * MAX_TRANSFER_BYTES:
        raise DriverError("ValueError", f"at most {MAX_TRANSFER_BYTES} bytes at a time here")
    return bytes.fromhex(text)
