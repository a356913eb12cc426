"""What a program asked for that its trial has not: parts, native code, hosts without a line, levels of pins.

Judges nothing; verdict.py does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from microclaw.devices.registry.calls import LogLine
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import Wiring
from microclaw.programs.proof.network_events import unanswered
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.traps import is_of_absent_part, is_of_network, is_traceback
from microclaw.programs.proof.trial_wiring import misplaced_part
from microclaw.wire.board_replies import ABSENT, BROKEN_PART, FLOATING_PIN

_SAYS_AT_ONCE_MS: Final = 5.0
"""What a program prints of an exception comes so soon after it, and is nothing more that it did."""
_ERROR_CHECK: Final = "ESP_ERROR_CHECK failed"
"""How a C program's last line begins that ends by an error of the firmware's (programs/wasm/headers/esp_err.h)."""
_NATIVE: Final = "native code in .mpy unsupported"


def lack_of_trial(record: Record, absent: str | None, misplaced: str | None) -> str | None:
    """Return what the trial has not, if the program ended by that, or a part's model failed; None otherwise.

    `absent` are its parts that the trial lacks, `misplaced` those that a wiring has elsewhere.
    """
    if is_native_refused(record):
        return "this trial runs no native code"
    if misplaced is None and is_ended_by_absence(record):
        return absent
    if _is_ended_by_network(record):
        return unanswered(record.traffic)
    return _broken_parts(record)


def absent_parts(record: Record) -> str | None:
    """Return "this trial has no DHT on pin 4", or None if the program asked only for what there is."""
    parts = dict.fromkeys(firmware_texts(record.lines, ABSENT))
    if not parts:
        return None
    return f"this trial has no {', no '.join(parts)}"


def misplaced_parts(record: Record, stated: Wiring, board: BoardProfile) -> str | None:
    """Return "no DHT on pin 4; the wiring has ... on pin 5", or None if the wiring does not say where it is."""
    texts: dict[str, None] = {}
    for absent in firmware_texts(record.lines, ABSENT):
        place = misplaced_part(absent, stated, board)
        if place is not None:
            texts[f"no {absent}; {place}"] = None
    return "; ".join(texts) or None


def floating_pins(record: Record) -> str | None:
    """Return which pins it read that nothing holds at a level, or None."""
    pins = dict.fromkeys(firmware_texts(record.lines, FLOATING_PIN))
    if not pins:
        return None
    return f"nothing holds the level of {', '.join(pins)}: it has no pull-up and no pull-down"


def firmware_texts(lines: Sequence[LogLine], prefix: str) -> Iterator[str]:
    """Yield what the firmware's lines with this prefix say after it."""
    for line in lines:
        if line.app is None and line.text.startswith(prefix):
            yield line.text.removeprefix(prefix)


def is_native_refused(record: Record) -> bool:
    """Return True if the program has code for its chip's processor, which the trial's interpreter does not load."""
    return record.is_python and record.refused is not None and record.refused.endswith(_NATIVE)


def is_ended_by_absence(record: Record) -> bool:
    """Return True if an absent part's exception ended the program, which did nothing more after it asked for it."""
    trap = record.trap or ""
    if record.state != "trapped" or not is_traceback(trap):
        return False
    trap_lines = trap.splitlines()
    since_ms = 0.0
    for line in record.lines:
        if line.app and line.text not in trap_lines:
            since_ms = max(since_ms, line.t_ms)
    recent = [line for line in record.lines if line.t_ms >= since_ms - _SAYS_AT_ONCE_MS]
    for part in firmware_texts(recent, ABSENT):
        if is_of_absent_part(trap, part):
            return True
    return False


def _is_ended_by_network(record: Record) -> bool:
    """Return True if the last thing that the program met on the network is what no line answers, and it ended by it."""
    trap = record.trap or ""
    if not trap or not record.traffic or record.traffic[-1].kind != "unknown":
        return False
    last = record.traffic[-1]
    if is_traceback(trap):
        return record.state == "trapped" and is_of_network(trap, has_answer="/" in last.what)
    for line in record.lines:
        is_at_once = last.t_ms <= line.t_ms <= last.t_ms + _SAYS_AT_ONCE_MS
        if is_at_once and line.text.startswith(_ERROR_CHECK):
            return True
    return False


def _broken_parts(record: Record) -> str | None:
    """Return which parts failed and how, or None if the models of all parts work."""
    parts = dict.fromkeys(firmware_texts(record.lines, BROKEN_PART))
    if not parts:
        return None
    return f"a fault of the trial, not of the program: its part {', '.join(parts)}"
