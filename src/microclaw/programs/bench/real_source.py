"""The states of a real board's parts, from all that tells of them: edges, levels, orders, readings and trials.

What none of them tells is not known. A pin that is read could become an input, and a floating one has no level: so only
pins are read that a program of this host has, or that this host set.
"""

from __future__ import annotations

import asyncio
from typing import Final

from microclaw.devices.registry.calls import MAX_DUTY, EdgeLog, EdgesRead, GpioGet, PwmChange, PwmRead
from microclaw.devices.registry.device import Device
from microclaw.errors import CallRejected, DeviceUnreachable, NotSupported, PinRefused
from microclaw.hardware.parts.known_values import PinSignal, known_value
from microclaw.hardware.parts.wiring import WiredPart, Wiring
from microclaw.programs.bench.records import BoardRecord, HostRecords, read_numbers, read_record
from microclaw.programs.bench.source import CALL_S, BoardSource, SourceReading, read_edges
from microclaw.programs.bench.states import (
    BenchPin,
    BenchState,
    KnownNumber,
    KnownSignal,
    joined_state,
    unknown_pin,
    value_names,
)
from microclaw.programs.changes.change_log import SetLevel, SetPwm
from microclaw.programs.changes.direct_io import PinOrder, sees_pins

LOOK_EVERY_S: Final = 1.0
"""Between two looks whether this host changed something at the board."""
RECORD_S: Final = 10.0
"""After this time the records are read again in any case: the board may have restarted."""
_FROM_TRIAL: Final = frozenset({"pulse"})
"""Pin values that a trial tells, too. What blinks has no last level."""


