"""Judges the virtual board's record of a program: whether it works, and if not, why. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from microclaw.devices.registry.calls import LedChange, PwmChange
from microclaw.errors import PinRefused
from microclaw.events import Edge
from microclaw.hardware.boards.pins import check_pin
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.hardware.parts.wiring import Wiring
from microclaw.programs.proof.colors import name_of
from microclaw.programs.proof.network_events import answer_advice, unanswered
from microclaw.programs.proof.pin_track import Rhythm, have_one_length, rhythms
from microclaw.programs.proof.record import Record, by_pin
from microclaw.programs.proof.traps import trap_words
from microclaw.programs.proof.trial_lacks import (
    absent_parts,
    firmware_texts,
    floating_pins,
    is_ended_by_absence,
    is_native_refused,
    lack_of_trial,
    misplaced_parts,
)
from microclaw.tables import read_table
from microclaw.text import count_text, format_duration
from microclaw.wire.board_replies import GPIO_ERROR, PART_NOTE

_COLORS_SHOWN = 4


def describe(edges: Sequence[Edge], pwm: Sequence[PwmChange] = (), leds: Sequence[LedChange] = ()) -> str:
    """Return "20 edges on pin 2, 0.500 s apart"; empty when nothing moved."""
    parts = list(map(_rhythm_text, rhythms(edges)))
    for pin, pwm_changes in by_pin(pwm).items():
        parts.append(_pwm_text(pin, pwm_changes))
    for pin, led_changes in by_pin(leds).items():
        parts.append(_led_text(pin, led_changes))
    return "; ".join(parts)


def _rhythm_text(rhythm: Rhythm) -> str:
    if rhythm.spacings_ms:
        spacing = " and ".join(map(_spacing_text, rhythm.spacings_ms))
        when = f"{spacing} apart"
    elif rhythm.count == 1:
        when = f"at {seconds(rhythm.first_ms)}"
    else:
        when = f"the first at {seconds(rhythm.first_ms)}"
    return f"{count_text(rhythm.count, 'edge')} on pin {rhythm.pin}, {when}"


def _spacing_text(gaps_ms: Sequence[float]) -> str:
    """Return "0.500 s", or "0.450 s to 0.510 s" for gaps that are not that even."""
    if have_one_length(gaps_ms):
        return seconds(fmean(gaps_ms))
    return f"{seconds(min(gaps_ms))} to {seconds(max(gaps_ms))}"


def _pwm_text(pin: int, changes: Sequence[PwmChange]) -> str:
    duties = {change.duty for change in changes}
    if len(duties) == 1:
        span = f"duty {changes[0].duty}"
    else:
        span = f"duty {min(duties)} to {max(duties)} of 255"
    return f"{count_text(len(changes), 'PWM change')} on pin {pin}, {_tones_text(changes)}{span}"


def _tones_text(changes: Sequence[PwmChange]) -> str:
    """Return "1,000 to 2,000 Hz, "; empty if the duty was always 0, which has no tone."""
    tones = {change.frequency_hz for change in changes if change.duty}
    if not tones:
        return ""
    if len(tones) == 1:
        return f"{min(tones):,} Hz, "
    return f"{min(tones):,} to {max(tones):,} Hz, "


def _led_text(pin: int, changes: Sequence[LedChange]) -> str:
    names: dict[str, None] = {}
    for change in changes:
        names |= dict.fromkeys(map(name_of, change.colors))
    text = f"{count_text(len(changes), 'LED change')} on pin {pin}, {', '.join(list(names)[:_COLORS_SHOWN])}"
    if len(names) > _COLORS_SHOWN:
        text += f" and {len(names) - _COLORS_SHOWN} more"
    return text


def seconds(ms: float) -> str:
    """Return "0.500 s" below ten seconds, "12.0 s" below two minutes, "10 min", "2 h 30 min"; "50 µs", "1.08 ms"."""
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
_REWIRE: Final = "use the address and the pins of the wiring, or correct the wiring"
NO_PARTS: Final = Wiring()
_FAULTS: Final = read_table(__package__, "faults")
_ENDS: Final[Mapping[str, Ended]] = _FAULTS["ends"]


class Verdict(Struct, frozen=True):
    """The verdict on a run.

    `floating`: it read a pin whose level nobody knows, so nothing of it is proved. `misplaced`: the part that it sought
    is elsewhere. `unanswered`: the hosts that it asked and no line answers.
    """

    ok: bool
    ended: Ended
    error: str | None = None
    next_step: str | None = None
    warnings: tuple[str, ...] = ()
    untried: str | None = None
    floating: str | None = None
    misplaced: str | None = None
    unanswered: str | None = None


def judge(record: Record, board: BoardProfile, *, heap_bytes: int, stated: Wiring = NO_PARTS) -> Verdict:
    """Return the verdict on a run: the first fault that makes the program useless, else warnings.

    A program that an absent part's exception ended is untried if nothing else is wrong with it, and so is a program
    beside a part whose model failed. It is wrong if a part of the `stated` wiring is elsewhere.
    sys.exit() is how a Python program may end; a WebAssembly program has no callbacks any more after exit().
    """
    absent = absent_parts(record)
    misplaced = misplaced_parts(record, stated, board)
    ended = _ended(record)
    untried = lack_of_trial(record, absent, misplaced)
    if is_native_refused(record):
        ended = "trapped"
    if untried is not None and ended == "trapped":
        record = structs.replace(record, state="returned", trap=None, refused=None)
    fault = _pin_fault(record, board) or _fault(record)
    if fault is not None and misplaced is not None and is_ended_by_absence(record):
        fault = misplaced, _REWIRE
    warnings = tuple(_warnings(record, heap_bytes))
    if absent is not None and absent != untried:
        warnings = (misplaced or absent, *warnings)
    floating = floating_pins(record)
    if fault is None and untried is not None:
        return Verdict(ok=True, ended=ended, warnings=warnings, untried=untried, floating=floating)
    if fault is not None:
        error, next_step = fault
        if record.is_python:
            next_step = _IN_PYTHON.get(next_step, next_step)
        return Verdict(ok=False, ended=ended, error=error, next_step=next_step, warnings=warnings)
    if not _has_effect(record):
        warnings = (*warnings, NO_EFFECT)
    return Verdict(
        ok=True,
        ended=ended,
        warnings=warnings,
        floating=floating,
        misplaced=misplaced,
        unanswered=unanswered(record.traffic),
    )


def _has_effect(record: Record) -> bool:
    """Return True if the program moved something, opened a pin or printed."""
    if record.moved or record.roles:
        return True
    for line in record.lines:
        if line.app is not None:
            return True
    return False


def _texts(record: Record) -> list[str]:
    return [line.text for line in record.lines]


def dead_on_load(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return why a loaded app does nothing, by its console: an import that did not link, or no on_init."""
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
    end = end_of(_texts(record))
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
    """Return the first fault of a run, and its next step."""
    return _fault_of_board(record) or _fault_of_end(record) or _fault_of_load(record) or _fault_of_state(record)


