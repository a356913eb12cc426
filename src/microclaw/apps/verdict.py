"""Judges the virtual board's record of a program: whether it works, and if not, why. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final, Literal, TypeAlias

from microclaw.apps.board_time import SeenRuns
from microclaw.apps.colors import name_of
from microclaw.apps.traps import trap_words
from microclaw.boards.pins import check_pin
from microclaw.boards.profile import BoardProfile, PinUse
from microclaw.devices.calls import LedChange, PwmChange
from microclaw.errors import PinRefused
from microclaw.events import Edge
from microclaw.pin_track import Rhythm, rhythms
from microclaw.text import count_text, format_duration
from microclaw.wire.board_replies import NO_NETWORK

_COLORS_SHOWN = 4


def describe(edges: Sequence[Edge], pwm: Sequence[PwmChange] = (), leds: Sequence[LedChange] = ()) -> str:
    """ "20 edges on pin 2, 0.500 s apart"; empty when nothing moved."""
    parts = [_describe_rhythm(r) for r in rhythms(edges)]
    duties: dict[int, list[int]] = {}
    for change in pwm:
        duties.setdefault(change.pin, []).append(change.duty)
    for pin, seen in duties.items():
        span = f"duty {seen[0]}" if len(set(seen)) == 1 else f"duty {min(seen)} to {max(seen)} of 255"
        tones = {change.frequency_hz for change in pwm if change.pin == pin and change.duty}
        highest = f" to {max(tones):,}" if len(tones) > 1 else ""
        notes = f"{min(tones):,}{highest} Hz, " if tones else ""
        parts.append(f"{count_text(len(seen), 'PWM change')} on pin {pin}, {notes}{span}")
    for pin in dict.fromkeys(change.pin for change in leds):
        chains = [change.colors for change in leds if change.pin == pin]
        names = list(dict.fromkeys(name_of(color) for chain in chains for color in chain))
        more = f" and {len(names) - _COLORS_SHOWN} more" if len(names) > _COLORS_SHOWN else ""
        parts.append(f"{count_text(len(chains), 'LED change')} on pin {pin}, {', '.join(names[:_COLORS_SHOWN])}{more}")
    return "; ".join(parts)


def seconds(ms: float) -> str:
    """ "0.500 s" below ten seconds, "12.0 s" below two minutes, then "10 min", "2 h 30 min"; "50 µs", "1.08 ms"."""
    return format_duration(ms, decimals=3, fixed=True)


def _describe_rhythm(rhythm: Rhythm) -> str:
    text = f"{count_text(rhythm.count, 'edge')} on pin {rhythm.pin}"
    if not rhythm.spacing_ms:
        return f"{text}, {'at' if rhythm.count == 1 else 'the first at'} {seconds(rhythm.first_ms)}"
    return f"{text}, {' and '.join(seconds(gap) for gap in rhythm.spacing_ms)} apart"


SHIM_SAYS: Final = "microclaw: ended: "
"""How the last line of a program that blocked in main begins (wasm/headers/shim/resume.c)."""
Ended: TypeAlias = Literal["running", "returned", "exited", "trapped"]

_HEAP_WARNING_SHARE = 0.9
_RESTS_AFTER_MS = 4.0  # the least of wasm/program_macros.py
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
    """The virtual board's record of one program's run; times are in ms since its installation.

    `state` is the board's word for the app (loaded, running, returned, exited, trapped), None when the board does not
    list it. `refused` is the firmware's text when it did not take the program. `longest_call_ms`: what one call of a
    callback took at most, `longest_main_ms`: what main did between two waits. `levels` are the pins' levels at the
    end. `given` are edges from outside on pins that the program does not drive, `bursts` their changes as
    stimuli.Levels has them. `heap_samples`: (time, most heap in use until then). `probes`: what it did when the pins
    that it reads were moved at the end.
    `opened`: when the program opened each of its pins first; None: not recorded.
    `overflowed`: the board lost edges, PWM changes or lines, there were too many.
    `storm`: what it did in a part of a second that took the board minutes.
    `unfinished`: how far the run came in the time that this machine has for it.
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
    storm: str | None = None
    unfinished: str | None = None
    rebooted: bool = False
    refused: str | None = None
    longest_call_ms: float = 0.0
    longest_main_ms: float = 0.0
    levels: Mapping[int, int] = field(default_factory=dict)
    opened: Mapping[int, float] | None = None
    given: tuple[Edge, ...] = ()
    bursts: Mapping[int, tuple[tuple[float, float, int], ...]] = field(default_factory=dict)
    heap_samples: tuple[tuple[float, int], ...] = ()
    probes: tuple[str, ...] = ()
    overflowed: bool = False
    leds: tuple[LedChange, ...] = ()
    is_python: bool = False
    runs: SeenRuns | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    ok: bool
    ended: Ended
    error: str | None = None
    next_step: str | None = None
    warnings: tuple[str, ...] = ()


