"""The states of a board's parts and pins at one moment, each with how it is known. Asks no board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.devices.registry.calls import MAX_DUTY
from microclaw.hardware.parts.known_values import PinSignal
from microclaw.hardware.parts.reader import Part
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.wire.board_replies import PartScreen, PartStateRow, PinRow

StateSource: TypeAlias = Literal["counted", "reported", "ordered", "trial", "not read"]
"""How a state is known: the board counts what moves the part; a reading, telemetry, or what a virtual board says of its
sensors and displays; an order of this host that nobody saw done; the trial of the program that is there; or it is not
known."""

MAX_TEXT_CHARS: Final = 200
"""Of the text on a screen."""
_HEX_OF_A_COLOR: Final = 6


_SUREST_FIRST: Final[tuple[StateSource, ...]] = ("counted", "reported", "ordered", "trial", "not read")


class KnownNumber(Struct, frozen=True):
    """A value, how it is known, and when it was, in Unix time (None: now)."""

    value: float
    source: StateSource
    at_ms: int | None


class KnownSignal(Struct, frozen=True):
    """What is at a pin, with its duty of 0 to 255, how it is known and when."""

    signal: PinSignal
    duty: int
    source: StateSource
    at_ms: int | None


class TrialView(Struct, frozen=True):
    """The last picture of a display in a trial with its text, or the last colors of LEDs, and when the trial was."""

    at_ms: int | None
    screen: PartScreen | None = None
    colors: list[str] | None = None
    text: str | None = None


_NOTHING_SEEN: Final = TrialView(None)


class BenchState(Struct, frozen=True, kw_only=True):
    """The state of a part: its values by name, None for those that are not known.

    `at_ms` is when it was known, in Unix time; None: now, or never. `screen` is what a display shows, `colors` those
    of addressable LEDs as "rrggbb". `says` is the text that was read from the screen.
    """

    source: StateSource
    at_ms: int | None
    state: dict[str, float | None]
    screen: PartScreen | None = None
    colors: list[str] | None = None
    says: str | None = None


class BenchPin(Struct, frozen=True, kw_only=True):
    """The state of a pin. `duty` is 0 to 255, also that of a steady level; `program` is the one that has it.

    `is_input`: the program reads it, and what is wired there drives it.
    """

    gpio: int
    level: int | None
    duty: int | None
    frequency_hz: float
    source: StateSource
    program: str | None
    is_input: bool = False


def value_names(facts: Part) -> tuple[str, ...]:
    """Return the names of all values of a part: those set from outside, measured and shown."""
    return tuple(dict.fromkeys([*facts.inputs, *facts.measures, *facts.shows]))


def unknown_state(wired: WiredPart) -> BenchState:
    """Return the state of a part of which nothing is known."""
    return BenchState(source="not read", at_ms=None, state=dict.fromkeys(value_names(wired.facts)))


def board_state(wired: WiredPart, row: PartStateRow) -> BenchState:
    """Return the state that a virtual board tells of a part."""
    state = {name: row.values.get(name) for name in value_names(wired.facts)}
    is_known = bool(row.values) or row.screen is not None or row.colors is not None
    if not is_known:
        return unknown_state(wired)
    # Nothing counts what a sensor measures or a display shows: the board reports it.
    source: StateSource = "counted"
    if wired.facts.measures or wired.facts.kind == "display":
        source = "reported"
    return BenchState(source=source, at_ms=None, state=state, screen=row.screen, colors=_colors(row.colors))


def counted_pin(row: PinRow) -> BenchPin:
    """Return the state that a virtual board tells of a pin."""
    duty = row.duty
    if row.role != "pwm":
        duty = row.level * MAX_DUTY
    return BenchPin(
        gpio=row.pin,
        level=row.level,
        duty=duty,
        frequency_hz=row.frequency_hz,
        source="counted",
        program=row.app,
        is_input=row.role == "input",
    )


def unknown_pin(gpio: int, program: str | None = None, *, is_input: bool = False) -> BenchPin:
    """Return the state of a pin whose level is not known; a program may have it."""
    return BenchPin(
        gpio=gpio, level=None, duty=None, frequency_hz=0, source="not read", program=program, is_input=is_input
    )


def joined_state(numbers: Mapping[str, KnownNumber | None], view: TrialView | None = None) -> BenchState:
    """Return the state of a part: its values, and what a trial showed.

    It has the source of the value that is known least surely.
    """
    known = [number for number in numbers.values() if number is not None]
    if view is None:
        view = _NOTHING_SEEN
    else:
        known.append(KnownNumber(0.0, "trial", view.at_ms))
    source: StateSource = "not read"
    at_ms = None
    if known:
        weakest = max(known, key=lambda number: _SUREST_FIRST.index(number.source))
        source = weakest.source
        at_ms = weakest.at_ms
    state: dict[str, float | None] = dict.fromkeys(numbers)
    for name, number in numbers.items():
        if number is not None:
            state[name] = number.value
    return BenchState(
        source=source,
        at_ms=at_ms,
        state=state,
        screen=view.screen,
        colors=view.colors,
        says=screen_sentence(view.text),
    )


def screen_sentence(text: str | None) -> str | None:
    """Return the sentence about the text on a screen, or None if there is none."""
    if not text:
        return None
    return f"shows “{text[:MAX_TEXT_CHARS]}”"


def _colors(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [text[start : start + _HEX_OF_A_COLOR] for start in range(0, len(text), _HEX_OF_A_COLOR)]
