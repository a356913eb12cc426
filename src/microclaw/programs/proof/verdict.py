"""Judges the virtual board's record of a program: whether it works, and if not, why. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from microclaw.devices.registry.calls import LedChange, PwmChange
from microclaw.errors import PinRefused
from microclaw.events import Edge
from microclaw.hardware.boards.pins import check_pin
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.programs.proof.colors import name_of
from microclaw.programs.proof.pin_track import rhythms
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.traps import TRACEBACK, is_of_absent_part, trap_words
from microclaw.tables import read_table
from microclaw.text import count_text, format_duration
from microclaw.wire.board_replies import ABSENT, GPIO_ERROR, NO_NETWORK

_COLORS_SHOWN = 4


def describe(edges: Sequence[Edge], pwm: Sequence[PwmChange] = (), leds: Sequence[LedChange] = ()) -> str:
    """ "20 edges on pin 2, 0.500 s apart"; empty when nothing moved."""
    parts: list[str] = []
    for rhythm in rhythms(edges):
        text = f"{count_text(rhythm.count, 'edge')} on pin {rhythm.pin}"
        start = f"{'at' if rhythm.count == 1 else 'the first at'} {seconds(rhythm.first_ms)}"
        apart = f"{' and '.join(seconds(gap) for gap in rhythm.spacing_ms)} apart"
        parts.append(f"{text}, {apart if rhythm.spacing_ms else start}")
    duties: dict[int, list[int]] = {}
    for change in pwm:
        duties.setdefault(change.pin, []).append(change.duty)
    for pin, seen in duties.items():
        if len(set(seen)) == 1:
            span = f"duty {seen[0]}"
        else:
            span = f"duty {min(seen)} to {max(seen)} of 255"
        tones = {change.frequency_hz for change in pwm if change.pin == pin and change.duty}
        if len(tones) > 1:
            highest = f" to {max(tones):,}"
        else:
            highest = ""
        if tones:
            notes = f"{min(tones):,}{highest} Hz, "
        else:
            notes = ""
        parts.append(f"{count_text(len(seen), 'PWM change')} on pin {pin}, {notes}{span}")
    for pin in dict.fromkeys(change.pin for change in leds):
        chains = [change.colors for change in leds if change.pin == pin]
        names = list(dict.fromkeys(name_of(color) for chain in chains for color in chain))
        if len(names) > _COLORS_SHOWN:
            more = f" and {len(names) - _COLORS_SHOWN} more"
        else:
            more = ""
        parts.append(f"{count_text(len(chains), 'LED change')} on pin {pin}, {', '.join(names[:_COLORS_SHOWN])}{more}")
    return "; ".join(parts)


def seconds(ms: float) -> str:
    """ "0.500 s" below ten seconds, "12.0 s" below two minutes, then "10 min", "2 h 30 min"; "50 µs", "1.08 ms"."""
    return format_duration(ms, decimals=3, fixed=True)


SHIM_SAYS: Final = "microclaw: ended: "
"""How the last line of a program that blocked in main begins (programs/wasm/headers/shim/resume.c)."""
Ended: TypeAlias = Literal["running", "returned", "exited", "trapped"]
NO_EFFECT: Final = "no effect seen: no pin opened, nothing printed"
MAX_CALL_MS: Final = 200.0
"""The firmware's application manager waits for a program's function that is under way before it can remove it."""
MAX_MAIN_MS: Final = 5000.0
"""The same for what main does between two waits; a host waits a little longer for an answer."""
MAX_SMALL_REQUEST: Final = 256
MIN_LEAK_BYTES: Final = 64
"""Growth of the heap in a trial that counts as a leak, when each part of the trial has some of it."""
_HEAP_WARNING_SHARE: Final = 0.9
_RESTS_AFTER_MS: Final = 4.0  # the least of programs/wasm/program_macros.py
_SAYS_AT_ONCE_MS: Final = 5.0
"""What a program prints of an exception comes so soon after it, and is nothing more that it did."""
_ROLE_USES: Final[dict[str, PinUse]] = {"input": "input", "output": "output", "pwm": "pwm"}
_NO_ROOM: Final = re.compile(r"warning: allocate (\d+) bytes memory failed")
_SLEPT_OUTSIDE: Final = "microclaw: only main can sleep, callbacks go on at once"
_WAIT: Final = (
    "wait only in main, with delay(ms), and call delay(1) now and then in a long computation; "
    "in a callback do a little and return: every(ms, task) calls it again"
)
_LESS: Final = "let it compute less in one go, or ask for less time: microclaw run FILE --try --for 10s"
_STOPS: Final = (
    "add --stop-after TIME (each run is stopped after it), or no interval: leave --every out, or --every off"
)
_CALM: Final = "print less, set pins less often, and use fewer or slower timers"
_CRASH: Final = "use the functions of microclaw.h instead of raw ioctl frames"
_IN_PYTHON: Final = {
    _WAIT: "put time.sleep_ms(1) into the loop, or share the computation out over several turns",
    _CRASH: "report it with the program and its log: a Python program should not be able to do that",
}
"""The next steps above that name functions of C, for a Python program."""
_NO_NETWORK: Final = (
    "the trial has no network: MQTT and HTTP failed as where nobody can be reached, and nothing was sent; "
    "microclaw virtual --network runs the program with one"
)
_NATIVE: Final = "native code in .mpy unsupported"
_FAULTS: Final = read_table(__package__, "faults")
_ENDS: Final[Mapping[str, Ended]] = _FAULTS["ends"]


class Verdict(Struct, frozen=True):
    ok: bool
    ended: Ended
    error: str | None = None
    next_step: str | None = None
    warnings: tuple[str, ...] = ()
    untried: str | None = None


def judge(record: Record, board: BoardProfile, *, heap_bytes: int) -> Verdict:
    """Return the verdict on a run: the first fault that makes the program useless, else warnings.

    A program that an absent part's exception ended is untried if nothing else is wrong with it. sys.exit() is how a
    Python program may end; a WebAssembly program has no callbacks any more after exit().
    """
    absent = _absent_parts(record)
    ended = _ended(record)
    untried: str | None = None
    if _is_native_refused(record):
        untried = "this trial runs no native code"
    elif _is_ended_by_absence(record):
        untried = absent
    if untried is not None:
        record = structs.replace(record, state="returned", trap=None, refused=None)
    fault = _pin_fault(record, board) or _fault(record)
    warnings = tuple(_warnings(record, heap_bytes))
    if absent is not None and absent != untried:
        warnings = (absent, *warnings)
    if fault is None and untried is not None:
        return Verdict(True, "trapped", warnings=warnings, untried=untried)
    if fault is not None:
        error, next_step = fault
        if record.is_python:
            step = _IN_PYTHON.get(next_step, next_step)
        else:
            step = next_step
        return Verdict(False, ended, error, step, warnings)
    has_effect = record.moved or record.roles or any(line.app is not None for line in record.lines)
    return Verdict(True, ended, warnings=warnings if has_effect else (*warnings, NO_EFFECT))


def _is_native_refused(record: Record) -> bool:
    """Return True if the program has code for its chip's processor, which the trial's interpreter does not load."""
    return record.is_python and record.refused is not None and record.refused.endswith(_NATIVE)


def _is_ended_by_absence(record: Record) -> bool:
    """Return True if an absent part's exception ended the program, which did nothing more after it asked for it."""
    trap = record.trap or ""
    if record.state != "trapped" or not trap.startswith(TRACEBACK):
        return False
    of_trap = trap.splitlines()
    since_ms = max((line.t_ms for line in record.lines if line.app and line.text not in of_trap), default=0.0)
    recent = [line for line in record.lines if line.t_ms >= since_ms - _SAYS_AT_ONCE_MS]
    parts = [line.text.removeprefix(ABSENT) for line in recent if line.app is None and line.text.startswith(ABSENT)]
    return any(is_of_absent_part(trap, part) for part in parts)