def _fault_of_board(record: Record) -> tuple[str, str] | None:
    """Return the fault that the board itself shows: it refused the program, or did not get through the trial."""
    if record.refused is not None:
        return f"the firmware does not take it: {record.refused}", "build it again from its source"
    if record.stuck:
        after = "at its start"
        if record.board_ms:
            after = f"after {format_duration(record.board_ms, decimals=2)} of board time"
        return f"it spins without giving up the CPU, {after}", _WAIT
    if record.storm is not None:
        return f"it does more than a board has time for: {record.storm}", _CALM
    if record.unfinished is not None:
        return f"the trial was not finished: {record.unfinished}", _LESS
    if record.rebooted:
        return f"it crashed the whole board: {_reboot_reason(record)}", _CRASH
    return None


def _reboot_reason(record: Record) -> str:
    """Return the line before the firmware's "Rebooting...", which gives the reason."""
    for line, after in pairwise(record.lines):
        if after.text == "Rebooting...":
            return line.text
    return "it did not say why"


def _fault_of_end(record: Record) -> tuple[str, str] | None:
    """Return the fault with which the program ended itself, trapped or did nothing, by its lines and its state."""
    lines = _texts(record)
    fault = _said(lines, "dead") or _said(lines, "ended_itself")
    if fault is not None:
        return fault
    # On WAMR a callback that trapped leaves the app running: its next timer is called all the same.
    if record.state == "trapped" or (record.state == "running" and record.trap):
        trap = record.trap or ""
        error, step = _said(lines, "trapped") or trap_words(trap)
        return error.replace("{at}", _place_of(trap), 1), step
    if record.state == "exited" and not record.is_python:
        return (
            f"it ended itself with {record.trap or 'exit'}; the firmware does not call it again",
            "return from on_init instead of calling exit, abort or _Exit",
        )
    return _said(lines, "without_effect")