def judge(record: Record, board: BoardProfile, *, heap_bytes: int) -> Verdict:
    """The verdict on a run: the first fault that makes the program useless, else warnings.

    sys.exit() is how a Python program may end; a WebAssembly program has no callbacks any more after exit().
    """
    ended = _own_end(record.lines) or _ended(record)
    fault = _fault(record) or _pin_fault(record, board)
    if fault is not None:
        error, next_step = fault
        if record.is_python:
            next_step = _IN_PYTHON.get(next_step, next_step)
        return Verdict(False, ended, error, next_step, _warnings(record, heap_bytes))
    warnings = _warnings(record, heap_bytes)
    if not _has_effect(record):
        warnings = (*warnings, NO_EFFECT)
    return Verdict(True, ended, warnings=warnings)


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


_WAIT = (
    "wait only in main, with delay(ms), and call delay(1) now and then in a long computation; "
    "in a callback do a little and return: every(ms, task) calls it again"
)
_LESS = "let it compute less in one go, or ask for less time: microclaw run FILE --try --for 10s"
_CALM = "print less, set pins less often, and use fewer or slower timers"
MAX_CALL_MS = 200.0
"""The firmware's application manager waits for a program's function that is under way before it can remove it."""
MAX_MAIN_MS = 5000.0
"""The same for what main does between two waits; a host waits a little longer for an answer."""


# Texts of the shim of a program that blocks in main (headers/shim/resume.c).
_SANITIZER = re.compile(r"line (\d+) column (\d+): (.+)")
"""What headers/libc/sanitizer.c says before it traps."""
_NO_MEMORY = re.compile(r"the heap has no \d+ bytes left")
"""What `new` says in headers/arduino/memory.cpp."""
_LIBRARY = re.compile(
    r"C\+\+'s library: (?:\w+ was thrown in -fno-exceptions mode(?: with message \"(.*)\")?|(.+)): .*"
)
"""What a failed check of std:: says in headers/arduino/memory.cpp."""
NO_EFFECT: Final = "no effect seen: no pin opened, nothing printed"
_NO_PWM = re.compile(r"(?:Servo|tone|ledc): pin \d+ gets no PWM.*|(?:tone|ledc): \d+ Hz is not possible here.*")
"""What headers/arduino's servo.cpp, tone.cpp and ledc.cpp say of an output that does not work."""
_RAN_ON = re.compile(r"microclaw: line (\d+): (.+) ran 30 s without end")
"""What the guards of loops and recursions say (headers/glue/watch.c) before they end the program."""
_SHARE_OUT = "let it end sooner, or do a part of the work in each call and keep the rest for the next"
_TOO_DEEP = "microclaw: ended: too many nested calls around a sleep"
_TOO_FEW_TIMERS = "microclaw: sleeping takes 3 timers"
_SLEPT_OUTSIDE = "microclaw: only main can sleep, callbacks go on at once"


def _own_end(lines: tuple[ConsoleLine, ...]) -> Ended | None:
    """The end of a program that blocks in main. The firmware knows only its callbacks and lists it as running."""
    for line in lines:
        if line.text.startswith("microclaw: ended: exit("):
            return "exited"
        if line.text.startswith("microclaw: ended: main returned "):
            return "returned"
    return None