class RealSource(BoardSource):
    """The board's counts are followed; what the host recorded is read again when it changed."""

    def __init__(self, device: Device, wiring: Wiring, records: HostRecords) -> None:
        super().__init__(device, wiring)
        self._records = records
        self._record = BoardRecord()
        self._record_s = -RECORD_S
        self._looked_s = -LOOK_EVERY_S
        self._newest_change = -1
        self._cursor: int | None = None
        self._now_ms: float | None = None
        self._levels: dict[int, int] = {}
        self._refused: set[int] = set()
        self._pwm_pins: set[int] = set()
        self._pwm: dict[int, PwmChange] = {}
        self._pwm_cursor = 0
        self._known_pins = _known_pins(wiring)

    async def read(self, edges: EdgeLog | None = None) -> SourceReading:
        if self.device.is_away or self.device.reachable is False:
            text = f"{self.device.name} does not answer: nothing of it is read"
            raise DeviceUnreachable(text, next_step=f"microclaw device check {self.device.name}")
        if edges is None and self.device.supports(EdgesRead.method):
            edges = await read_edges(self.device, self._cursor)
        # Before the edges: it forgets the pins if this host changed something there.
        await self._take_record(is_urgent=False)
        if edges is not None and self._take_edges(edges):
            await self._take_record(is_urgent=True)
        await self._read_levels()
        await self._read_pwm()
        parts = {wired.id: self._part_state(wired) for wired in self.wiring.parts}
        gpios = sorted({*self.wired_pins, *self._levels, *self._pwm})
        pins = {gpio: self._pin_state(gpio) for gpio in gpios}
        return SourceReading(parts=parts, pins=pins, now_ms=self._now_ms)

    def _take_edges(self, log: EdgeLog) -> bool:
        """Take over the levels after these edges; return True if the board has restarted before them."""
        has_restarted = self._now_ms is not None and log.now_ms < self._now_ms
        if has_restarted or log.dropped:
            self._forget_pins()
        self._cursor = log.cursor
        self._now_ms = log.now_ms
        self._pwm_pins.update(log.pwm_pins)
        for edge in log.edges:
            self._levels[edge.pin] = edge.level
        return has_restarted

    def _forget_pins(self) -> None:
        self._levels.clear()
        self._refused.clear()
        self._pwm_pins.clear()
        self._pwm.clear()
        self._pwm_cursor = 0

    async def _take_record(self, *, is_urgent: bool) -> None:
        """Read this host's records of the board again if they changed, or if it is long ago."""
        now_s = asyncio.get_running_loop().time()
        if not is_urgent and now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        changes = await self._records.change_log.changes(self.device.device_id, 1, state="done")
        newest_change = changes[0].change_id if changes else 0
        is_same = newest_change == self._newest_change
        if is_same and not is_urgent and now_s - self._record_s < RECORD_S:
            return
        if not is_same:
            # A pin may have another driver now; what it is at is read again.
            self._forget_pins()
        self._newest_change = newest_change
        self._record_s = now_s
        self._record = await read_record(self._records, self.device)

    async def _read_levels(self) -> None:
        """Read the pins that somebody drives and that had no edge yet, if the board can read without a change."""
        if not sees_pins(self.device):
            return
        for gpio in self._known_pins:
            is_driven = gpio in self._record.programs or gpio in self._record.orders
            is_open = gpio not in self._levels and gpio not in self._refused and gpio not in self._pwm_pins
            if not (is_driven and is_open):
                continue
            try:
                answer = await self.device.call(GpioGet(gpio), CALL_S, wait=False)
            except (CallRejected, NotSupported, PinRefused):
                self._refused.add(gpio)
            else:
                self._levels[gpio] = answer.level

    async def _read_pwm(self) -> None:
        if not self.device.supports(PwmRead.method):
            return
        log = await self.device.call(PwmRead(self._pwm_cursor), CALL_S, wait=False)
        self._pwm_cursor = log.cursor
        for change in log.changes:
            self._pwm[change.pin] = change

    def _signal(self, gpio: int) -> KnownSignal | None:
        """Return what is at a pin, as far as it is known: counted before ordered."""
        change = self._pwm.get(gpio)
        if change is not None and change.duty:
            signal = _pwm_signal(change.duty, change.frequency_hz, change.pulse_us)
            return KnownSignal(signal, change.duty, "counted", None)
        order = self._record.orders.get(gpio)
        if gpio in self._record.programs:
            order = None
        if order is not None and isinstance(order.action, SetPwm):
            return _ordered(order)
        if gpio in self._levels and gpio not in self._pwm_pins:
            level = self._levels[gpio]
            return KnownSignal(PinSignal(level), level * MAX_DUTY, "counted", None)
        if order is not None:
            return _ordered(order)
        return None

    def _pin_state(self, gpio: int) -> BenchPin:
        program = self._record.programs.get(gpio)
        is_input = gpio in self._record.inputs
        known = self._signal(gpio)
        if known is None:
            return unknown_pin(gpio, program, is_input=is_input)
        return BenchPin(
            gpio=gpio,
            level=known.signal.level,
            duty=known.duty,
            frequency_hz=known.signal.frequency_hz,
            source=known.source,
            program=program,
            is_input=is_input,
        )

    def _part_state(self, wired: WiredPart) -> BenchState:
        readings = read_numbers(self._records, self.device, wired)
        numbers: dict[str, KnownNumber | None] = {}
        for name in value_names(wired.facts):
            numbers[name] = readings.get(name) or self._shown_number(wired, name)
        return joined_state(numbers, self._record.trial_view(wired))

    def _shown_number(self, wired: WiredPart, name: str) -> KnownNumber | None:
        """Return a value by what is at the part's pins, else by the last trial."""
        known = wired.facts.known.get(name)
        if known is None:
            return self._record.trial_number(wired, name)
        gpio = wired.pins.get(known.role)
        at_pin = None
        if gpio is not None:
            at_pin = self._signal(gpio)
        if at_pin is not None:
            value = known_value(wired, name, at_pin.signal)
            if value is not None:
                return KnownNumber(value, at_pin.source, at_pin.at_ms)
        if known.by in _FROM_TRIAL:
            return self._record.trial_number(wired, name)
        return None


def _known_pins(wiring: Wiring) -> tuple[int, ...]:
    """Return the pins that tell a value of their part."""
    gpios = set[int]()
    for wired in wiring.parts:
        for known in wired.facts.known.values():
            if known.role in wired.pins:
                gpios.add(wired.pins[known.role])
    return tuple(sorted(gpios))


def _ordered(order: PinOrder) -> KnownSignal:
    action = order.action
    if isinstance(action, SetLevel):
        return KnownSignal(PinSignal(action.level), action.level * MAX_DUTY, "ordered", order.at_ms)
    signal = _pwm_signal(action.duty, action.frequency_hz, None)
    return KnownSignal(signal, action.duty, "ordered", order.at_ms)


def _pwm_signal(duty: int, frequency_hz: int, pulse_us: float | None) -> PinSignal:
    if pulse_us is None:
        pulse_us = duty / MAX_DUTY * 1e6 / max(frequency_hz, 1)
    return PinSignal(int(duty > 0), frequency_hz, pulse_us)
