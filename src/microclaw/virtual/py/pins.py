"""Pins, interrupts, PWM, ADC, timers and addressable LEDs as the esp32 port drives them, on the simulated board."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from microclaw.errors import PinRefused
from microclaw.virtual.board import Board
from microclaw.virtual.clock import Alarm
from microclaw.virtual.py.drivers import Calls, DriverError, Json, hex_bytes
from microclaw.wire.board_replies import EdgeRow

OUT: Final = 3
OPEN_DRAIN: Final = 7
PULL_UP: Final = 2
RISING: Final = 1
FALLING: Final = 2
MAX_WAITING: Final = 32
"""Interrupts that wait at once: MICROPY_SCHEDULER_DEPTH of the esp32 port; further ones are lost, as on the chip."""
_PULSE_STEP_MS: Final = 0.001


class Pins(Calls):
    """Everything on a GPIO; `owners`: of which program. `_on_edge` is called under the board's lock."""

    def __init__(
        self,
        board: Board,
        owners: Mapping[int, str],
        post: Callable[[list[Json]], None],
        wait_ms: Callable[[float], None],
    ) -> None:
        self._board = board
        self._owners = owners
        self._post = post
        self._wait_ms = wait_ms
        self._lock = threading.RLock()
        self._triggers: dict[int, int] = {}
        self._waiting = 0
        self._timers: dict[int, Alarm] = {}
        self._ticked: set[int] = set()
        self._stop_watching = board.watch_edges(self._on_edge)

    def close(self) -> None:
        """The interpreter is gone: no interrupt and no timer comes any more; the pins stay as they are."""
        self._stop_watching()
        with self._lock:
            self._triggers.clear()
            timers, self._timers = list(self._timers.values()), {}
        for alarm in timers:
            alarm.cancel()

    def handed_over(self, event: list[Json]) -> None:
        """The interpreter fetched that event: another one of its kind may wait."""
        with self._lock:
            if event[0] == "irq":
                self._waiting -= 1
            elif event[0] == "timer" and isinstance(event[1], int):
                self._ticked.discard(event[1])

    # The board's observer

    def _on_edge(self, record: EdgeRow) -> None:
        trigger = self._triggers.get(record.pin, 0)
        if not trigger & (RISING if record.level else FALLING):
            return
        with self._lock:
            if self._waiting >= MAX_WAITING:
                return
            self._waiting += 1
        self._post(["irq", record.pin, record.level, round(record.t_ms, 3)])

    # Pins

    def call_pin_open(self, pin: int) -> Json:
        if type(pin) is not int or not self._board.has_pin(pin):
            raise DriverError("ValueError", "invalid pin")
        return None

    def call_pin_init(self, pin: int, mode: int | None, pull: int | None, value: int | None) -> Json:
        self.call_pin_open(pin)
        drives = mode in (OUT, OPEN_DRAIN)
        if drives and not self._board.profile.pins[pin].uses & {"output", "pwm"}:
            known = self._board.profile.pins[pin]
            if not known.reserved:
                raise DriverError("ValueError", "pin can only be input")
        if value is not None:
            self._board.write_pin(pin, value)
        if mode != -1:
            self._board.configure_pin(
                pin,
                reads=mode is not None,
                drives=drives,
                pull=1 if pull == PULL_UP else 0,
                open_drain=mode == OPEN_DRAIN,
                app=self._owners.get(pin),
            )
        return None

    def call_pin_read(self, pin: int) -> Json:
        return self._board.read_pin(pin)

    def call_pin_write(self, pin: int, level: int) -> Json:
        self._board.write_pin(pin, level)
        return None

    def call_pin_irq(self, pin: int, trigger: int) -> Json:
        self.call_pin_open(pin)
        with self._lock:
            if trigger:
                self._triggers[pin] = trigger
            else:
                self._triggers.pop(pin, None)
        return None

    def call_pulse_us(self, pin: int, level: int, timeout_us: int) -> Json:
        """machine.time_pulse_us: -2 when the level does not come, -1 when it does not go again."""
        clock = self._board.clock
        for wanted, missing in ((level, -2), (1 - level, -1)):
            begin_ms = clock.now_ms()
            while self._board.read_pin(pin) != wanted:
                if clock.now_ms() - begin_ms >= timeout_us / 1000:
                    return missing
                self._wait_ms(0.02)
        return max(1, round((clock.now_ms() - begin_ms) * 1000))

    # PWM and ADC

    def call_pwm(self, pin: int, frequency_hz: int, high_ns: int) -> Json:
        self.call_pin_open(pin)
        share = min(1.0, high_ns * frequency_hz / 1e9)
        self._board.set_pwm(pin, round(share * 255), int(frequency_hz), self._owners.get(pin), pulse_us=high_ns / 1000)
        return None

    def call_pwm_end(self, pin: int) -> Json:
        self._board.configure_pin(pin, reads=True, drives=True, app=self._owners.get(pin))
        return None

    def call_adc_open(self, pin: int) -> Json:
        self.call_adc_read(pin)
        return None

    def call_adc_read(self, pin: int) -> Json:
        """The 16-bit value and microvolts."""
        try:
            reading = self._board.read_adc(pin)
        except PinRefused:
            raise DriverError("ValueError", "invalid pin") from None
        return [round(reading.value * 65535 / 4095), round(reading.volts * 1_000_000)]

    # Timers

    def call_timer_start(self, number: int, period_ms: float, is_periodic: bool) -> Json:
        self.call_timer_stop(number)
        if not period_ms > 0:
            raise DriverError("ValueError", "period must be positive")
        self._arm(number, self._board.clock.now_ms() + period_ms, period_ms if is_periodic else None)
        return None

    def _arm(self, number: int, due_ms: float, period_ms: float | None) -> None:
        with self._lock:
            tick = lambda: self._tick(number, due_ms, period_ms)  # noqa: E731
            self._timers[number] = self._board.clock.call_at(due_ms, tick, is_timer=True)

    def _tick(self, number: int, due_ms: float, period_ms: float | None) -> None:
        with self._lock:
            alarm = self._timers.get(number)
            if alarm is None or alarm.t_ms != due_ms:
                return
            del self._timers[number]
            is_new = number not in self._ticked
            self._ticked.add(number)
            if period_ms is not None:
                self._arm(number, due_ms + max(period_ms, _PULSE_STEP_MS), period_ms)
        if is_new:  # as on the chip a tick is lost while the one before waits
            self._post(["timer", number])

    def call_timer_stop(self, number: int) -> Json:
        with self._lock:
            alarm = self._timers.pop(number, None)
        if alarm is not None:
            alarm.cancel()
        return None

    def call_timer_value(self, number: int) -> Json:
        alarm = self._timers.get(number)
        return 0 if alarm is None else max(0, round(alarm.t_ms - self._board.clock.now_ms()))

    # Addressable LEDs

    def call_bitstream(self, pin: int, _timing: list[int], data: str) -> Json:
        """The colours that a WS2812 strip on the pin shows now; the order of the bytes is the strip's (green first)."""
        self.call_pin_open(pin)
        self._board.show_leds(pin, hex_bytes(data))
        return None