def _ended(record: Record) -> Ended:
    """A program whose callback trapped has trapped, whatever is listed."""
    if record.state == "running" and record.error:
        return "trapped"
    match record.state:
        case "trapped" | "exited" | "returned" | "running" as state:
            return state
        case _:
            return "returned"


def _fault(record: Record) -> tuple[str, str] | None:
    after = f"after {format_duration(record.board_ms, decimals=2)} of board time" if record.board_ms else "at its start"
    if record.refused is not None:
        return f"the firmware does not take it: {record.refused}", "build it again from its source"
    if record.stuck:
        return f"it spins without giving up the CPU, {after}", _WAIT
    if record.storm is not None:
        return f"it does more than a board has time for: {record.storm}", _CALM
    if record.unfinished is not None:
        return f"the trial was not finished: {record.unfinished}", _LESS
    if record.rebooted:
        return f"it crashed the whole board: {_last_words(record.lines)}", _CRASH
    if dead := dead_on_load(record.lines):
        return dead
    texts = {line.text for line in record.lines}
    if _TOO_DEEP in texts:
        return "too many nested calls around a sleep: it ended there", "sleep less deep, or loop instead of recursion"
    if _TOO_FEW_TIMERS in texts:
        return "a program that sleeps takes 3 timers, and it was installed with fewer", "install it with timers=20"
    for line in record.lines:
        if ran_on := _RAN_ON.fullmatch(line.text):
            return f"line {ran_on[1]}: {ran_on[2]} ran 30 s in one call, without an end in sight", _SHARE_OUT
    # On WAMR a callback that trapped leaves the app running: its next timer is called all the same.
    if record.state == "trapped" or (record.state == "running" and record.error):
        for line in record.lines:
            if line.app is not None and (fault := _SANITIZER.fullmatch(line.text)):
                return f"it trapped at line {fault[1]}: {fault[3]}", f"correct line {fault[1]}, column {fault[2]}"
            if line.app is not None and (fault := _LIBRARY.fullmatch(line.text)):
                where = re.search(r"\((line \d+, in .+)\)", record.error or "")
                at = f" at {where[1]}" if where else ""
                what = fault[1] or fault[2] or "it would throw an exception"
                return f"it trapped{at}: C++'s library refuses the call: {what}", _LIBRARY_STEP
            if line.app is not None and _NO_MEMORY.match(line.text):
                return (
                    f"it trapped: {line.text}",
                    "allocate less, free what is not used, or install it with a larger heap",
                )
        return trap_words(record.error or "")
    if record.state == "exited" and not record.is_python:
        return (
            f"it ended itself with {record.error or 'exit'}; the firmware does not call it again",
            "return from on_init instead of calling exit, abort or _Exit",
        )
    for line in record.lines:
        if line.text.startswith("warning: the character '0' written to"):
            text = line.text.removeprefix("warning: ")
            return f"{text}: only the byte 0 is low", "write a byte: char level = 0; write(fd, &level, 1)"
        if line.app is not None and _NO_PWM.fullmatch(line.text):
            return line.text, _NO_PWM_STEP
        if line.app is not None and (failed := _OPEN_FAILED.fullmatch(line.text)):
            opener = f"{failed[1]}_open"
            return (
                f"it uses what {opener} could not open",
                f"open each pin once, keep what {opener} returned, and close it before it is opened again",
            )
    if record.longest_call_ms > MAX_CALL_MS or record.longest_main_ms > MAX_MAIN_MS:
        took = format_duration(max(record.longest_call_ms, record.longest_main_ms), decimals=2)
        return f"it keeps the application manager waiting: one call of its functions took {took}", _WAIT
    if leak := _leak(record) or _heap_full(record):
        return leak
    if record.state is None:
        return "the board does not list it after the installation", "try it again with --realtime and read its log"
    return None