def _absent_parts(record: Record) -> str | None:
    """Return "this trial has no DHT on pin 4", or None if the program asked only for what there is."""
    parts = [
        line.text.removeprefix(ABSENT) for line in record.lines if line.app is None and line.text.startswith(ABSENT)
    ]
    if not parts:
        return None
    return f"this trial has no {', no '.join(dict.fromkeys(parts))}"


def dead_on_load(lines: Sequence[str]) -> tuple[str, str] | None:
    """Why a loaded app does nothing, by its console: an import that did not link, or no on_init."""
    return _said(lines, "dead")


def end_of(lines: Sequence[str]) -> Ended | None:
    """Return how a program ended by what its lines say, or None if they do not say that it ended."""
    for line in lines:
        for words, end in _ENDS.items():
            if words in line:
                return end
    return None


def _said(lines: Sequence[str], table: str) -> tuple[str, str] | None:
    """Return the fault, and the next step, of the first row of a table of faults.toml that a line fits."""
    for pattern, error, step in _FAULTS[table]:
        for line in lines:
            match = re.fullmatch(pattern, line)
            if match is not None:
                return match.expand(error), match.expand(step)
    return None


def _ended(record: Record) -> Ended:
    """Return how the run ended.

    The firmware lists a program that blocks in main as running: it knows only its callbacks. A program whose callback
    trapped has trapped, whatever is listed.
    """
    end = end_of([line.text for line in record.lines])
    if end is not None:
        return end
    match record.state:
        case "running" if record.trap:
            return "trapped"
        case "trapped" | "exited" | "returned" | "running" as state:
            return state
        case _:
            return "returned"