def _place_of(trap: str) -> str:
    """Return " at line 3, in on_init"; empty if the trap names no place."""
    place = re.search(r"\((line \d+, in .+)\)", trap)
    if place is None:
        return ""
    return f" at {place[1]}"


def _fault_of_load(record: Record) -> tuple[str, str] | None:
    """Return the fault of a program that takes too much of the board: its time or its memory."""
    if record.longest_call_ms > MAX_CALL_MS or record.longest_main_ms > MAX_MAIN_MS:
        longest_ms = max(record.longest_call_ms, record.longest_main_ms)
        took = format_duration(longest_ms, decimals=2)
        return f"it keeps the application manager waiting: one call of its functions took {took}", _WAIT
    return _leak(record) or _heap_full(record)


def _fault_of_state(record: Record) -> tuple[str, str] | None:
    """Return the fault of a program that does not end as it must, or that the board stopped or does not list."""
    if record.never_ends:
        return "it does not end by itself: with an interval it would be begun once and never again", _STOPS
    if record.state == "stopped":
        # Nobody stopped it, so the interpreter ended with it, and says why.
        step = "keep less in memory, and share a long computation out over several turns"
        for line in record.lines:
            if line.app is None and line.text.startswith("MicroPython "):
                return line.text, step
        return "the board stopped it", step
    if record.state is None:
        return "the board does not list it after the installation", "try it again, and read its log"
    return None


def _heap_full(record: Record) -> tuple[str, str] | None:
    """Return the fault of a long run whose heap has no room for a small request."""
    if not record.heap_samples:
        return None
    for line in record.lines:
        request = _NO_ROOM.fullmatch(line.text)
        if request and int(request[1]) <= MAX_SMALL_REQUEST:
            text = f"its heap is full after {seconds(line.t_ms)}: a request for {int(request[1]):,} B was refused"
            return text, "free what is allocated, or allocate once; a larger heap only makes it later"
    return None


def _leak(record: Record) -> tuple[str, str] | None:
    """Return the fault of a heap that grows evenly through the whole trial: it is full some day.

    It may grow at its start.
    """
    samples = record.heap_samples
    if len(samples) < 5:
        return None
    grown = [after - before for (_, before), (_, after) in pairwise(samples)]
    if min(grown) * 3 < max(grown) or min(grown) <= 0 or sum(grown) < MIN_LEAK_BYTES:
        return None
    length_ms = samples[-1][0] - samples[0][0]
    bytes_per_minute = sum(grown) * 60_000 / length_ms
    text = f"its heap grows by {bytes_per_minute:,.0f} B a minute without end"
    return text, "free what is allocated, or allocate once"


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
    for line in record.lines:
        request = _NO_ROOM.fullmatch(line.text)
        if request:
            yield f"it asked for {int(request[1]):,} B and its heap of {heap_bytes:,} B had no room"
            break
    if _SLEPT_OUTSIDE in _texts(record):
        yield "a callback tried to sleep: only main can, so it went on at once"
    no_answer = unanswered(record.traffic)
    if no_answer is not None:
        yield f"{no_answer}; {answer_advice(record.traffic)}"
    yield from dict.fromkeys(firmware_texts(record.lines, GPIO_ERROR))
    yield from dict.fromkeys(firmware_texts(record.lines, PART_NOTE))
    yield from record.bounces
    floating = floating_pins(record)
    if floating is not None:
        yield floating
    if MAX_CALL_MS < record.longest_main_ms <= MAX_MAIN_MS:
        took = format_duration(record.longest_main_ms, decimals=2)
        yield f"main goes on for {took} without a wait: the board answers nothing meanwhile"
    yield from _pauses(record)


def _pauses(record: Record) -> Iterator[str]:
    """Yield, for each pin whose waits below a millisecond main's pauses make longer now and then, the real period."""
    if record.longest_main_ms < _RESTS_AFTER_MS:
        return
    for rhythm in rhythms(record.edges):
        short_ms = median(rhythm.gaps_ms or (1.0,))
        pauses = [gap_ms for gap_ms in rhythm.gaps_ms if 0.9 <= gap_ms - short_ms <= 3.0]
        if short_ms < 1 and 2 < len(pauses) < rhythm.count / 4:
            yield (
                f"pin {rhythm.pin}: main pauses {seconds(max(pauses))} among edges {seconds(short_ms)} apart; "
                f"the period (on and off) is {seconds(rhythm.period_s * 1000)} on average"
            )