_IN_PYTHON: Final = {
    _WAIT: "put time.sleep_ms(1) into the loop, or share the computation out over several turns",
    _CRASH: "report it with the program and its log: a Python program should not be able to do that",
}
"""The next steps above that name functions of C, for a Python program."""
_LIBRARY_STEP = "check the index, the key, or that it is not empty, before the call"
_NO_PWM_STEP = (
    "the board has 3 PWM timers for all servos, tones and pins of pwm_open together: use fewer, or detach one before"
)
_OPEN_FAILED = re.compile(r"(gpio|pwm|i2c) -1: not open, or not for this; .*")
_NO_ROOM = re.compile(r"warning: allocate (\d+) bytes memory failed")
MAX_SMALL_REQUEST = 256
MIN_LEAK_BYTES = 64
"""Growth of the heap in a trial that counts as a leak, when each part of the trial has some of it."""


def _heap_full(record: Record) -> tuple[str, str] | None:
    """In a long run: small requests that the heap has no room for."""
    for line in record.lines if record.heap_samples else ():
        refused = _NO_ROOM.fullmatch(line.text)
        if refused and int(refused[1]) <= MAX_SMALL_REQUEST:
            text = f"its heap is full after {seconds(line.t_ms)}: a request for {int(refused[1]):,} B was refused"
            return text, "free what is allocated, or allocate once; a larger heap only makes it later"
    return None


def _leak(record: Record) -> tuple[str, str] | None:
    """A heap that grows evenly through the whole trial is full some day. At its start it may grow."""
    samples = record.heap_samples
    if len(samples) < 5:
        return None
    grown = [after - before for (_, before), (_, after) in pairwise(samples)]
    if min(grown) * 3 < max(grown) or min(grown) <= 0 or sum(grown) < MIN_LEAK_BYTES:
        return None
    (from_ms, _), (until_ms, _) = samples[0], samples[-1]
    a_minute = sum(grown) * 60_000 / (until_ms - from_ms)
    return f"its heap grows by {a_minute:,.0f} B a minute without end", "free what is allocated, or allocate once"


def _last_words(lines: tuple[ConsoleLine, ...]) -> str:
    """The line before the firmware's "Rebooting..." gives the reason."""
    for line, after in pairwise(lines):
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


_NO_NETWORK = (
    "the trial has no network: MQTT and HTTP failed as where nobody can be reached, and nothing was sent; "
    "microclaw virtual --network runs the program with one"
)


def _warnings(record: Record, heap_bytes: int) -> tuple[str, ...]:
    found: list[str] = []
    if record.peak_heap_bytes >= _HEAP_WARNING_SHARE * heap_bytes:
        found.append(f"its heap is nearly full: {record.peak_heap_bytes:,} of {heap_bytes:,} B at the peak")
    for line in record.lines:
        if refused := _NO_ROOM.fullmatch(line.text):
            found.append(f"it asked for {int(refused[1]):,} B and its heap of {heap_bytes:,} B had no room")
            break
    if any(line.text == _SLEPT_OUTSIDE for line in record.lines):
        found.append("a callback tried to sleep: only main can, so it went on at once")
    if any(line.app is None and line.text.endswith(NO_NETWORK) for line in record.lines):
        found.append(_NO_NETWORK)
    if MAX_CALL_MS < record.longest_main_ms <= MAX_MAIN_MS:
        took = format_duration(record.longest_main_ms, decimals=2)
        found.append(f"main goes on for {took} without a wait: the board answers nothing meanwhile")
    found += _pauses(record)
    return tuple(found)


def _pauses(record: Record) -> Iterator[str]:
    """Of each pin whose waits below a millisecond main's pauses make longer now and then: the real period."""
    for rhythm in rhythms(record.edges) if record.longest_main_ms >= _RESTS_AFTER_MS else ():
        short_ms = median(rhythm.gaps_ms or (1.0,))
        pauses = [gap_ms for gap_ms in rhythm.gaps_ms if 0.9 <= gap_ms - short_ms <= 3.0]
        if short_ms < 1 and 2 < len(pauses) < rhythm.count / 4:
            yield (
                f"pin {rhythm.pin}: main pauses {seconds(max(pauses))} among edges {seconds(short_ms)} apart; "
                f"the period is {seconds(rhythm.period_s * 1000)} on average"
            )


def _has_effect(record: Record) -> bool:
    printed = any(line.app is not None for line in record.lines)
    return bool(record.edges or record.pwm or record.leds or record.pins or printed)
