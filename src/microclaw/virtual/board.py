"""The virtual board itself: pins, PWM, console and their histories. Runs no app and speaks no protocol.

Every method may be called from any thread; one lock, held briefly. Watchers are called under that lock: they must only
note the event down (put it into a queue) and return.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from microclaw.errors import PinRefused
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import soldered_parts
from microclaw.text import clean_text
from microclaw.virtual.adc import AdcInputs
from microclaw.virtual.bench import BoardParts
from microclaw.virtual.bus_time import UartQueue
from microclaw.virtual.clock import Clock
from microclaw.virtual.line_buffers import LineBuffer
from microclaw.virtual.network.board_network import BoardNetwork
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.pin_state import PinJoins, PinState
from microclaw.virtual.pwm_channels import PwmChannels
from microclaw.wire.board_replies import ABSENT, GPIO_ERROR, WRITTEN_INPUT, EdgeRow, LedRow, LogRow, PinRow, PwmRow
from microclaw.wire.fair_ring import FairPage, FairRing

EDGE_RING: Final = 65_536
PWM_RING: Final = 8_192
LOG_RING_BYTES: Final = 262_144
LED_RING_BYTES: Final = 262_144
MAX_ABSENT: Final = 16

PowerEvent: TypeAlias = Literal["cut", "on"]

UNNAMED: Final = "virtual-1"
"""The name of a board that nobody gave one."""


class Board:
    """One virtual board."""

    def __init__(
        self, profile: BoardProfile, clock: Clock, *, name: str = UNNAMED, storage_dir: Path | None = None
    ) -> None:
        self.profile = profile
        self.clock = clock
        self.name = name
        self.storage_dir = storage_dir  # of /storage; None: there is none
        self.boot = 1
        self.boot_id = secrets.token_hex(8)
        self.powered = True
        self.is_after_panic = False  # while a boot that follows a panic begins
        is_small = profile.chip in ("ESP32-C3", "ESP32-C6")
        self.cpu_mhz = 160 if is_small else 240
        self.spi_hosts = range(1, 2 if is_small else 3)  # SPI2, SPI3; host 0 (SPI1) is the flash's. Nothing is wired
        self.uarts = range(2 if is_small else 3)  # SOC_UART_HP_NUM
        self.uart_queues = {port: UartQueue() for port in self.uarts}
        self._epoch_at_boot_ms = 0.0  # where the calendar began with this boot; a power cut loses it
        self.lock = threading.RLock()
        self.switching = threading.RLock()  # while it is held, no other thread switches the power
        self._pwm_channels = PwmChannels(profile.pwm)
        self._pins = {number: PinState(number) for number in sorted(profile.pins)}
        self._joins = PinJoins()
        self.adc = AdcInputs(profile)
        self.network: BoardNetwork = CannedNetwork(clock)
        self.boot_edge = 0  # number of the first edge since the last boot
        self._edges: FairRing[EdgeRow] = FairRing(EDGE_RING, lambda _: None)
        self._pwm: FairRing[PwmRow] = FairRing(PWM_RING, lambda _: None)
        self._leds: FairRing[LedRow] = FairRing(LED_RING_BYTES, lambda _: None, lambda row: len(row.data) // 2 + 32)
        self._log: FairRing[LogRow] = FairRing(LOG_RING_BYTES, lambda row: row.app, lambda row: len(row.text) + 32)
        self._lines = LineBuffer()
        self._absent: set[str] = set()
        self._claims: dict[int | str, str] = {}
        self._edge_watchers: list[Callable[[EdgeRow], None]] = []
        self._log_watchers: list[Callable[[LogRow], None]] = []
        self.on_power: Callable[[PowerEvent], None] = lambda _: None
        """Called with "cut" before the pins fall, and with "on" after the new boot began."""
        self.parts = BoardParts(self)
        self.parts.wire(soldered_parts(profile))

    def set_calendar(self, epoch_ms: float) -> None:
        """Set the calendar, as the link's host does."""
        self._epoch_at_boot_ms = epoch_ms - self.clock.now_ms()

    def calendar_ms(self, uptime_ms: float) -> float:
        """Convert a time since the boot to milliseconds since the epoch, to the microsecond.

        Until the calendar is set, the epoch is the boot.
        """
        return round(self._epoch_at_boot_ms + uptime_ms, 3)  # the sum's last digits would put a second off

    def facts(self) -> dict[str, Any]:
        """Return the facts that the firmware reports of the board, over any port."""
        return {
            "device": self.name,
            "chip": self.profile.chip,
            "cpu_freq_mhz": self.cpu_mhz,
            "flash_size_mb": self.profile.flash_mb,
            "uptime_ms": int(self.clock.now_ms()),
        }

    def status(self) -> dict[str, Any]:
        return {
            "uptime_ms": int(self.clock.now_ms()),
            "sensors_active": [wired.part for _, wired in self.parts.bus_sensors()],
            "gpio_states": {str(p.pin): p.level for p in self.pins() if p.role != "idle" or p.level},
        }

    # Pins, as the outside and the tests see them.
    def pins(self) -> list[PinRow]:
        """Return the rows of all pins of the profile, in order."""
        with self.lock:
            return [PinRow(*(getattr(one, name) for name in PinRow.__struct_fields__)) for one in self._pins.values()]

    def level(self, pin: int) -> int:
        with self.lock:
            return self._pin(pin).level

    def has_pin(self, pin: int) -> bool:
        return pin in self._pins

    def can_drive(self, pin: int) -> bool:
        """Return False if the chip has no such pin, or it can only be input. A reserved one can be driven."""
        facts = self.profile.pins.get(pin)
        return facts is not None and (facts.reserved is not None or "output" in facts.uses)

    def set_input(self, pin: int, level: int | None) -> None:
        """Drive a pin from outside; None lets go of it."""
        with self.lock:
            state = self._pin(pin)
            state.external = None if level is None else int(bool(level))
            self._update(state)

    def set_resistor(self, pin: int, level: int | None) -> None:
        """Put a resistor on the board that pulls the pin to a level; None takes it away."""
        with self.lock:
            self._pin(pin).resistor = level
            self._update(self._pin(pin))

    def join(self, pin: int, other: int | None) -> None:
        """Connect a pin with another one from outside, as a closed switch does; None opens it again."""
        with self.lock:
            before = self._joined(pin)
            self._joins.join(pin, other)
            self._update(self._pin(pin))
            for state in before:
                self._settle(state)

    def pwm_signal(self, pin: int) -> tuple[int, float]:
        """Return the frequency of a pin's PWM and the time in us for which it is high in each period."""
        with self.lock:
            state = self._pin(pin)
            return state.frequency_hz, state.pulse_us

    # Pins, as the chip drives them.
    def configure_pin(
        self,
        pin: int,
        *,
        reads: bool,
        drives: bool,
        pull: int | None = None,
        open_drain: bool = False,
        app: str | None = None,
    ) -> None:
        """Configure a pin as gpio_config does. `pull` 1 is the pull-up, 0 the pull-down."""
        with self.lock:
            state = self._pin(pin)
            no_pull = self.profile.pins[pin].lacks.get("pull")
            if pull is not None and no_pull is not None:
                # The driver logs it and goes on: the pin floats.
                self.print_line(f"{GPIO_ERROR}pin {pin}: {no_pull}")
                pull = None
            self._stop_pwm(state)
            if drives:
                state.role = "output"
            elif reads:
                state.role = "input"
            else:
                state.role = "idle"
            state.reads = reads
            state.pull = pull
            state.open_drain = open_drain
            state.app = app if state.role != "idle" else None
            if drives and app is not None:
                state.driver = app
            self._note_opener(state)
            self._update(state)

    def claim(self, what: int | str, app: str) -> bool:
        """Take a pin as the GPIO driver does, or set a bus up; return False if it is taken."""
        with self.lock:
            if what in self._claims:
                return False
            self._claims[what] = app
            return True

    def release(self, what: int | str) -> None:
        with self.lock:
            self._claims.pop(what, None)

    def write_pin(self, pin: int, level: int, *, warns: bool = False) -> bool:
        """Set the output latch, which an output shows; True if it is another than before. Of an input it `warns`."""
        with self.lock:
            state = self._pin(pin)
            if warns and state.is_first_write_to_input():
                self.print_line(f"{GPIO_ERROR}pin {pin}{WRITTEN_INPUT}")
            before = state.out
            state.out = int(bool(level))
            self._update(state)
            return state.out != before

    def read_pin(self, pin: int) -> int:
        """Read a pin as gpio_get_level does: 0 while its input is off, as on the chip."""
        with self.lock:
            state = self._pin(pin)
            if not state.reads:
                return 0
            if self.parts.is_let_go(pin) and not state.is_held(self._joined(pin)):
                self.parts.note_floating(pin)
            return state.level

    def set_output(self, pin: int, level: int) -> None:
        """Make the pin an output that can be read back, at this level. PinRefused if it can only be input."""
        self._check_drivable(pin)
        with self.lock:
            state = self._pin(pin)
            state.out = int(bool(level))
            self.configure_pin(pin, reads=True, drives=True)

    def set_pwm(
        self, pin: int, duty: int, frequency_hz: int, app: str | None = None, *, pulse_us: float | None = None
    ) -> None:
        """Drive the pin with PWM of duty 0-255, or high for `pulse_us` a period; a change goes into the PWM history."""
        if pulse_us is None:
            high_us = duty / 255 * 1_000_000 / max(frequency_hz, 1)
        else:
            high_us = pulse_us
        signal = (duty, frequency_hz, round(high_us, 3))
        with self.lock:
            state = self._pin(pin)
            if (state.role, state.app, state.duty, state.frequency_hz, state.pulse_us) == ("pwm", app, *signal):
                return
            state.role = "pwm"
            state.app = app
            state.driver = app or state.driver
            self._note_opener(state)
            state.duty, state.frequency_hz, state.pulse_us = signal
            state.level = state.electrical_level()
            self._pwm.append(PwmRow(self.clock.now_ms(), pin, *signal))
            self.parts.pwm_changed(pin)

    def start_pwm(
        self, pin: int, duty: int, frequency_hz: int, app: str | None = None, *, pulse_us: float | None = None
    ) -> None:
        """Drive the pin with PWM on a channel and timer of the chip's. PinRefused if it has none for it."""
        self._check_drivable(pin)
        with self.lock:
            self._pwm_channels.take(pin, frequency_hz)
            self.set_pwm(pin, duty, frequency_hz, app, pulse_us=pulse_us)

    def is_pwm(self, pin: int) -> bool:
        with self.lock:
            return self._pin(pin).role == "pwm"

    def show_leds(self, pin: int, data: bytes) -> None:
        """Note that the chain of addressable LEDs on the pin shows this data until the next."""
        with self.lock:
            self._leds.append(LedRow(self.clock.now_ms(), pin, self.parts.lit(pin, data).hex()))

    # Histories.
    def edges(self, since: int = 0, limit: int | None = None) -> FairPage[EdgeRow]:
        with self.lock:
            return self._edges.since(since, limit)

    def pwm_changes(self, since: int = 0, limit: int | None = None) -> FairPage[PwmRow]:
        with self.lock:
            return self._pwm.since(since, limit)

    def led_changes(self, since: int = 0, limit: int | None = None) -> FairPage[LedRow]:
        with self.lock:
            return self._leds.since(since, limit)

    def log(self, since: int = 0, limit: int | None = None) -> FairPage[LogRow]:
        """Return console lines without their ends.

        A line that got no end for a second of board time counts as ended.
        Each program has a share of the room: one that floods pushes out its own lines.
        """
        with self.lock:
            self._end_stale_lines()
            return self._log.since(since, limit)

    def print(self, data: bytes, app: str | None = None) -> None:
        """Take console output as the program wrote it, in any pieces."""
        with self.lock:
            self._end_stale_lines()
            for line in self._lines.write(app, data, self.clock.now_ms()):
                self._log_line(line, app)

    def print_line(self, text: str, app: str | None = None) -> None:
        """Print a whole line of the firmware's; an unfinished line of that app is ended first."""
        with self.lock:
            self.end_line(app)
            self._log_line(text, app)

    def note_absent(self, what: str) -> None:
        """Print that a program wanted what is not on this board: once until a program prints a line."""
        with self.lock:
            if what not in self._absent and len(self._absent) < MAX_ABSENT:
                self._absent.add(what)
                self.print_line(f"{ABSENT}{clean_text(what, one_line=True, limit=60)}")

    def end_line(self, app: str | None, t_ms: float | None = None) -> None:
        """Show the app's unfinished line, now or as of a time: it prints nothing more."""
        with self.lock:
            rest = self._lines.end(app)
            if rest:
                self._log_line(rest, app, t_ms)

    def watch_edges(self, note: Callable[[EdgeRow], None]) -> None:
        """Call `note` for each edge, until `ignore_edges`."""
        with self.lock:
            self._edge_watchers.append(note)

    def ignore_edges(self, note: Callable[[EdgeRow], None]) -> None:
        with self.lock:
            self._edge_watchers.remove(note)

    def watch_log(self, note: Callable[[LogRow], None]) -> None:
        """Call `note` for each line of the console from now on."""
        with self.lock:
            self._log_watchers.append(note)

    # Power.
    def power_cut(self) -> None:
        """Cut the power of the board and its parts: apps die without on_destroy, RAM is gone; /storage stays.

        The power is switched, and `on_power` is called, by one thread at a time; others wait.
        """
        with self.switching:
            self._stop()
            with self.lock:
                self.parts.lose_power()

    def power_on(self) -> None:
        """Boot, with parts that come from power off, too. Nothing happens if the power is on."""
        with self.switching:
            if not self.powered:
                self._boot(has_lost_power=True)

    def reset(self) -> None:
        """Boot again as by the RESET pin: the parts have power all the time, and keep their state."""
        with self.switching:
            has_lost_power = not self.powered
            self._stop()
            self._boot(has_lost_power=has_lost_power)

    def crash(self, reason: str, boot: int) -> None:
        """Panic in that boot: print why and boot again. Nothing happens if that boot is over."""
        with self.switching:
            if self.boot == boot and self.powered:
                self.print_line(reason)
                self.print_line("Rebooting...")
                self._stop()
                self.is_after_panic = True
                self._boot(has_lost_power=False)

    def _stop(self) -> None:
        """End everything on the chip at once. Nothing happens if it has no power."""
        with self.lock:
            if not self.powered:
                return
            self.powered = False
        self.on_power("cut")
        with self.lock:
            self._let_go()

    def _boot(self, *, has_lost_power: bool) -> None:
        """Begin a boot: time begins at 0, the boot counter and id change."""
        with self.lock:
            self.parts.restart_clock()
            if has_lost_power:
                self.parts.power_on()
            self.boot_edge = self._edges.added
            self._epoch_at_boot_ms = 0.0
            self.boot += 1
            self.boot_id = secrets.token_hex(8)
            self.powered = True
        self.on_power("on")
        self.is_after_panic = False

    def _let_go(self) -> None:
        """Clear what RAM and pins lose at a reset."""
        for app in self._lines.unfinished():
            self.end_line(app)
        for state in self._pins.values():
            self._stop_pwm(state)
            self._pins[state.pin] = state = state.at_power_on()
            self._update(state)
        self._claims.clear()
        self._absent.clear()
        self.uart_queues = {port: UartQueue() for port in self.uarts}

    def _pin(self, pin: int) -> PinState:
        state = self._pins.get(pin)
        if state is None:
            raise PinRefused(f"no GPIO {pin} on {self.profile.board_id}", next_step="choose a pin of the board")
        return state

    def _check_drivable(self, pin: int) -> None:
        self._pin(pin)
        if not self.can_drive(pin):
            raise PinRefused(f"GPIO {pin} can only be input", next_step="choose another pin")

    def _note_opener(self, state: PinState) -> None:
        """Keep who opened the pin, and when for the first time."""
        if state.app is not None and state.app != state.opener:
            state.opener, state.opened_ms = state.app, self.clock.now_ms()

    def _stop_pwm(self, state: PinState) -> None:
        self._pwm_channels.release(state.pin)
        if state.role == "pwm" and state.duty:
            self._pwm.append(PwmRow(self.clock.now_ms(), state.pin, 0, state.frequency_hz, 0.0))
        state.duty = state.frequency_hz = 0
        state.pulse_us = 0.0
        if state.role == "pwm":
            state.role = "idle"
            state.level = 0
            self.parts.pwm_changed(state.pin)

    def _joined(self, pin: int) -> list[PinState]:
        """Return the pins that are joined with this one, whichever of them the switch belongs to."""
        return [self._pins[number] for number in self._joins.joined_with(pin)]

    def _update(self, state: PinState) -> None:
        """Give a pin, and those that are joined with it, the levels that follow from what drives them."""
        self._settle(state)
        for joined in self._joined(state.pin):
            self._settle(joined)

    def _settle(self, state: PinState) -> None:
        level = state.electrical_level(self._joined(state.pin))
        if level == state.level:
            return
        state.level = level
        if state.role == "pwm":
            return
        if state.role == "output" and state.app is not None:
            state.mover = state.app
        record = EdgeRow(self.clock.now_ms(), state.pin, level)
        self._edges.append(record)
        for note in self._edge_watchers:
            note(record)
        self.parts.edge(record)

    def _log_line(self, text: str, app: str | None, t_ms: float | None = None) -> None:
        record = LogRow(self.clock.now_ms() if t_ms is None else t_ms, app, text)
        if app is not None:
            self._absent.clear()
        self._log.append(record)
        for note in self._log_watchers:
            note(record)

    def _end_stale_lines(self) -> None:
        for app, since_ms in self._lines.stale(self.clock.now_ms()):
            self.end_line(app, since_ms)
