"""The parts on a virtual board: makes their models, and brings edges, transfers and messages to them. Draws nothing.

Everything here runs under the board's lock. A model that raises is the part's fault: the console names the part, which
then answers nobody, and the program goes on.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import replace

from microclaw.errors import MicroclawError, UnknownName
from microclaw.hardware.parts.models import (
    BusDevice,
    Display,
    LedChain,
    OneWireDevice,
    PartModel,
    PinDevice,
    SpiBus,
    SpiDevice,
)
from microclaw.hardware.parts.readable import sensor_at_address
from microclaw.hardware.parts.reader import part_folders, parts, quantities
from microclaw.hardware.parts.wiring import WiredPart, Wiring, bus_pins, make_part, part_roles
from microclaw.hardware.screens.screen import Screen
from microclaw.text import clean_text
from microclaw.virtual.part_bench import PartBench
from microclaw.virtual.part_states import PartState
from microclaw.virtual.parts_clock import PartsClock
from microclaw.virtual.screens import BoardScreens
from microclaw.wire.board_replies import BROKEN_PART, FLOATING_PIN, PART_NOTE, EdgeRow, ScreenRow, ShownRow
from microclaw.wire.fair_ring import FairPage, FairRing

if TYPE_CHECKING:
    from microclaw.virtual.board import Board  # it makes its parts

R = TypeVar("R")
_PARTS_PACKAGE: Final = "microclaw.hardware.parts"
SHOWN_RING: Final = 65_536
_MAX_REASON_CHARS: Final = 120
_log = logging.getLogger(__name__)


class BoardParts:
    """The parts on one board, by their ids."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.clock = PartsClock(board.clock, board.lock)
        self._models: dict[str, PartModel] = {}
        self._benches: dict[str, PartBench] = {}
        self._wired: dict[str, WiredPart] = {}
        self._watched: dict[int, list[tuple[str, str]]] = {}  # pin -> (id, role) of the parts that take its edges
        self._broken: set[str] = set()
        self._read: dict[int, str] = {}  # pin -> id of the part whose level a program reads there
        self._floating: set[int] = set()
        self._shown: FairRing[ShownRow] = FairRing(SHOWN_RING, lambda _: None)
        self._values: FairRing[ShownRow] = FairRing(SHOWN_RING, lambda _: None)
        self._shown_now: dict[str, dict[str, float]] = {}  # the last value of each name, by the part's id
        self._screens = BoardScreens(board.clock, board.lock)

    def wire(self, wiring: Wiring) -> None:
        """Have the parts of this wiring, which fits the board; a part that is wired otherwise keeps its set values."""
        with self._board.lock:
            former_models = dict(self._models)
            kept_ids = {part.id for part in wiring.parts if self._is_wired_so(part)}
            for part_id in list(self._wired):
                if part_id not in kept_ids:
                    self._remove(part_id)
            for part in wiring.parts:
                if part.id not in kept_ids:
                    self._add(part)
                    self._take_values(part, former_models.get(part.id))
            self._wired = {part.id: part for part in wiring.parts}

    def _is_wired_so(self, part: WiredPart) -> bool:
        """Return True if the part is wired as this one; its label may be another."""
        former = self._wired.get(part.id)
        return former is not None and replace(former, label=part.label) == part

    def _take_values(self, part: WiredPart, former: PartModel | None) -> None:
        """Give a part the values that were set of its former model."""
        if former is None or former.wired.part != part.part or part.id not in self._models:
            return
        self.set_values(part.id, former.changed_values())

    def wire_usual(self, name: str) -> None:
        """Wire a part of that name at its usual I2C address if it is not there and the address is free."""
        facts = parts().get(name)
        if facts is None or facts.i2c is None or name in self._wired:
            return
        part = make_part(name, name, pins={})
        with self._board.lock:
            addresses = {wired.address for wired in self._wired.values()}
            if part.address not in addresses:
                self._add(part)

    def wiring(self) -> Wiring:
        """Return the parts as they are wired now."""
        return Wiring(tuple(self._wired.values()))

    # Values.
    def set_values(self, part_id: str, values: Mapping[str, float]) -> None:
        """Set values of a part, by their names or the fields of its readings ("temperature", "temperature_c").

        Raises UnknownName for an id that is not wired, CallRejected for a wrong value; then nothing changes.
        """
        with self._board.lock:
            model = self.model(part_id)
            named_values = {_value_name(name): number for name, number in values.items()}
            try:
                model.set_values(named_values)
                self._note_values(part_id, {**named_values, **model.computed()})
            except MicroclawError:
                raise
            except Exception as exc:
                self._break(part_id, exc)

    def _note_values(self, part_id: str, values: Mapping[str, float]) -> None:
        """Note the inputs and measured values that a part has from now on."""
        for name, number in values.items():
            self._values.append(ShownRow(self._board.clock.now_ms(), part_id, name, number))

    def values(self, since: int = 0, limit: int | None = None) -> FairPage[ShownRow]:
        """Return the inputs and measured values that parts had."""
        with self._board.lock:
            return self._values.since(since, limit)

    def show(self, part_id: str, name: str, value: float) -> None:
        """Note that a part shows this value until the next."""
        self._shown.append(ShownRow(self._board.clock.now_ms(), part_id, name, value))
        self._shown_now.setdefault(part_id, {})[name] = value

    def warn(self, part_id: str, text: str) -> None:
        """Say on the console what the program asks of the part, and what a real one does instead."""
        self._board.print_line(f"{PART_NOTE}{part_id} ({self._wired[part_id].part}): {text}")

    def shown(self, since: int = 0, limit: int | None = None) -> FairPage[ShownRow]:
        """Return the values that parts showed."""
        with self._board.lock:
            return self._shown.since(since, limit)

    def states(self) -> dict[str, PartState]:
        """Return the present state of each part, by its id."""
        with self._board.lock:
            return {part_id: self._state(part_id) for part_id in self._wired}

    def _state(self, part_id: str) -> PartState:
        """Return the present state of a part; an empty one if nothing of it reacts, or if it failed."""
        model = self._working(part_id)
        if model is None:
            return PartState({})
        answer = self._call(part_id, model.present_values)
        if answer is None:
            return PartState({})
        values = {**answer[0], **self._shown_now.get(part_id, {})}
        screen = None
        if isinstance(model, Display):
            screen = self._screens.present(part_id, lambda: self._screen(part_id))
        colors = None
        if isinstance(model, LedChain):
            colors = model.colors()
        return PartState(values, screen, colors)

    # Displays.
    def screen_changed(self, part_id: str) -> None:
        """Note that a display shows something else now."""
        self._screens.changed(part_id, lambda: self._screen(part_id))

    def expect_transfer(self, device: PartModel, ms: float) -> None:
        """Note that a transfer to the device is on the way, which takes so long."""
        self._screens.expect_transfer(device.wired.id, self._board.clock.now_ms() + ms)

    def screens(self, since: int = 0, limit: int | None = None) -> FairPage[ScreenRow]:
        """Return the pictures that displays showed."""
        with self._board.lock:
            return self._screens.since(since, limit)

    def _screen(self, part_id: str) -> Screen | None:
        """Return what a display shows now, None if its model fails."""
        model = self._working(part_id)
        if not isinstance(model, Display):
            return None
        answer = self._call(part_id, model.screen)
        if answer is None:
            return None
        return answer[0]

    def check_id(self, part_id: str) -> None:
        """Raise UnknownName if no part has this id."""
        if part_id not in self._wired:
            known = ", ".join(self._wired) or "none"
            text = f"no part {part_id[:40]!r} on {self._board.profile.board_id}"
            raise UnknownName(text, next_step=f"known: {known}")

    def model(self, part_id: str) -> PartModel:
        """Return the model of the part. Raises UnknownName if there is no such part, or nothing of it reacts."""
        self.check_id(part_id)
        if part_id not in self._models:
            name = self._wired[part_id].part
            raise UnknownName(f"{part_id} ({name}) has no values", next_step="set the values of a part that measures")
        return self._models[part_id]

    def readings(self, name: str) -> dict[str, float]:
        """Return what a sensor on the bus measures. Raises UnknownName.

        `name` is its id, or the name of its part, which may have its address ("PART@0x77").
        """
        with self._board.lock:
            for part_id, wired in self.bus_sensors():
                if name in (part_id, wired.part, sensor_at_address(wired)):
                    measured = self._models[part_id].readings()
                    return {field: round(value, 3) for field, value in measured.items()}
        known = ", ".join(wired.part for _, wired in self.bus_sensors()) or "none"
        text = f"no sensor {name[:40]!r} on {self._board.profile.board_id}"
        raise UnknownName(text, next_step=f"known: {known}")

    def bus_sensors(self) -> Iterator[tuple[str, WiredPart]]:
        """Yield the parts on the I2C bus that measure something, by their ids."""
        for part_id, wired in list(self._wired.items()):
            if isinstance(self._working(part_id), BusDevice) and wired.facts.measures:
                yield part_id, wired

    # I2C buses (part_bus.py).
    def on_bus(self, pins: tuple[int, int] | None) -> dict[int, BusDevice]:
        """Return the working I2C parts on a bus, whose SDA and SCL are given, by their addresses."""
        devices: dict[int, BusDevice] = {}
        for part_id, wired in self._wired.items():
            device = self._working(part_id)
            is_on_bus = pins is not None and bus_pins(wired, self._board.profile) == pins
            if isinstance(device, BusDevice) and wired.address is not None and is_on_bus:
                devices[wired.address] = device
        return devices

    def transfer(self, device: PartModel, fn: Callable[[], R]) -> R | None:
        """Return what the device makes of a transfer, or None if it fails."""
        answer = self._call(device.wired.id, fn)
        if answer is None:
            return None
        return answer[0]

    # SPI buses.
    def spi_transfer(self, bus: SpiBus, data: bytes) -> bytes:
        """Send bytes to the selected parts on a bus; return what they send."""
        answer = bytes(len(data))
        with self._board.lock:
            for device in self._on_spi(bus):
                received = self.transfer(device, functools.partial(device.exchange, bus, data))
                if received is not None:
                    answer = received
        return answer

    def expect_spi_transfer(self, bus: SpiBus, ms: float) -> None:
        """Note that a transfer on a bus is on the way, which takes so long."""
        with self._board.lock:
            for device in self._on_spi(bus):
                self.expect_transfer(device, ms)

    def _on_spi(self, bus: SpiBus) -> list[SpiDevice]:
        """Return the working and selected parts on a bus."""
        devices: list[SpiDevice] = []
        for part_id in self._wired:
            device = self._working(part_id)
            if isinstance(device, SpiDevice) and device.hangs_at(bus) and device.is_selected_by(bus):
                devices.append(device)
        return devices

    # Single-wire buses.
    def messages(self, pin: int) -> dict[bytes, bytes]:
        """Return the measurement of each part on a pin's 1-Wire bus, by its ROM code."""
        rows: dict[bytes, bytes] = {}
        for rom, message in self._one_wire(pin):
            if rom is not None:
                rows[rom] = message
        return rows

    def message(self, pin: int) -> bytes | None:
        """Return the measurement of the pin's part without a ROM code, or None if the pin has no such part.

        It is empty if the part does not answer.
        """
        for rom, message in self._one_wire(pin):
            if rom is None:
                return message
        return None

    def _one_wire(self, pin: int) -> list[tuple[bytes | None, bytes]]:
        rows = []
        with self._board.lock:
            for part_id, wired in list(self._wired.items()):
                device = self._working(part_id)
                if not isinstance(device, OneWireDevice) or pin not in wired.pins.values():
                    continue
                answer = self._call(part_id, device.message)
                if answer is not None:
                    rows.append((device.rom, answer[0]))
        return rows

    # Addressable LEDs.
    def lit(self, pin: int, data: bytes) -> bytes:
        """Return the data of the LEDs that are wired to the pin; all of it if none are."""
        for part_id, wired in self._wired.items():
            chain = self._working(part_id)
            if isinstance(chain, LedChain) and pin in wired.pins.values():
                return self._lit(chain, data)
        return data

    def _lit(self, chain: LedChain, data: bytes) -> bytes:
        answer = self._call(chain.wired.id, lambda: chain.lit(data))
        if answer is None:
            return b""
        return answer[0]

    # Pins and power.
    def is_let_go(self, pin: int) -> bool:
        """Return True if a working part is on the pin for a program to read it, and does not always drive it."""
        part_id = self._read.get(pin)
        if part_id is None or self._working(part_id) is None:
            return False
        return self._benches[part_id].lets_go(pin)

    def note_floating(self, pin: int) -> None:
        """Say on the console that the pin floats: once for each pin."""
        if pin in self._floating:
            return
        self._floating.add(pin)
        wired = self._wired[self._read[pin]]
        self._board.print_line(f"{FLOATING_PIN}{wired.id} ({wired.part}) on pin {pin}")

    def edge(self, record: EdgeRow) -> None:
        """Bring a new level of a pin to the parts on it."""
        for part_id, role in self._watched.get(record.pin, ()):
            device = self._working(part_id)
            if isinstance(device, PinDevice):
                self._deliver(part_id, device, role, record.level)

    def pwm_changed(self, pin: int) -> None:
        """Bring a change of a pin's PWM to the parts on it."""
        for part_id, role in self._watched.get(pin, ()):
            device = self._working(part_id)
            if isinstance(device, PinDevice):
                self._deliver_pwm(part_id, device, role)

    def restart_clock(self) -> None:
        """Begin the board's time at 0 again. The parts' own time goes on: they have power during a reset."""
        self._floating.clear()
        self._screens.take_all()
        uptime_ms = self._board.clock.now_ms()
        self._board.clock.restart()
        self.clock.go_on(uptime_ms)

    def lose_power(self) -> None:
        """End all that the parts do."""
        self._floating.clear()
        self.clock.forget_alarms()
        for part_id in self._models:
            self._screens.forget(part_id)

    def power_on(self) -> None:
        """Put every part into its state at power on."""
        self.lose_power()
        for part_id, model in list(self._models.items()):
            if part_id not in self._broken:
                self._call(part_id, model.reset)

    def _deliver(self, part_id: str, device: PinDevice, role: str, level: int) -> None:
        self._call(part_id, lambda: device.edge(role, level))

    def _deliver_pwm(self, part_id: str, device: PinDevice, role: str) -> None:
        self._call(part_id, lambda: device.pwm_changed(role))

    def _add(self, wired: WiredPart) -> None:
        self._wired[wired.id] = wired
        model_class = load_model(wired.part)
        if model_class is None:
            return
        bench = PartBench(self._board, self._act, wired.id)
        self._benches[wired.id] = bench
        answer = self._call(wired.id, lambda: model_class(wired, bench))
        if answer is None:
            return
        model = answer[0]
        self._models[wired.id] = model
        roles = part_roles(wired.facts)
        for role, pin in wired.pins.items():
            if roles[role].use == "input" or roles[role].passive:
                self._read[pin] = wired.id
        self._call(wired.id, model.reset)
        self._call(wired.id, lambda: self._note_values(wired.id, model.present_values()))
        if isinstance(model, PinDevice):
            for role, pin in wired.pins.items():
                self._watched.setdefault(pin, []).append((wired.id, role))

    def _remove(self, part_id: str) -> None:
        wired = self._wired.pop(part_id)
        self._models.pop(part_id, None)
        self._shown_now.pop(part_id, None)
        self._broken.discard(part_id)
        bench = self._benches.pop(part_id, None)
        if bench is None:
            return
        bench.detach()
        self._screens.forget(part_id)
        roles = part_roles(wired.facts)
        for role, pin in wired.pins.items():
            # Other parts may share the pin.
            self._watched[pin] = [watcher for watcher in self._watched.get(pin, ()) if watcher[0] != part_id]
            if self._read.get(pin) == part_id:
                del self._read[pin]
            bench.join(pin, None)
            bench.pull(pin, None)
            bench.drive(pin, None)
            if roles[role].use == "adc":
                bench.set_volts(pin, 0.0)

    def _working(self, part_id: str) -> PartModel | None:
        """Return the model of a part, or None if it has none or it failed."""
        if part_id in self._broken:
            return None
        return self._models.get(part_id)

    def _act(self, part_id: str, fn: Callable[[], None]) -> None:
        """Make a call that a part asked for."""
        with self._board.lock:
            if part_id not in self._broken:
                self._call(part_id, fn)

    def _call(self, part_id: str, fn: Callable[[], R]) -> tuple[R] | None:
        """Return what a model's method returns, in a tuple; None if it raises."""
        try:
            return (fn(),)
        except Exception as exc:
            self._break(part_id, exc)
            return None

    def _break(self, part_id: str, exc: Exception) -> None:
        """Name the part on the console, once: from now on it answers nobody."""
        _log.error("the part %s failed", part_id, exc_info=exc)
        if part_id in self._broken:
            return
        self._broken.add(part_id)
        reason = clean_text(f"{type(exc).__name__}: {exc}", one_line=True, limit=_MAX_REASON_CHARS)
        self._board.print_line(f"{BROKEN_PART}{part_id} ({self._wired[part_id].part}): {reason}")


def load_model(name: str) -> type[PartModel] | None:
    """Return the class `Model` of a part's folder, or None if nothing of the part reacts."""
    folders = {folder.name: folder for folder in part_folders()}
    folder: Path | None = folders.get(name)
    if folder is None or not (folder / "model.py").is_file():
        return None
    model: type[PartModel] = importlib.import_module(f"{_PARTS_PACKAGE}.{name}.model").Model
    return model


def _value_name(name: str) -> str:
    """Return the name of a value that may be given as the field of a reading."""
    for value_name, quantity in quantities().items():
        if quantity.reading == name:
            return value_name
    return name
