"""What a trial board recorded, read in parts, because its rings hold less than a long trial gives. Judges nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, structs

from microclaw.devices.registry.calls import NEWEST, ConsoleLines, EdgeLog, LedChange, LogLine, PwmChange
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.events import Edge
from microclaw.hardware.screens.screen import ShownScreen, unpack_screen
from microclaw.programs.proof.colors import colors_of
from microclaw.programs.proof.record import lines_left_out
from microclaw.programs.proof.verdict import SHIM_SAYS
from microclaw.wire import board_control as wire
from microclaw.wire.board_replies import (
    AppRow,
    LedPage,
    LedRow,
    PinRow,
    PwmPage,
    PwmRow,
    ScreenPage,
    ScreenRow,
    ShownPage,
    ShownRow,
    TrafficPage,
    TrafficRow,
)

_FIRMWARE_SAYS: Final = (
    "Got exception running WASM code: ",
    "Cannot find function ",
    "warning: ",
    "W gpio: ",
    "microclaw: ",
)


class EventPages(Struct, frozen=True):
    """What happened on a board since a reading, of each kind."""

    edges: EdgeLog
    pwm: PwmPage
    leds: LedPage
    shown: ShownPage
    values: ShownPage
    screens: ScreenPage
    traffic: TrafficPage
    log: ConsoleLines


class BoardEvents:
    """The board's edges since its start, PWM and LED changes, what parts show, and its lines since `begin`."""

    def __init__(self, control: VirtualBoardTransport) -> None:
        self._control = control
        self.edges: list[Edge] = []
        self.pwm: list[PwmRow] = []
        self.leds: list[LedRow] = []
        self.shown: list[ShownRow] = []
        self.values: list[ShownRow] = []
        self.screens: list[ShownScreen] = []
        self.traffic: list[TrafficRow] = []
        self.lines: list[LogLine] = []
        self.now_ms = 0.0
        self.lost = False
        self.first_line = 0
        self._edge_cursor = 0
        self._pwm_cursor = 0
        self._led_cursor = 0
        self._shown_cursor = 0
        self._value_cursor = 0
        self._screen_cursor = 0
        self._traffic_cursor = 0
        self._log_cursor = 0

    @property
    def recorded(self) -> tuple[int, int]:
        """The numbers of lines, and of changes of pins, LEDs and parts, also of those that the board has no more."""
        line_count = self._log_cursor - self.first_line
        change_count = self._edge_cursor + self._pwm_cursor + self._led_cursor + self._shown_cursor
        change_count += self._screen_cursor + self._traffic_cursor
        return line_count, change_count

    async def begin(self) -> None:
        """Leave out the lines until now."""
        log = await self._control.log(NEWEST)
        self._log_cursor = log.cursor
        self.first_line = log.cursor

    async def read(self) -> None:
        """Add what happened since the last reading."""
        self.add(await self.ask())

    async def ask(self) -> EventPages:
        """Return what happened since the last reading; it is not added."""
        control = self._control
        return EventPages(
            edges=await control.edges(self._edge_cursor),
            pwm=await control.pages(wire.Pwm, self._pwm_cursor),
            leds=await control.pages(wire.Leds, self._led_cursor),
            shown=await control.pages(wire.Shown, self._shown_cursor),
            values=await control.pages(wire.Values, self._value_cursor),
            screens=await control.pages(wire.Screens, self._screen_cursor),
            traffic=await control.pages(wire.Traffic, self._traffic_cursor),
            log=await control.log(self._log_cursor),
        )

    def add(self, pages: EventPages) -> None:
        """Add what `ask` returned."""
        self.edges += pages.edges.edges
        self.pwm += pages.pwm.rows
        self.leds += pages.leds.rows
        self.shown += pages.shown.rows
        self.values += pages.values.rows
        self.screens += map(_shown_screen, pages.screens.rows)
        self.traffic += pages.traffic.rows
        self.lines += pages.log.lines
        self.lost = self.lost or any(page.dropped for page in structs.astuple(pages))
        self._edge_cursor = pages.edges.cursor
        self._pwm_cursor = pages.pwm.next
        self._led_cursor = pages.leds.next
        self._shown_cursor = pages.shown.next
        self._value_cursor = pages.values.next
        self._screen_cursor = pages.screens.next
        self._traffic_cursor = pages.traffic.next
        self._log_cursor = pages.log.cursor
        self.now_ms = pages.edges.now_ms

    def between(self, start_ms: float, end_ms: float, last_line_ms: float, outside: Collection[int]) -> dict[str, Any]:
        """Return the fields of a Record: everything of that time, without edges on pins that the outside moves.

        The board's word that lines were left out counts whenever it comes: it is about the lines before it.
        """
        return {
            "lines": tuple(self._lines_between(start_ms, last_line_ms)),
            "edges": tuple(self._edges_between(start_ms, end_ms, outside)),
            "pwm": tuple(self._pwm_between(start_ms, end_ms)),
            "leds": led_changes([row for row in self.leds if start_ms <= row.t_ms < end_ms], start_ms),
            "shown": tuple(_rows_between(self.shown, start_ms, end_ms)),
            "values": tuple(_rows_between(self.values, start_ms, end_ms)),
            "screens": tuple(self._screens_between(start_ms, end_ms)),
            "traffic": tuple(self._traffic_between(start_ms, end_ms)),
        }

    def _lines_between(self, start_ms: float, last_line_ms: float) -> Iterator[LogLine]:
        for line in self.lines:
            if line.t_ms < last_line_ms or lines_left_out(line.text)[0]:
                yield from _console_lines(line, start_ms, min(line.t_ms, last_line_ms))

    def _edges_between(self, start_ms: float, end_ms: float, outside: Collection[int]) -> Iterator[Edge]:
        for edge in self.edges:
            if start_ms <= edge.t_ms < end_ms and edge.pin not in outside:
                yield Edge(edge.t_ms - start_ms, edge.pin, edge.level)

    def _pwm_between(self, start_ms: float, end_ms: float) -> Iterator[PwmChange]:
        for row in self.pwm:
            if start_ms <= row.t_ms < end_ms:
                yield PwmChange(row.t_ms - start_ms, row.pin, row.duty, row.frequency_hz, row.pulse_us)

    def _traffic_between(self, start_ms: float, end_ms: float) -> Iterator[TrafficRow]:
        for row in self.traffic:
            if start_ms <= row.t_ms < end_ms:
                yield row._replace(t_ms=row.t_ms - start_ms)

    def _screens_between(self, start_ms: float, end_ms: float) -> Iterator[ShownScreen]:
        """Yield what each display shows at the start, then each picture."""
        before: dict[str, ShownScreen] = {}
        pictures: list[ShownScreen] = []
        for shown in self.screens:
            if shown.t_ms < start_ms:
                before[shown.part] = structs.replace(shown, t_ms=0.0)
            elif shown.t_ms < end_ms:
                pictures.append(structs.replace(shown, t_ms=shown.t_ms - start_ms))
        yield from before.values()
        yield from pictures


