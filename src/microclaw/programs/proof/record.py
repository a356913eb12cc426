"""The virtual board's record of one program's run, and what a program's pins, PWM, LEDs and lines were over time.

Judges nothing. Times are in ms since the program's installation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, TypeVar

from msgspec import Struct

from microclaw.devices.registry.calls import LedChange, LogLine, PwmChange
from microclaw.events import Edge
from microclaw.hardware.screens.fonts import Font
from microclaw.hardware.screens.screen import ShownScreen
from microclaw.hardware.screens.text_reading import ScreenReader
from microclaw.wire.board_replies import ShownRow, TrafficRow

E = TypeVar("E", Edge, PwmChange, LedChange)

_LEFT_OUT: Final = re.compile(r"\((\d{1,9}) lines? (?:were|was) left out\)(?: (.*))?", re.DOTALL)
"""What a board prints in the place of lines beyond its limit; older firmware puts the next line behind it."""

_TALKS: Final = ("asked", "published")
"""The rows of the traffic that show that the program did something; so does an answer of its own, with a status."""


class TrialWindow(Struct, frozen=True):
    """The part of the trial that a check is about; `until_ms` None: to its end."""

    from_ms: float = 0.0
    until_ms: float | None = None


WHOLE: Final = TrialWindow()


class Record(Struct, frozen=True, kw_only=True, dict=True):
    """The board's record of a run.

    `state` is the board's word for the app (loaded, running, returned, exited, trapped), None when the board does
    not list it, `trap` its word for how it failed. `lines` have no `app` where the firmware speaks. `shown` are the
    values of wired parts, those of the start at 0, `values` their inputs and what they measure, `screens` what displays
    show, `traffic` what was said on the network. `fonts` are those that the program
    may draw with; none: the project's own. `refused` is the firmware's text when it did not take the
    program. `longest_call_ms`: what one call of a callback took at most, `longest_main_ms`: what main did between
    two waits. `roles`: input, output or pwm of each pin that the program opened, `opened`: when it opened it first
    (None: not recorded, at the start). `levels` are the pins' levels at the end. `given` are edges from outside on
    pins that the program does not drive, `bursts` for each of them the first and the last moment of each change to
    a level: a bounce is one change. `heap_samples`: (time, most heap in use until then). `probes`: what it did when
    the pins that it reads, and that had no input, were moved at the end, `bounces`: warnings of presses that counted
    more than once. `overflowed`: the board lost edges, PWM changes or lines, there were too many. `storm`: what it
    did in a part of a second that took the board minutes. `unfinished`: how far the run came in the time that this
    machine has for it. `never_ends`: the next run was due,
    and this one still went on. `was_stimulated`: a stimulus after the start reached it.
    """

    state: str | None = "running"
    trap: str | None = None
    lines: tuple[LogLine, ...] = ()
    edges: tuple[Edge, ...] = ()
    pwm: tuple[PwmChange, ...] = ()
    leds: tuple[LedChange, ...] = ()
    shown: tuple[ShownRow, ...] = ()
    values: tuple[ShownRow, ...] = ()
    screens: tuple[ShownScreen, ...] = ()
    traffic: tuple[TrafficRow, ...] = ()
    fonts: tuple[Font, ...] = ()
    roles: Mapping[int, str] = {}
    opened: Mapping[int, float] | None = None
    levels: Mapping[int, int] = {}
    given: tuple[Edge, ...] = ()
    bursts: Mapping[int, tuple[tuple[float, float, int], ...]] = {}
    peak_heap_bytes: int = 0
    peak_stack_bytes: int = 0
    heap_samples: tuple[tuple[float, int], ...] = ()
    board_ms: float = 0.0
    longest_call_ms: float = 0.0
    longest_main_ms: float = 0.0
    stuck: bool = False
    storm: str | None = None
    unfinished: str | None = None
    never_ends: bool = False
    was_stimulated: bool = False
    rebooted: bool = False
    refused: str | None = None
    overflowed: bool = False
    probes: tuple[str, ...] = ()
    bounces: tuple[str, ...] = ()
    is_python: bool = False

    @property
    def moved(self) -> bool:
        has_shown = any(row.t_ms > 0 for row in self.shown) or any(row.t_ms > 0 for row in self.screens)
        has_talked = any(row.kind in _TALKS or row.status is not None for row in self.traffic)
        return bool(self.edges or self.pwm or self.leds or self.printed[0] or has_shown or has_talked)

    @property
    def pins(self) -> tuple[int, ...]:
        """The pins that it opened."""
        return tuple(sorted(self.roles))

    @property
    def driven(self) -> tuple[int, ...]:
        return self._pins_of("output", "pwm")

    @property
    def inputs(self) -> tuple[int, ...]:
        """The pins that it reads; those of a bus are none."""
        return self._pins_of("input")

    def _pins_of(self, *roles: str) -> tuple[int, ...]:
        return tuple(pin for pin in self.pins if self.roles[pin] in roles)

    def opened_ms(self, pin: int) -> float | None:
        """Return when the program opened the pin first; None: never. Nothing is known of its level before."""
        if self.opened is None:
            return 0.0
        return self.opened.get(pin)

    def until(self, window: TrialWindow) -> float:
        if window.until_ms is None:
            return self.board_ms
        return min(window.until_ms, self.board_ms)

    @cached_property
    def screen_reader(self) -> ScreenReader:
        """Reads the text of its screens, each picture once."""
        return ScreenReader(self.fonts)

    @cached_property
    def printed(self) -> tuple[list[tuple[float, str]], list[tuple[float, float, int]]]:
        """The program's lines as (time, text), and its gaps as (from, until, number of lines that are missing)."""
        texts: list[tuple[float, str]] = []
        gaps: list[tuple[float, float, int]] = []
        last_ms = 0.0
        for line in self.lines:
            if line.app is None:
                continue
            count, text = lines_left_out(line.text)
            if count:
                gaps.append((last_ms, line.t_ms, count))
            if text is not None:
                texts.append((line.t_ms, text))
            last_ms = line.t_ms
        return texts, gaps

    def left_out(self, window: TrialWindow) -> int:
        """Return the number of lines that may be missing in a window."""
        until_ms = self.until(window)
        line_count = 0
        for start_ms, end_ms, count in self.printed[1]:
            if start_ms <= until_ms and end_ms >= window.from_ms:
                line_count += count
        return line_count

    @cached_property
    def all_edges(self) -> list[Edge]:
        """The edges in order, with those from outside on pins that the program does not drive."""
        driven = {edge.pin for edge in self.edges}
        edges = [*self.edges]
        for edge in self.given:
            if edge.pin not in driven:
                edges.append(edge)
        edges.sort(key=lambda edge: edge.t_ms)
        return edges

    @cached_property
    def _tracks(self) -> dict[int, list[tuple[float, int]]]:
        tracks: dict[int, list[tuple[float, int]]] = {}
        for edge in self.all_edges:
            track = tracks.setdefault(edge.pin, [(0.0, 1 - edge.level)])
            track.append((edge.t_ms, edge.level))
        return tracks

    def track(self, pin: int) -> list[tuple[float, int]]:
        """Return a pin's level at the start, then each change, as (time, level)."""
        return self._tracks.get(pin) or [(0.0, self.levels.get(pin, 0))]

    def shown_by(self, part: str, name: str) -> list[tuple[float, float]]:
        """Return (time, value) of what a part shows, in order."""
        return [(row.t_ms, row.value) for row in self.shown if (row.part, row.name) == (part, name)]

    def duties(self, pin: int) -> list[tuple[float, float]]:
        """Return (time, duty in percent) of one pin, in order."""
        return [(change.t_ms, change.duty / 2.55) for change in self.pwm if change.pin == pin]


def lines_left_out(text: str) -> tuple[int, str | None]:
    """Return the number of lines that a board left out before this one, and the line behind its note.

    A line without such a note is (0, text); the note alone has None as its line.
    """
    note = _LEFT_OUT.fullmatch(text)
    if note is None:
        return 0, text
    return int(note[1]), note[2]


def shown_texts(rows: Sequence[ShownRow]) -> list[str]:
    """Return what each part shows at the end, if it changed: "motor1: steps 200"."""
    last_rows: dict[tuple[str, str], ShownRow] = {}
    for row in rows:
        if row.t_ms > 0:
            last_rows[row.part, row.name] = row
    return [f"{row.part}: {row.name} {row.value:g}" for row in last_rows.values()]


def by_pin(changes: Iterable[E]) -> dict[int, list[E]]:
    """Return the changes of each pin, in their order."""
    pins: dict[int, list[E]] = {}
    for change in changes:
        pins.setdefault(change.pin, []).append(change)
    return pins
