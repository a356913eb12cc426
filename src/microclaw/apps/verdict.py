"""Judges the virtual board's record of a program: whether it works, and if not, why. Runs nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microclaw.boards.pins import check_pin
from microclaw.boards.profile import BoardProfile, PinUse
from microclaw.devices.calls import PwmChange
from microclaw.errors import PinRefused
from microclaw.events import Edge
from microclaw.pin_track import TOLERANCE, Rhythm, rhythms
from microclaw.text import format_duration

SLACK_MS = 25.0
"""On a busy host the virtual board may be this late, whatever the time between edges."""


def describe(edges: Sequence[Edge], pwm: Sequence[PwmChange] = ()) -> str:
    """ "20 edges on pin 2, 0.500 s apart"; empty when nothing moved."""
    parts = [_describe_rhythm(r) for r in rhythms(edges)]
    duties: dict[int, list[int]] = {}
    for change in pwm:
        duties.setdefault(change.pin, []).append(change.duty)
    for pin, seen in duties.items():
        span = f"duty {seen[0]}" if len(set(seen)) == 1 else f"duty {min(seen)} to {max(seen)} of 255"
        parts.append(f"{count_text(len(seen), 'PWM change')} on pin {pin}, {span}")
    return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the edges seen are the expected ones, and if not, the difference in words."""

    agrees: bool
    difference: str | None = None


