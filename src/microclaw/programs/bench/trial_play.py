"""A trial as it is played on the bench: what its parts, screens, LEDs and pins were over its time. Judges nothing.

It is made of the record alone, so it shows what the checks saw. It is bounded: `cut_ms` says from where on it is left
out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs, to_builtins

from microclaw.devices.registry.calls import MAX_DUTY, PwmChange
from microclaw.events import Edge
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.hardware.screens.screen import Screen, pack_data
from microclaw.hardware.screens.text_reading import ScreenReader
from microclaw.programs.bench.results import BenchPart, bench_part
from microclaw.programs.bench.screen_words import sentence_of
from microclaw.programs.bench.states import board_state, unknown_state
from microclaw.programs.proof.colors import Rgb
from microclaw.programs.proof.trial import Trial
from microclaw.wire.board_replies import PartScreen, PartStateRow

MAX_CHANGES: Final = 2_000
"""Of the parts, and as many of the pins."""
MAX_PICTURES: Final = 60
MAX_BYTES: Final = 400_000
_LEVEL_BYTES: Final = 32
_DECIMALS: Final = 3
_AFTER_MOMENT_MS: Final = 500.0
_DARK: Final[Rgb] = (0, 0, 0)


PartRow: TypeAlias = tuple[float, str, dict[str, Any]]
PinRow: TypeAlias = tuple[float, int, int, int]


class TrialPlay(Struct, frozen=True, kw_only=True):
    """The parts as GET bench has them, with their states at 0; then what changes, in the order of the times.

    `changes` are [t_ms, part, what changed], `levels` are [t_ms, gpio, level, duty], from 0 on. `cut_ms`: from there
    on everything is left out. `moments` has, by the number of an expectation's line, the moment that shows its answer.
    """

    for_ms: float
    cut_ms: float | None
    parts: list[BenchPart]
    changes: list[PartRow]
    levels: list[PinRow]
    moments: dict[str, float]


class _PartMoment(Struct):
    """What changes at a part at a moment: some of its values, its picture, its colors."""

    t_ms: float
    part: str
    values: dict[str, float]
    screen: Screen | None = None
    says: str | None = None
    colors: tuple[Rgb, ...] | None = None

    def to_row(self) -> PartRow:
        changed: dict[str, Any] = {}
        if self.values:
            changed["state"] = self.values
        if self.screen is not None:
            changed["screen"] = to_builtins(_packed(self.screen))
            changed["says"] = self.says
        if self.colors is not None:
            changed["colors"] = [bytes(color).hex() for color in self.colors]
        return _rounded(self.t_ms), self.part, changed


class _PinMoment(Struct, frozen=True):
    """The level and the duty (0-255) that a pin has from a moment on."""

    t_ms: float
    pin: int
    level: int
    duty: int

    def to_row(self) -> PinRow:
        return _rounded(self.t_ms), self.pin, self.level, self.duty


_Moment: TypeAlias = _PartMoment | _PinMoment


def play_of(trial: Trial, board: BoardProfile) -> TrialPlay:
    """Return the play of what the trial was to show, without the soak; all of it if the program has a fault."""
    for_ms = _played_ms(trial)
    starts: dict[str, _PartMoment] = {}
    moments: list[_Moment] = []
    for part_moment in _part_moments(trial):
        if part_moment.t_ms > 0:
            moments.append(part_moment)
            # A display before its first picture is not unknown: it shows nothing.
            starts.setdefault(part_moment.part, _PartMoment(0.0, part_moment.part, {}))
        else:
            starts[part_moment.part] = part_moment
    parts = [_part_at_start(part, starts.get(part.id), board) for part in trial.wiring.parts]
    moments += _pin_moments(trial, parts)
    moments.sort(key=lambda moment: moment.t_ms)
    rows = _PlayRows(trial.screen_reader)
    for moment in moments:
        if moment.t_ms > for_ms or not rows.add(moment):
            break
    return TrialPlay(
        for_ms=_rounded(for_ms),
        cut_ms=rows.cut_ms,
        parts=parts,
        changes=rows.changes,
        levels=rows.levels,
        moments=_answer_moments(trial),
    )


class _PlayRows:
    """The rows of a play, until they are too many; everything of that moment is left out then."""

    def __init__(self, reader: ScreenReader) -> None:
        self._reader = reader
        self.changes: list[PartRow] = []
        self.levels: list[PinRow] = []
        self.cut_ms: float | None = None
        self._picture_count = 0
        self._bytes = 0

    def add(self, moment: _Moment) -> bool:
        """Add what happened at a moment. Return False if that is too much."""
        if isinstance(moment, _PinMoment):
            self.levels.append(moment.to_row())
            self._bytes += _LEVEL_BYTES
        else:
            if moment.screen is not None:
                moment.says = sentence_of(self._reader.read(moment.screen))
            row = moment.to_row()
            self.changes.append(row)
            self._bytes += len(json.dumps(row))
            self._picture_count += moment.screen is not None
        count = max(len(self.changes), len(self.levels))
        is_too_much = count > MAX_CHANGES or self._picture_count > MAX_PICTURES or self._bytes > MAX_BYTES
        if is_too_much and moment.t_ms > 0:
            self._cut(_rounded(moment.t_ms))
        return self.cut_ms is None

    def _cut(self, cut_ms: float) -> None:
        self.cut_ms = cut_ms
        self.changes = [change for change in self.changes if change[0] < cut_ms]
        self.levels = [change for change in self.levels if change[0] < cut_ms]


def _played_ms(trial: Trial) -> float:
    """Return how much of a trial is played: what was asked for, and what its expectations speak of."""
    if trial.is_broken:
        return trial.board_ms
    end_ms = trial.needed_ms
    for moment_ms in _answer_moments(trial).values():
        end_ms = max(end_ms, moment_ms + _AFTER_MOMENT_MS)
    return min(end_ms, trial.board_ms)


def _answer_moments(trial: Trial) -> dict[str, float]:
    moments = {}
    for result in trial.expected:
        if result.at_ms is not None:
            moments[str(result.asked.number)] = _rounded(result.at_ms)
    return moments


def _part_moments(trial: Trial) -> list[_PartMoment]:
    """Return what changed at the wired parts, one moment for each part and time. What was so at the start is at 0."""
    moments: dict[tuple[float, str], _PartMoment] = {}
    for row in (*trial.values, *trial.shown):
        moment = moments.setdefault((row.t_ms, row.part), _PartMoment(row.t_ms, row.part, {}))
        moment.values[row.name] = row.value
    for shown in trial.screens:
        moment = moments.setdefault((shown.t_ms, shown.part), _PartMoment(shown.t_ms, shown.part, {}))
        moment.screen = shown.screen
    for part in trial.wiring.parts:
        for t_ms, colors in _chain_colors(trial, part):
            moment = moments.setdefault((t_ms, part.id), _PartMoment(t_ms, part.id, {}))
            moment.colors = colors
    return list(moments.values())


def _chain_colors(trial: Trial, part: WiredPart) -> Iterator[tuple[float, tuple[Rgb, ...]]]:
    """Yield the colors of addressable LEDs from the start on. LEDs that get no color keep theirs."""
    if part.facts.kind != "leds":
        return
    count = round(part.attributes.get("count", part.facts.attributes["count"].default))
    colors = (_DARK,) * count
    yield 0.0, colors
    for change in trial.leds:
        if change.pin in part.pins.values():
            colors = change.colors + colors[len(change.colors) :]
            yield change.t_ms, colors


def _part_at_start(part: WiredPart, first: _PartMoment | None, board: BoardProfile) -> BenchPart:
    """Return a part with its state at the start; of unknown state if nothing of it reacts."""
    if first is None:
        return bench_part(board, part, unknown_state(part))
    screen = None
    if first.screen is not None:
        screen = _packed(first.screen)
    colors = None
    if first.colors is not None:
        colors = b"".join(map(bytes, first.colors)).hex()
    state = board_state(part, PartStateRow(part.id, first.values, screen, colors))
    return bench_part(board, part, structs.replace(state, source="counted"))


def _pin_moments(trial: Trial, parts: Sequence[BenchPart]) -> Iterator[_PinMoment]:
    """Yield the levels of the wired pins and of those that moved: at 0, then each change."""
    changes: dict[int, list[Edge | PwmChange]] = {}
    for part in parts:
        for pin in part.pins:
            changes.setdefault(pin.gpio, [])
    moved: list[Edge | PwmChange] = [*trial.all_edges, *trial.pwm]
    # At one moment the duty comes after the edge: PWM that begins has its own duty then.
    moved.sort(key=lambda change: change.t_ms)
    for change in moved:
        changes.setdefault(change.pin, []).append(change)
    for gpio, pin_changes in changes.items():
        yield from _levels_of(gpio, _first_level(trial, gpio), pin_changes)


def _first_level(trial: Trial, pin: int) -> int:
    """Return the level at the start. A pin with PWM and without edges was low before."""
    has_edges = any(edge.pin == pin for edge in trial.all_edges)
    if not has_edges and trial.duties(pin):
        return 0
    return trial.track(pin)[0][1]


def _levels_of(pin: int, first_level: int, changes: Sequence[Edge | PwmChange]) -> list[_PinMoment]:
    """Return the moments of one pin; of several changes at one time the last."""
    moments = [_PinMoment(0.0, pin, first_level, MAX_DUTY * first_level)]
    is_pwm = False
    for change in changes:
        duty = moments[-1].duty
        if isinstance(change, PwmChange):
            is_pwm = change.duty > 0
            level = int(is_pwm)
            duty = change.duty
        else:
            level = change.level
            if not is_pwm:
                duty = MAX_DUTY * level
        if moments[-1].t_ms == change.t_ms:
            moments.pop()
        moments.append(_PinMoment(change.t_ms, pin, level, duty))
    return moments


def _packed(screen: Screen) -> PartScreen:
    return PartScreen(screen.kind, screen.width, screen.height, pack_data(screen), screen.mark)


def _rounded(t_ms: float) -> float:
    return round(t_ms, _DECIMALS)
