"""Which pins a program names as constants, checked against the board's rules; others show up in the trial.

The numbers come from the compiler itself: pin_marks.h makes it warn at each gpio_open, pwm_open and i2c_open whose pin
it can work out, through macros, enums and constants. Paths of device nodes are searched in the program's data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from microclaw.boards.profile import BoardProfile, PinUse
from microclaw.errors import Diagnostic, PinRefused
from microclaw.policy.pins import check_pin
from microclaw.wasm.diagnostics import PinMark, at
from microclaw.wasm.source_text import SourceText

_PATH: Final = re.compile(rb"/dev/gpio/(\d{1,3})\0")


def check_pins(
    marks: Iterable[PinMark], data: Iterable[bytes], board: BoardProfile, source: SourceText | None, file: str
) -> tuple[tuple[int, ...], tuple[Diagnostic, ...]]:
    """The pins named, sorted, and an error for each that the board refuses."""
    errors: list[Diagnostic] = []
    pins: set[int] = set()
    for mark in marks:
        place = (mark.line, mark.column)
        if mark.pin < 0:
            errors.append(at(source, place, f"no GPIO of the {board.chip} has this number", file=file))
            continue
        pins.add(mark.pin)
        errors.extend(_refused(board, mark.pin, _use(mark), source, place, file))
    for segment in data:
        for match in _PATH.finditer(segment):
            pin = int(match[1])
            place_of_path = source.find_string(f"/dev/gpio/{pin}") if source is not None else None
            pins.add(pin)
            errors.extend(_refused(board, pin, "input", source, place_of_path, file))
    return tuple(sorted(pins)), tuple(errors)


def _use(mark: PinMark) -> PinUse:
    if mark.what == "gpio":
        return "output" if mark.output else "input"
    return "pwm" if mark.what == "pwm" else "i2c"


def _refused(
    board: BoardProfile, pin: int, use: PinUse, source: SourceText | None, place: tuple[int, int] | None, file: str
) -> tuple[Diagnostic, ...]:
    try:
        check_pin(board, pin, use)
    except PinRefused as refused:
        return (at(source, place, refused.message, refused.next_step, file=file),)
    return ()