def compare(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """Compare the edges of one pin, as many as both have: the same levels, the same time from first to last.

    The pin may have been high before, so expected edges before the first one with the seen level are skipped.
    """
    if not seen:
        return Agreement(False, "no edge where the trial had some")
    start = next((i for i, edge in enumerate(expected) if edge.level == seen[0].level), None)
    if start is None:
        return Agreement(False, f"the first edge goes to {seen[0].level}, in the trial to {expected[0].level}")
    both = min(len(expected) - start, len(seen))
    if both < 2:
        return Agreement(True)
    want_ms = expected[start + both - 1].t_ms - expected[start].t_ms
    got_ms = seen[both - 1].t_ms - seen[0].t_ms
    if abs(got_ms - want_ms) > max(TOLERANCE * want_ms, SLACK_MS):
        gaps = both - 1
        return Agreement(False, f"{seconds(got_ms / gaps)} between edges, in the trial {seconds(want_ms / gaps)}")
    return Agreement(True)


def seconds(ms: float) -> str:
    """ "0.500 s" below ten seconds, "12.0 s" below two minutes, then "10 min", "2 h 30 min"."""
    return format_duration(ms, decimals=3, fixed=True)


def _describe_rhythm(rhythm: Rhythm) -> str:
    text = f"{count_text(rhythm.count, 'edge')} on pin {rhythm.pin}"
    if not rhythm.spacing_ms:
        return f"{text}, {'at' if rhythm.count == 1 else 'the first at'} {seconds(rhythm.first_ms)}"
    return f"{text}, {' and '.join(seconds(gap) for gap in rhythm.spacing_ms)} apart"


def count_text(n: int, noun: str) -> str:
    """ "1 edge", "1,200 edges"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


Ended: TypeAlias = Literal["running", "returned", "exited", "trapped"]

_HEAP_WARNING_SHARE = 0.9
_ROLE_USES: dict[str, PinUse] = {"input": "input", "output": "output", "pwm": "pwm"}


@dataclass(frozen=True, slots=True)
class PinRole:
    """A pin that the program opened, as input, output or pwm."""

    pin: int
    role: str


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line on the board's console; `app` is None for the firmware's own."""

    t_ms: float
    app: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the virtual board recorded of one program's run; times are in ms since its installation.

    `state` is the board's word for the app (loaded, running, returned, exited, trapped), None when the board does not
    list it. `refused` is the firmware's text when it did not take the program. `longest_call_ms`: what one call of an
    entry function took at most.
    """

    state: str | None
    error: str | None
    lines: tuple[ConsoleLine, ...]
    edges: tuple[Edge, ...]
    pwm: tuple[PwmChange, ...]
    pins: tuple[PinRole, ...]
    peak_heap_bytes: int
    peak_stack_bytes: int
    board_ms: float
    stuck: bool = False
    rebooted: bool = False
    refused: str | None = None
    longest_call_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    ok: bool
    ended: Ended
    error: str | None = None
    next_step: str | None = None
    warnings: tuple[str, ...] = ()


def judge(record: Record, board: BoardProfile, *, heap_bytes: int) -> Verdict:
    """The verdict on a run: the first fault that makes the program useless, else warnings."""
    ended = _own_end(record.lines) or _ended(record.state)
    fault = _fault(record) or _pin_fault(record, board)
    if fault is not None:
        error, next_step = fault
        return Verdict(False, ended, error, next_step, _warnings(record, heap_bytes))
    warnings = _warnings(record, heap_bytes)
    if not _has_effect(record):
        warnings = (*warnings, "no effect seen: no pin opened, nothing printed")
    return Verdict(True, ended, warnings=warnings)


def next_step_for_trap(text: str) -> str:
    """What to do about a trap with this text of WAMR."""
    return next((step for pattern, step in _TRAPS if re.search(pattern, text)), _ANY_TRAP)


def dead_on_load(lines: tuple[ConsoleLine, ...]) -> tuple[str, str] | None:
    """Why a loaded app does nothing, by its console: an import that did not link, or no on_init."""
    for line in lines:
        if found := re.search(r"failed to link import function \(env, ([^)]*)\)", line.text):
            name = found[1]
            return (
                f"the firmware has no function {name}",
                "use only what microclaw.h and the firmware's headers declare",
            )
    if any("Cannot find function on_init" in line.text for line in lines):
        return "the program has no on_init, so the firmware never calls it", "define void on_init(void) and start there"
    return None


_CRASH = "use the functions of microclaw.h instead of raw ioctl frames"
_ANY_TRAP = "look at what the program does first: the trial ran the very bytes that would be installed"
_TRAPS: tuple[tuple[str, str], ...] = (
    (r"unlinked import", "use only what microclaw.h and the firmware's headers declare"),
    (r"out of bounds memory", "check array indexes, string lengths and pointers"),
    (r"stack overflow|stack exhausted", "make local arrays static, and recursion shallower"),
    (r"divide by zero", "check the divisor before dividing"),
    (r"unreachable", "an assertion or abort() ended it: check the condition before it"),
    (r"undefined element|indirect call|uninitialized element", "check the function pointer that is called"),
    (r"allocate memory|out of memory", "ask for more heap, or allocate less"),
)


_WAIT = (
    "wait only in main, with delay(ms), and call delay(1) now and then in a long computation; "
    "in a callback do a little and return: every(ms, task) calls it again"
)
MAX_CALL_MS = 200.0
"""The firmware's application manager waits for a program's function that is under way before it can remove it."""


# Texts of the shim of a program that blocks in main (headers/shim/resume.c).
_SANITIZER = re.compile(r"line (\d+) column (\d+): (.+)")
"""What headers/libc/sanitizer.c says before it traps."""
_TOO_DEEP = "microclaw: ended: too many nested calls around a sleep"
_TOO_FEW_TIMERS = "microclaw: sleeping takes 3 timers"
_SLEPT_OUTSIDE = "microclaw: only main can sleep, callbacks go on at once"


def _own_end(lines: tuple[ConsoleLine, ...]) -> Ended | None:
    """How a program that blocks in main ended. The firmware knows only its callbacks and lists it as running."""
    for line in lines:
        if line.text.startswith("microclaw: ended: exit("):
            return "exited"
        if line.text.startswith("microclaw: ended: main returned "):
            return "returned"
    return None


def _ended(state: str | None) -> Ended:
    match state:
        case "trapped" | "exited" | "returned" | "running":
            return state
        case _:
            return "returned"


def _fault(record: Record) -> tuple[str, str] | None:
    after = f"after {format_duration(record.board_ms, decimals=2)} of board time" if record.board_ms else "at its start"
    if record.refused is not None:
        return f"the firmware does not take it: {record.refused}", "build it again from its source"
    if record.stuck:
        return f"it spins without giving up the CPU, {after}", _WAIT
    if record.rebooted:
        return f"it crashed the whole board: {_last_words(record.lines)}", _CRASH
    if dead := dead_on_load(record.lines):
        return dead
    texts = {line.text for line in record.lines}
    if _TOO_DEEP in texts:
        return "too many nested calls around a sleep: it ended there", "sleep less deep, or loop instead of recursion"
    if _TOO_FEW_TIMERS in texts:
        return "a program that sleeps takes 3 timers, and it was installed with fewer", "install it with timers=20"
    # On WAMR a callback that trapped leaves the app running: its next timer is called all the same.
    if record.state == "trapped" or (record.state == "running" and record.error):
        for line in record.lines:
            if line.app is not None and (fault := _SANITIZER.fullmatch(line.text)):
                return f"it trapped at line {fault[1]}: {fault[3]}", f"correct line {fault[1]}, column {fault[2]}"
        text = record.error or "no text"
        return f"it trapped: {text}", next_step_for_trap(text)
    if record.state == "exited":
        return (
            f"it ended itself with {record.error or 'exit'}; the firmware does not call it again",
            "return from on_init instead of calling exit, abort or _Exit",
        )
    if record.longest_call_ms > MAX_CALL_MS:
        took = format_duration(record.longest_call_ms, decimals=2)
        return f"it keeps the application manager waiting: one call of its functions took {took}", _WAIT
    if record.state is None:
        return "the board does not list it after the installation", "try it again with --realtime and read its log"
    return None


def _last_words(lines: tuple[ConsoleLine, ...]) -> str:
    """The line before the firmware's "Rebooting..." gives the reason."""
    for line, after in itertools.pairwise(lines):
        if after.text == "Rebooting...":
            return line.text
    return "it did not say why"


def _pin_fault(record: Record, board: BoardProfile) -> tuple[str, str] | None:
    for opened in record.pins:
        use = _ROLE_USES.get(opened.role)
        if use is None:
            continue
        try:
            check_pin(board, opened.pin, use)
        except PinRefused as exc:
            return f"at run time it opened a pin it must not: {exc.message}", exc.next_step or "choose another pin"
    return None


def _warnings(record: Record, heap_bytes: int) -> tuple[str, ...]:
    found: list[str] = []
    if record.peak_heap_bytes >= _HEAP_WARNING_SHARE * heap_bytes:
        found.append(f"its heap is nearly full: {record.peak_heap_bytes:,} of {heap_bytes:,} B at the peak")
    for line in record.lines:
        if refused := re.fullmatch(r"warning: allocate (\d+) bytes memory failed", line.text):
            found.append(f"it asked for {int(refused[1]):,} B and its heap of {heap_bytes:,} B had no room")
            break
    if any(line.text == _SLEPT_OUTSIDE for line in record.lines):
        found.append("a callback tried to sleep: only main can, so it went on at once")
    return tuple(found)


def _has_effect(record: Record) -> bool:
    printed = any(line.app is not None for line in record.lines)
    return bool(record.edges or record.pwm or record.pins or printed)
