"""Checks the pins that a program names against its board, and offers the boards that have them. Compiles nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from typing import Final

from microclaw.errors import Diagnostic, PinRefused
from microclaw.hardware.boards.pins import cautions, check_pin, offer_boards
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.programs.wasm.diagnostics import MAX_DIAGNOSTICS, PinMark, at
from microclaw.programs.wasm.follow_up_errors import errors_of, unknown_name
from microclaw.programs.wasm.program_macros import arduino_defines, names_of_packages
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.tokens import bracket_ends

_DRIVING: Final = frozenset({"output", "pwm"})
_PATH: Final = re.compile(rb"/dev/gpio/(\d{1,3})\0")


def check_pins(
    marks: Iterable[PinMark], data: Iterable[bytes], board: BoardProfile, source: SourceText
) -> tuple[tuple[int, ...], tuple[Diagnostic, ...]]:
    """Return the pins named, sorted, and the findings: an error for each use that the board refuses, else a warning."""
    errors: list[Diagnostic] = []
    # A pin is opened and written to in several places: the first one tells what to know of it.
    warnings: dict[str, Diagnostic] = {}
    pins: set[int] = set()
    uses: set[tuple[int, PinUse]] = set()
    for mark in marks:
        place = (mark.line, mark.column)
        use = _use_of(mark)
        uses.add((mark.pin, use))
        if mark.pin < 0:
            errors.append(at(source, place, f"no GPIO of the {board.chip} has this number"))
            continue
        pins.add(mark.pin)
        refused = _refused(board, mark.pin, use, source, place)
        errors.extend(refused)
        if refused:
            continue
        for message, hint in cautions(board, mark.pin, is_driven=use in _DRIVING, is_pulled=mark.pull):
            warnings.setdefault(message, at(source, place, message, hint, severity="warning"))
    pins_of_paths: set[int] = set()
    for segment in data:
        pins_of_paths.update(map(int, _PATH.findall(segment)))
    for pin in sorted(pins_of_paths):
        if len(errors) < MAX_DIAGNOSTICS:
            errors.extend(_refused(board, pin, "input", source, source.find_string(f"/dev/gpio/{pin}")))
    pins |= pins_of_paths
    if errors:
        for pin in pins_of_paths:
            uses.add((pin, "input"))
        errors[0] = _with_fitting_boards(errors[0], board, uses, source)
    return tuple(sorted(pins)), (*errors, *warnings.values())


def with_boards_for_names(
    diagnostics: Sequence[Diagnostic], marks: Iterable[PinMark], board: BoardProfile, source: SourceText
) -> tuple[Diagnostic, ...]:
    """Return the findings; the first one on a pin's name that this board lacks says whose it is, and offers boards."""
    if not errors_of(diagnostics) or not arduino_defines(source):
        return tuple(diagnostics)
    names = _pin_names(source)
    lacking = names - board.named_pins.keys()
    uses = set()
    for mark in marks:
        uses.add((mark.pin, _use_of(mark)))
    findings = list(diagnostics)
    for number, finding in enumerate(findings):
        name = unknown_name(finding)
        if name in lacking:
            origin = f"{name} is an Arduino Uno's pin {_UNO_PINS[name]}" if name in _UNO_PINS else None
            findings[number] = finding.with_further_hint(origin).with_further_hint(offer_boards(board, uses, names))
            break
    return tuple(findings)


_UNO_PINS: Final = {
    "LED_BUILTIN": 13,
    **{f"D{number}": number for number in range(14)},
    **{f"A{number}": 14 + number for number in range(6)},
}


def _pin_names(source: SourceText) -> Set[str]:
    """Return the names of pins that the program has of Arduino's packages: it does not define them itself."""
    names = {*_UNO_PINS}
    for board_id in board_ids():
        names |= load_board(board_id).named_pins.keys()
    return names_of_packages(source, bracket_ends(source.tokens), names)


def _with_fitting_boards(
    error: Diagnostic, board: BoardProfile, uses: Set[tuple[int, PinUse]], source: SourceText
) -> Diagnostic:
    """Return the error with the offer of the boards that all pins of the program fit, and whose pins they are."""
    names = _pin_names(source)
    is_uno = source.language == "sketch" and names <= _UNO_PINS.keys()
    error = error.with_further_hint(offer_boards(board, uses, names))
    if is_uno and all(0 <= pin <= _UNO_PINS["D13"] for pin, _ in uses):
        return error.with_further_hint("this sketch's pins are an Arduino Uno's, too")
    return error


def _use_of(mark: PinMark) -> PinUse:
    if mark.what == "pwm":
        return "pwm"
    if mark.what == "gpio":
        return "output" if mark.output else "input"
    return "i2c"


def _refused(
    board: BoardProfile, pin: int, use: PinUse, source: SourceText, place: tuple[int, int] | None
) -> tuple[Diagnostic, ...]:
    try:
        check_pin(board, pin, use)
    except PinRefused as refused:
        return (at(source, place, refused.message, refused.next_step),)
    return ()
