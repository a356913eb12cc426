"""One virtual board put together: board, manager and ports. Knows what a power cut does to each of them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from microclaw.errors import CallRejected, MicroclawError, Overloaded
from microclaw.virtual.board import Board, PowerEvent
from microclaw.virtual.clock import ClockTimer
from microclaw.virtual.firmware.app_manager import AppManager
from microclaw.virtual.ports.serial_port import SerialPty, SerialTcp
from microclaw.virtual.ports.wasmachine import Faults, WasmachinePort
from microclaw.virtual.py.programs import Programs
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire import board_control as wire
from microclaw.wire import board_replies as replies
from microclaw.wire.fair_ring import FairPage
from microclaw.wire.link.messages import RunTask
from microclaw.wire.wasmachine.frame import MessageType

if TYPE_CHECKING:
    from microclaw.virtual.link.port import LinkPort  # brings cryptography: only for boards that have a link

MAX_SET_AHEAD = 20_000
MAX_AT_MS = float(2**53)
MAX_LATE_MS = 1000.0
LOOP_BOOTS = 5
LOOP_S = 10.0
FREE_HEAP_BYTES = 280 * 1024  # of an idle WASMachine build; the heaps of apps are part of it

R = TypeVar("R", replies.EdgeRow, replies.PwmRow, replies.LedRow, replies.LogRow)


class VirtualMachine:
    """`manager` is that of the present boot; `ports` are those that a power cut closes."""

    def __init__(self, board: Board, programs: Programs, *, has_network: bool = False) -> None:
        self.board = board
        self.programs = programs
        self.faults = Faults()
        self.ports: list[WasmachinePort | SerialTcp | SerialPty] = []
        self.link: LinkPort | None = None
        self.addresses: dict[str, Any] = {"wasmachine": 0, "serial": None, "pty": None}
        self.send: Callable[[MessageType, bytes], None] = lambda _type, _payload: None  # over the WASMachine port
        self._has_network = has_network
        self._booted_s = time.monotonic()
        self._boots_in_a_row = 0
        self._set_ahead: list[ClockTimer] = []
        self.manager = self._new_manager()
        board.on_power = self._on_power

    def free_heap_bytes(self) -> int:
        return max(0, FREE_HEAP_BYTES - sum(app.heap_bytes for app in self.manager.apps))

    def start(self, link: LinkPort | None = None) -> None:
        """Begin the first boot, of a board with this link."""
        self.link = link
        if link is not None:
            self.board.watch_log(link.on_log)
        with self.board.switching:  # a kept app that crashes the board at once waits until all of them are started
            self._start_manager()

    def close(self) -> None:
        for port in (*self.ports, *([self.link] if self.link is not None else [])):
            port.close()
        self.manager.close()
        self.programs.power_cut()
        self.board.clock.close()

    def perform(self, request: wire.AnyRequest) -> object:
        """One control request; MicroclawError for what cannot be done."""
        match request:
            case wire.Info():
                return self._info()
            case wire.Pins():
                return replies.PinTable(tuple(self.board.pins()))
            case wire.Edges(since=since):
                rows, following, dropped, more = self._page(self.board.edges, since)
                return replies.EdgePage(rows, following, dropped, self._done().now_ms, more)
            case wire.ReadLog(since=since):
                return self._log_page(since)
            case wire.Pwm(since=since):
                return replies.PwmPage(*self._page(self.board.pwm_changes, since))
            case wire.Leds(since=since):
                return replies.LedPage(*self._page(self.board.led_changes, since, wire.MAX_LED_CHANGES_A_PAGE))
            case wire.Py(method=method, params=params):
                return replies.PyAnswer(self.programs.call(method, params))
            case wire.Apps() if not self.board.powered:
                return replies.AppListReply(())
            case wire.Apps():
                return replies.AppListReply((*(app.row() for app in self.manager.apps), *self.programs.app_rows()))
            case wire.SetInput() | wire.SetAdc() | wire.SetSensor():
                return self._set(request)
            case wire.Power(action=action):
                {"cut": self.board.power_cut, "on": self.board.power_on, "reset": self.board.reset}[action]()
                return self._done()
            case wire.Fault(name=name, count=count, after_bytes=after_bytes):
                self.faults.arm(name, count, after_bytes)
                return self._done()
            case wire.Advance(ms=ms, most_cpu_s=most_cpu_s):
                return self._advance(ms, most_cpu_s)
            case wire.Link() | wire.LinkReset() | wire.LinkTask() | wire.Mic() | wire.Speaker():
                return self._use_link(request)
            case _:
                assert_never(request)

    def _new_manager(self) -> AppManager:
        return AppManager(self.board, lambda kind, payload: self.send(kind, payload), has_network=self._has_network)

    def _start_manager(self) -> None:
        """Call it only when `manager` is set: an app that it starts may crash the board before this returns."""
        manager = self.manager
        safe = self._is_safe_to_start_apps()
        if not safe:
            self.board.print_line("boot loop: kept apps are not started")
        if self.link is not None:
            self.programs.firmware = self.link.load()
        self.board.print_line("App Manager started.")
        self.programs.power_on(with_programs=safe)
        if self.link is not None:
            self.link.power_on(with_apps=safe)
        threading.Thread(target=manager.serve, name="manager", daemon=True).start()

    def _is_safe_to_start_apps(self) -> bool:
        """False at the fifth boot in a row that followed a panic within ten seconds, whatever crashed each of them."""
        booted_s = self._booted_s
        self._booted_s = time.monotonic()
        in_a_row = self.board.is_after_panic and self._booted_s - booted_s < LOOP_S
        if in_a_row:
            self._boots_in_a_row = self._boots_in_a_row + 1
        else:
            self._boots_in_a_row = 1
        return self._boots_in_a_row < LOOP_BOOTS

    def _on_power(self, event: PowerEvent) -> None:
        if event == "cut":
            self.manager.close()
            self.programs.power_cut()
            if self.link is not None:
                self.link.power_cut()
            for port in self.ports:
                port.power_cut()
        else:
            self.manager = self._new_manager()
            self._set_ahead = []  # the clock forgot them
            for port in self.ports:
                port.power_on()
            self._start_manager()

    def _done(self) -> replies.Done:
        return replies.Done(round(self.board.clock.now_ms(), 3))

    def _info(self) -> replies.BoardInfo:
        board = self.board
        return replies.BoardInfo(
            name=board.name,
            board=board.profile.board_id,
            chip=board.profile.chip,
            clock="virtual" if board.clock.is_virtual else "real",
            generation=board.profile.firmware.attribute_generation,
            boot=board.boot,
            boot_id=board.boot_id,
            powered=board.powered,
            now_ms=round(board.clock.now_ms(), 3),
            pid=os.getpid(),
            **self.addresses,
        )

    def _page(
        self, read: Callable[[int, int], FairPage[R]], since: int, most: int = wire.MAX_EDGES_A_PAGE
    ) -> tuple[tuple[R, ...], int, int, bool]:
        """The rows, the number to go on with, how many are lost, and whether there is more."""
        page = read(since, most)
        return _rounded(page.records), page.next, page.dropped, len(page.records) == most

    def _log_page(self, since: int) -> replies.LogPage:
        page = self.board.log(since, wire.MAX_EDGES_A_PAGE)
        sizes = accumulate(len(json.dumps(row.text)) + len(json.dumps(row.app)) + 24 for row in page.records)
        count = max(1, sum(size <= wire.MAX_LOG_BYTES_A_PAGE for size in sizes))
        shown = page.first(count)
        more = count < len(page.records) or len(page.records) == wire.MAX_EDGES_A_PAGE
        return replies.LogPage(_rounded(shown.records), shown.next, shown.dropped, more)

    def _set(self, request: wire.SetInput | wire.SetAdc | wire.SetSensor) -> replies.Done:
        board = self.board
        if request.at_ms is not None:
            self._check_time(request.at_ms)
        match request:
            case wire.SetInput(pin=pin, level=level):
                board.level(pin)  # refuses a pin that the board lacks, now rather than at its time
                apply: Callable[[], None] = lambda: board.set_input(pin, level)  # noqa: E731
            case wire.SetAdc(pin=pin, volts=volts):
                board.adc.read(pin)
                apply = lambda: board.adc.set(pin, volts)  # noqa: E731
            case wire.SetSensor(sensor=sensor, values=values):
                board.wire_sensor(sensor)
                apply = lambda: board.set_sensor(sensor, values)  # noqa: E731
        if request.at_ms is None:
            apply()
        else:
            alarm = board.clock.call_at(request.at_ms, lambda: self._apply_late(apply))
            self._set_ahead.append(alarm)
        return self._done()

    def _check_time(self, at_ms: float) -> None:
        """Refuse what can never happen at that time, and one more when too many wait for theirs."""
        now_ms = self.board.clock.now_ms()
        late_ms = 0.0 if self.board.clock.is_virtual else MAX_LATE_MS  # a request takes a while to come
        if at_ms < 0 or at_ms < now_ms - late_ms:
            text = f"at_ms {at_ms:g} is past: the board's time is {now_ms:.3f} ms"
            raise CallRejected(text, next_step="give a time from now on, or none for at once")
        if at_ms > MAX_AT_MS:
            text = f"at_ms {at_ms:g} is too far ahead: at most {MAX_AT_MS:g}"
            raise CallRejected(text, next_step="give a nearer time")
        if len(self._set_ahead) >= MAX_SET_AHEAD:
            self._set_ahead = [alarm for alarm in self._set_ahead if not alarm.cancelled and alarm.t_ms > now_ms]
        if len(self._set_ahead) >= MAX_SET_AHEAD:
            text = f"{MAX_SET_AHEAD:,} inputs wait for their time already"
            raise Overloaded(text, next_step="advance the clock, then set more")

    def _use_link(self, request: wire.Link | wire.LinkReset | wire.LinkTask | wire.Mic | wire.Speaker) -> object:
        link = self.link
        if link is None:
            raise CallRejected("this board has no link", next_step="start it with --link URL")
        match request:
            case wire.Link():
                return link.status()
            case wire.Mic(path=path, trigger=trigger):
                link.audio.speak_into(Path(path), trigger)
            case wire.Speaker(hush=hush):
                if hush:
                    link.audio.interrupt()
                return link.audio.state()
            case wire.LinkReset():
                link.factory_reset()
            case wire.LinkTask(task=task, kind=kind, input=text, timeout_s=timeout_s):
                link.send(RunTask(task, kind, text, timeout_s))
        return self._done()

    def _apply_late(self, apply: Callable[[], None]) -> None:
        try:
            apply()
        except MicroclawError as exc:  # no request waits for it any more; the clock must go on
            self.board.print_line(f"bench: {exc.message}")

    def _advance(self, ms: float, most_cpu_s: float) -> replies.AdvanceResult:
        clock = self.board.clock
        if not isinstance(clock, VirtualClock):
            raise CallRejected("this board's clock is real", next_step="start it with --clock virtual")
        return clock.advance(ms, most_cpu_s)


def _rounded(rows: Iterable[R]) -> tuple[R, ...]:
    """The rows as they are shown: times to the microsecond."""
    return tuple(row._replace(t_ms=round(row.t_ms, 3)) for row in rows)
