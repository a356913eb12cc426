"""One virtual board put together: board, programs and ports. Knows what a power cut does to each of them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, assert_never

from microclaw.errors import CallRejected, MicroclawError, Overloaded
from microclaw.hardware.parts.wiring import read_wiring
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.virtual.board import PowerEvent
from microclaw.virtual.clock import ClockTimer
from microclaw.virtual.firmware.program_runners import ProgramRunners
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.part_states import PartStates
from microclaw.virtual.ports.serial_port import SerialPty, SerialTcp
from microclaw.virtual.ports.wasmachine import Faults, WasmachinePort
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire import board_control as wire
from microclaw.wire import board_replies as replies
from microclaw.wire.canned_lines import CannedLine, TimedLine
from microclaw.wire.fair_ring import FairPage
from microclaw.wire.link.messages import RunTask

if TYPE_CHECKING:
    from microclaw.virtual.link.port import LinkPort  # brings cryptography: only for boards that have a link

MAX_SET_AHEAD = 20_000
MAX_AT_MS = float(2**53)
MAX_LATE_MS = 1000.0
LOOP_BOOTS = 5
LOOP_S = 10.0

_HistoryRequest: TypeAlias = wire.Edges | wire.ReadLog | wire.Pwm | wire.Leds | wire.Shown | wire.Values | wire.Screens
R = TypeVar(
    "R",
    replies.EdgeRow,
    replies.PwmRow,
    replies.LedRow,
    replies.ShownRow,
    replies.ScreenRow,
    replies.LogRow,
    replies.TrafficRow,
)


class VirtualMachine:
    """`ports` are those that a power cut closes."""

    def __init__(self, runners: ProgramRunners) -> None:
        self.board = runners.board
        self.runners = runners
        self.faults = Faults()
        self._part_states = PartStates(runners.board)
        self.ports: list[WasmachinePort | SerialTcp | SerialPty] = []
        self.link: LinkPort | None = None
        self.addresses: dict[str, Any] = {"wasmachine": 0, "serial": None, "pty": None}
        self._booted_s = time.monotonic()
        self._boots_in_a_row = 0
        self._set_ahead: list[ClockTimer] = []
        self.board.on_power = self._on_power

    def start(self, link: LinkPort | None = None) -> None:
        """Begin the first boot, of a board with this link."""
        self.link = link
        if link is not None:
            self.board.watch_log(link.on_log)
        # A kept app that crashes the board at once waits until all of them are started.
        with self.board.switching:
            self._start_firmware()

    def close(self) -> None:
        """End everything: the process ends."""
        for port in self.ports:
            port.close()
        if self.link is not None:
            self.link.close()
        self.runners.power_cut()
        self.board.clock.close()

    def perform(self, request: wire.AnyRequest) -> object:
        """Carry out one control request; MicroclawError says why it cannot be done."""
        match request:
            case wire.Info():
                return self._info()
            case wire.Pins():
                return replies.PinTable(tuple(self.board.pins()))
            case wire.Edges() | wire.ReadLog() | wire.Pwm() | wire.Leds():
                return self._read_history(request)
            case wire.Shown() | wire.Values() | wire.Screens():
                return self._read_history(request)
            case wire.Parts(since=since):
                return self._part_states.since(since)
            case wire.Py(method=method, params=params):
                return replies.PyAnswer(self.runners.py.call(method, params))
            case wire.Apps():
                return self._list_apps()
            case wire.SetInput() | wire.SetAdc() | wire.SetSensor():
                return self._set(request)
            case wire.Wire(parts=tables):
                self._wire(tables)
                return self._done()
            case wire.Network(lines=lines):
                self._add_lines(lines)
                return self._done()
            case wire.Traffic(since=since):
                return self._traffic_page(since)
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

    def _read_history(self, request: _HistoryRequest) -> object:
        match request:
            case wire.Edges(since=since):
                rows, next_number, dropped, more = self._page(self.board.edges, since)
                return replies.EdgePage(
                    rows=rows,
                    next=next_number,
                    dropped=dropped,
                    now_ms=self._done().now_ms,
                    boot_edge=self.board.boot_edge,
                    more=more,
                )
            case wire.ReadLog(since=since):
                return self._log_page(since)
            case wire.Pwm(since=since):
                return replies.PwmPage(*self._page(self.board.pwm_changes, since))
            case wire.Leds(since=since):
                return replies.LedPage(*self._page(self.board.led_changes, since, wire.MAX_LED_CHANGES_A_PAGE))
            case wire.Shown(since=since):
                return replies.ShownPage(*self._page(self.board.parts.shown, since, wire.MAX_SHOWN_A_PAGE))
            case wire.Values(since=since):
                return replies.ShownPage(*self._page(self.board.parts.values, since, wire.MAX_SHOWN_A_PAGE))
            case wire.Screens(since=since):
                return self._screen_page(since)

    def _list_apps(self) -> replies.AppListReply:
        if not self.board.powered:
            return replies.AppListReply(())
        rows = [app.row() for app in self.runners.wasm.apps]
        rows += self.runners.py.app_rows()
        return replies.AppListReply(tuple(rows))

    def _start_firmware(self) -> None:
        """Boot. An app that this starts may crash the board, and a later boot begins, before this returns."""
        manager = self.runners.wasm
        is_safe = self._is_safe_to_start_apps()
        if not is_safe:
            self.board.print_line("boot loop: kept apps are not started")
        if self.link is not None:
            self.runners.py.firmware = self.link.load()
        self.board.print_line("App Manager started.")
        self.runners.py.power_on(with_programs=is_safe)
        if self.link is not None:
            self.link.power_on(with_apps=is_safe)
        threading.Thread(target=manager.serve, name="manager", daemon=True).start()

    def _is_safe_to_start_apps(self) -> bool:
        """Return False at the fifth boot in a row that followed a panic within ten seconds, whatever crashed it."""
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
            self.runners.power_cut()
            self.board.network.power_cut()
            if self.link is not None:
                self.link.power_cut()
            for port in self.ports:
                port.power_cut()
        else:
            self.runners.renew()
            # The clock forgot them.
            self._set_ahead = []
            for port in self.ports:
                port.power_on()
            self._start_firmware()

    def _done(self) -> replies.Done:
        return replies.Done(round(self.board.clock.now_ms(), 3))

    def _info(self) -> replies.BoardInfo:
        board = self.board
        clock_kind = "virtual" if board.clock.is_virtual else "real"
        # A board that is starting again has no power for a moment; its info waits for the boot.
        with board.switching:
            return replies.BoardInfo(
                name=board.name,
                board=board.profile.board_id,
                chip=board.profile.chip,
                clock=clock_kind,
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
        """Read the rows, the number to go on with, how many are lost, and whether there is more."""
        page = read(since, most)
        return _rounded(page.records), page.next, page.dropped, len(page.records) == most

    def _log_page(self, since: int) -> replies.LogPage:
        page = self.board.log(since, wire.MAX_EDGES_A_PAGE)
        sizes = [len(json.dumps(row.text)) + len(json.dumps(row.app)) + 24 for row in page.records]
        return replies.LogPage(*_first_bytes(page, sizes, wire.MAX_LOG_BYTES_A_PAGE))

    def _screen_page(self, since: int) -> replies.ScreenPage:
        page = self.board.parts.screens(since, wire.MAX_EDGES_A_PAGE)
        sizes = [len(row.data) + 100 for row in page.records]
        return replies.ScreenPage(*_first_bytes(page, sizes, wire.MAX_SCREEN_BYTES_A_PAGE))

    def _traffic_page(self, since: int) -> replies.TrafficPage:
        page = self._canned_network.traffic(since, wire.MAX_EDGES_A_PAGE)
        sizes = [len(json.dumps(row)) for row in page.records]
        return replies.TrafficPage(*_first_bytes(page, sizes, wire.MAX_TRAFFIC_BYTES_A_PAGE))

    @property
    def _canned_network(self) -> CannedNetwork:
        network = self.board.network
        if not isinstance(network, CannedNetwork):
            raise CallRejected("this board has a real network", next_step="start it without --network")
        return network

    def _add_lines(self, lines: Sequence[CannedLine]) -> None:
        for line in lines:
            if isinstance(line, TimedLine) and line.at_ms is not None:
                self._check_time(line.at_ms)
        self._canned_network.add(lines)

    def _set(self, request: wire.SetInput | wire.SetAdc | wire.SetSensor) -> replies.Done:
        if request.at_ms is None:
            self._check_input(request)
            self._apply(request)
            return self._done()
        self._check_time(request.at_ms)
        self._check_input(request)
        alarm = self.board.clock.call_at(request.at_ms, lambda: self._apply_late(request))
        self._set_ahead.append(alarm)
        return self._done()

    def _check_input(self, request: wire.SetInput | wire.SetAdc | wire.SetSensor) -> None:
        """Refuse what the board lacks now rather than at its time."""
        match request:
            case wire.SetInput(pin=pin):
                self.board.level(pin)
            case wire.SetAdc(pin=pin):
                self.board.adc.read(pin)
            case wire.SetSensor(sensor=sensor):
                self.board.parts.wire_usual(sensor)
                self.board.parts.model(sensor)

    def _wire(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the board's parts. Raises ConfigError or UnknownName, and nothing changes, for a wrong wiring."""
        wiring = read_wiring(tables)
        check_wiring(wiring, self.board.profile)
        self.board.parts.wire(wiring)

    def _apply(self, request: wire.SetInput | wire.SetAdc | wire.SetSensor) -> None:
        match request:
            case wire.SetInput(pin=pin, level=level):
                self.board.set_input(pin, level)
            case wire.SetAdc(pin=pin, volts=volts):
                self.board.adc.set(pin, volts)
            case wire.SetSensor(sensor=sensor, values=values):
                self.board.parts.set_values(sensor, values)

    def _check_time(self, at_ms: float) -> None:
        """Refuse what can never happen at that time, and one more when too many wait for theirs."""
        now_ms = self.board.clock.now_ms()
        # On the real clock a request takes a while to come.
        late_ms = 0.0 if self.board.clock.is_virtual else MAX_LATE_MS
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

    def _apply_late(self, request: wire.SetInput | wire.SetAdc | wire.SetSensor) -> None:
        try:
            self._apply(request)
        except MicroclawError as exc:
            # No request waits for it any more; the clock must go on.
            self.board.print_line(f"bench: {exc.message}")

    def _advance(self, ms: float, most_cpu_s: float) -> replies.AdvanceResult:
        clock = self.board.clock
        if not isinstance(clock, VirtualClock):
            raise CallRejected("this board's clock is real", next_step="start it with --clock virtual")
        return clock.advance(ms, most_cpu_s)


def _first_bytes(page: FairPage[R], sizes: Sequence[int], most_bytes: int) -> tuple[tuple[R, ...], int, int, bool]:
    """Return the first rows of a page, at least one, whose sizes are `most_bytes` in all; the rest as of `_page`."""
    count = max(1, sum(size <= most_bytes for size in accumulate(sizes)))
    first = page.first(count)
    more = count < len(page.records) or len(page.records) == wire.MAX_EDGES_A_PAGE
    return _rounded(first.records), first.next, first.dropped, more


def _rounded(rows: Iterable[R]) -> tuple[R, ...]:
    """Return the rows as they are shown: times to the microsecond."""
    return tuple(row._replace(t_ms=round(row.t_ms, 3)) for row in rows)