class TrialPins(Struct, frozen=True):
    """The roles of the board's pins, and of the program's own ones."""

    program: str
    rows: Sequence[PinRow]
    roles: Mapping[int, str]
    own: Mapping[int, str]

    @classmethod
    def of(cls, program: str, rows: Sequence[PinRow], app: AppRow | None) -> TrialPins:
        """Return the roles by the board's rows. A pin that the program moved and let go is an output of it."""
        roles: dict[int, str] = {}
        own: dict[int, str] = {}
        for pin in rows:
            role: str = pin.role
            is_let_go = pin.mover == program and role in ("idle", "input")
            if is_let_go:
                role = "output"
            roles[pin.pin] = role
            if is_let_go or pin.app == program:
                own[pin.pin] = role
        if app is not None:
            for number in app.pins:
                own.setdefault(number, roles.get(number, "idle"))
        return cls(program, rows, roles, own)

    def opened(self, start_ms: float) -> dict[int, float]:
        """Return when the program opened its pins first; at the start if the board does not say it."""
        opened = dict.fromkeys(self.own, 0.0)
        for pin in self.rows:
            if pin.opener == self.program:
                opened[pin.pin] = max(pin.opened_ms - start_ms, 0.0)
        return opened

    def moved_outside(self, stimulated: Collection[int]) -> set[int]:
        """Return the pins that the outside moves: inputs, and idle pins that are among `stimulated`."""
        outside = set()
        for pin, role in self.roles.items():
            if role == "input" or (role == "idle" and pin in stimulated):
                outside.add(pin)
        return outside


def _rows_between(rows: Iterable[ShownRow], start_ms: float, end_ms: float) -> Iterator[ShownRow]:
    """Yield each value that parts have at the start, then each change."""
    before: dict[tuple[str, str], ShownRow] = {}
    changes: list[ShownRow] = []
    for row in rows:
        if row.t_ms < start_ms:
            before[row.part, row.name] = row._replace(t_ms=0.0)
        elif row.t_ms < end_ms:
            changes.append(row._replace(t_ms=row.t_ms - start_ms))
    yield from before.values()
    yield from changes


def _shown_screen(row: ScreenRow) -> ShownScreen:
    return ShownScreen(row.t_ms, row.part, unpack_screen(row.kind, row.width, row.height, row.data, row.mark))


def led_changes(rows: Iterable[LedRow], start_ms: float) -> tuple[LedChange, ...]:
    return tuple(LedChange(row.t_ms - start_ms, row.pin, colors_of(bytes.fromhex(row.data))) for row in rows)


def _console_lines(line: LogLine, start_ms: float, t_ms: float) -> list[LogLine]:
    """Return a line of the console as one or two of the program's or the firmware's.

    The board names the app also on lines that the firmware printed about it; those are not the app's own. A text
    without a line feed at its end stands on one line with the shim's text after it: that makes two.
    """
    text, said, end = line.text.partition(SHIM_SAYS)
    texts = [line.text]
    if said and text and line.app is not None:
        texts = [text, said + end]
    lines = []
    for one_text in texts:
        app = line.app
        if one_text.startswith(_FIRMWARE_SAYS):
            app = None
        lines.append(LogLine(t_ms - start_ms, app, one_text))
    return lines