def _fault(record: Record) -> tuple[str, str] | None:
    if record.board_ms:
        after = f"after {format_duration(record.board_ms, decimals=2)} of board time"
    else:
        after = "at its start"
    lines = [line.text for line in record.lines]
    if record.refused is not None:
        return f"the firmware does not take it: {record.refused}", "build it again from its source"
    if record.stuck:
        return f"it spins without giving up the CPU, {after}", _WAIT
    if record.storm is not None:
        return f"it does more than a board has time for: {record.storm}", _CALM
    if record.unfinished is not None:
        return f"the trial was not finished: {record.unfinished}", _LESS
    if record.rebooted:  # the line before the firmware's "Rebooting..." gives the reason
        said = next((line for line, after in pairwise(lines) if after == "Rebooting..."), "it did not say why")
        return f"it crashed the whole board: {said}", _CRASH
    fault = _said(lines, "dead") or _said(lines, "ended_itself")
    if fault:
        return fault
    # On WAMR a callback that trapped leaves the app running: its next timer is called all the same.
    if record.state == "trapped" or (record.state == "running" and record.trap):
        where = re.search(r"\((line \d+, in .+)\)", record.trap or "")
        error, step = _said(lines, "trapped") or trap_words(record.trap or "")
        return error.replace("{at}", f" at {where[1]}" if where else "", 1), step
    if record.state == "exited" and not record.is_python:
        return (
            f"it ended itself with {record.trap or 'exit'}; the firmware does not call it again",
            "return from on_init instead of calling exit, abort or _Exit",
        )
    fault = _said(lines, "without_effect")
    if fault:
        return fault
    longest_ms = max(record.longest_call_ms, record.longest_main_ms)
    if record.longest_call_ms > MAX_CALL_MS or record.longest_main_ms > MAX_MAIN_MS:
        took = format_duration(longest_ms, decimals=2)
        return f"it keeps the application manager waiting: one call of its functions took {took}", _WAIT
    leak = _leak(record) or _heap_full(record)
    if leak:
        return leak
    if record.never_ends:
        return "it does not end by itself: with an interval it would be begun once and never again", _STOPS
    if record.state == "stopped":  # by nobody: the interpreter ended with it
        told = (line.text for line in record.lines if line.app is None and line.text.startswith("MicroPython "))
        step = "keep less in memory, and share a long computation out over several turns"
        return next(told, "the board stopped it"), step
    if record.state is None:
        return "the board does not list it after the installation", "try it again, and read its log"
    return None


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


def _pin_fault(record: Record, board: BoardProfile) -> tuple[str, str] | None:
    for pin, role in record.roles.items():
        if role not in _ROLE_USES:
            continue
        try:
            check_pin(board, pin, _ROLE_USES[role])
        except PinRefused as exc:
            return f"at run time it opened a pin it must not: {exc.message}", exc.next_step or "choose another pin"
    return None


def _warnings(record: Record, heap_bytes: int) -> Iterator[str]:
    if record.peak_heap_bytes >= _HEAP_WARNING_SHARE * heap_bytes:
        yield f"its heap is nearly full: {record.peak_heap_bytes:,} of {heap_bytes:,} B at the peak"
    refused = filter(None, (_NO_ROOM.fullmatch(line.text) for line in record.lines))
    first = next(refused, None)
    if first:
        yield f"it asked for {int(first[1]):,} B and its heap of {heap_bytes:,} B had no room"
    if any(line.text == _SLEPT_OUTSIDE for line in record.lines):
        yield "a callback tried to sleep: only main can, so it went on at once"
    if any(line.app is None and line.text.endswith(NO_NETWORK) for line in record.lines):
        yield _NO_NETWORK
    errors = [line.text for line in record.lines if line.app is None and line.text.startswith(GPIO_ERROR)]
    yield from (text.removeprefix(GPIO_ERROR) for text in dict.fromkeys(errors))
    if MAX_CALL_MS < record.longest_main_ms <= MAX_MAIN_MS:
        took = format_duration(record.longest_main_ms, decimals=2)
        yield f"main goes on for {took} without a wait: the board answers nothing meanwhile"
    yield from _pauses(record)


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
