"""The parts and the inputs of a trial's board: chooses the parts, and says what contradicts the program."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.named_parts import inputs_on
from microclaw.hardware.parts.wiring import WiredPart, Wiring, bus_pins, wiring_of_board
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.programs.building import ProgramImage
from microclaw.programs.proof.expectation_result import ExpectationResult
from microclaw.programs.proof.expectations import LedColor
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.stimuli import PinStimulus
from microclaw.programs.proof.trial_plan import TrialOptions

_BUS_PART: Final = "1-Wire part"
_ABSENT_PART: Final = re.compile(rf"I2C device at (?P<address>0x[0-9a-f]+)|(?P<wire>{_BUS_PART}|\w+) on pin \d+")
"""What the board says it has not (virtual/py/chip.py, virtual/nodes/i2c.py), if it is a part at a place."""


def trial_wiring(program: ProgramImage, board: BoardProfile, own: Wiring | None, record: Wiring | None) -> Wiring:
    """Return the parts of the trial's board: what is soldered on, and the program's own wiring or the device's record.

    A wiring of the program's own is the whole circuit, unless it has only parts without a model. A record may lack
    parts: those that the program names are added, unless the record has a part of that kind. So a program that names
    another pin than the recorded one gets no answer, as on the board. A part that the board cannot have beside the
    others is left out.
    """
    if own is not None and _is_whole_circuit(own):
        return wiring_of_board(own, board)
    record = record or own or Wiring()
    recorded_kinds = {part.part for part in record.parts}
    wired = list(wiring_of_board(record, board).parts)
    for part in program.wired:
        if part.part not in recorded_kinds and _may_have(board, (*wired, part)):
            wired.append(part)
    return replace(record, parts=tuple(wired))


def trial_warnings(options: TrialOptions, record: Record, board: BoardProfile) -> Iterator[str]:
    """Yield the faults of the trial's circuit, and the pins whose level does not matter or has two sources."""
    yield from _diagram_warnings(options.wiring or Wiring(), board)
    yield from _unused_inputs(options, record)
    yield from _doubly_driven(options, record)


def with_absent_leds(
    results: Sequence[ExpectationResult], wiring: Wiring, board: BoardProfile
) -> tuple[ExpectationResult, ...]:
    """Return the results; those about LEDs that a faulty diagram does not have on their pin are untried."""
    faults = wiring.diagram_faults
    if not faults:
        return tuple(results)
    lit_pins = set[int]()
    if board.led is not None:
        lit_pins.add(board.led.pin)
    for part in wiring.parts:
        if part.facts.kind == "leds":
            lit_pins.update(part.pins.values())
    changed = []
    for result in results:
        unlit_pin = _unlit_pin(result, lit_pins)
        if unlit_pin is not None:
            text = f"the diagram has no LEDs at pin {unlit_pin}; {faults[0]}"
            result = replace(result, trial="untried", found=text)
        changed.append(result)
    return tuple(changed)


def stated_wiring(options: TrialOptions) -> Wiring:
    """Return the parts that somebody wired: those of the program's own wiring, else the record's, and expectations'.

    What is soldered on, or read out of the program, does not say where the others are.
    """
    stated = options.record or Wiring()
    if options.wiring is not None and _is_whole_circuit(options.wiring):
        stated = options.wiring
    if options.expectations is None:
        return stated
    assumed = tuple(part.wired for part in options.expectations.wired)
    return Wiring((*stated.parts, *assumed))


def misplaced_part(absent: str, stated: Wiring, board: BoardProfile) -> str | None:
    """Return where the parts are that the program sought elsewhere: "the wiring has air1 (...) at 0x76 on pins 8, 9".

    `absent` is the board's word for what it has not, as "I2C device at 0x77". None if no stated part could be there.
    """
    match = _ABSENT_PART.fullmatch(absent)
    if match is None:
        return None
    places: dict[str, None] = {}
    for part in stated.parts:
        is_sought = _is_at_address(part, match["address"]) or _is_on_wire(part, match["wire"])
        if is_sought:
            places[_place_of(part, board)] = None
    if not places:
        return None
    return f"the wiring has {', '.join(places)}"


def _diagram_warnings(wiring: Wiring, board: BoardProfile) -> Iterator[str]:
    """Yield what a person should know of a diagram: that it has another chip, and what is wrong with its circuit."""
    drawn = wiring.drawn_for
    if drawn is not None and drawn.chip != board.chip:
        yield f"the diagram is drawn for {drawn.type}; its pins are taken as those of {board.title}"
    yield from wiring.diagram_faults


def _unused_inputs(options: TrialOptions, record: Record) -> list[str]:
    """Return a warning for each pin that gets a level, and that the program never opened."""
    warnings: dict[str, None] = {}
    for stimulus in options.inputs:
        # An ADC pin needs no opening.
        if isinstance(stimulus, PinStimulus) and stimulus.pin not in record.roles:
            warnings[f"pin {stimulus.pin} was set from outside, and the program never opened it"] = None
    return list(warnings)


def _doubly_driven(options: TrialOptions, record: Record) -> list[str]:
    """Return a warning for each pin that the program and a part, of the trial or recorded, drive against each other."""
    warnings: dict[str, None] = {}
    for wiring in (options.wiring, options.record):
        for pin in sorted(record.driven):
            for part in inputs_on(wiring or Wiring(), pin):
                warnings[f"pin {pin} has {part.id}, which drives it too"] = None
    return list(warnings)


def _unlit_pin(result: ExpectationResult, lit_pins: Collection[int]) -> int | None:
    """Return the pin of a result's line that should have LEDs and has none."""
    for check in result.asked.checks:
        subject = getattr(check, "subject", None)
        if isinstance(subject, LedColor) and subject.pin not in lit_pins:
            return subject.pin
    return None


def _is_at_address(part: WiredPart, address: str | None) -> bool:
    """Return True if a part of this kind could answer at the address ("0x77")."""
    i2c = part.facts.i2c
    return address is not None and i2c is not None and int(address, 16) in i2c.addresses


def _is_on_wire(part: WiredPart, name: str | None) -> bool:
    """Return True if a part on a single wire is of this kind: "1-Wire part" on a bus, or one with a line of its own."""
    if name is None:
        return False
    for pin in part.facts.pins:
        is_bus = name == _BUS_PART
        if pin.use == "one-wire" and pin.shared == is_bus:
            return is_bus or part.part == name.lower()
    return False


def _place_of(part: WiredPart, board: BoardProfile) -> str:
    pins: Sequence[int] = tuple(part.pins.values())
    text = f"{part.id} ({part.part})"
    if part.address is not None:
        text += f" at 0x{part.address:02x}"
        pins = bus_pins(part, board) or ()
    noun = "pin" if len(pins) == 1 else "pins"
    return f"{text} on {noun} {', '.join(map(str, pins))}"


def _is_whole_circuit(own: Wiring) -> bool:
    """Return True for a wiring of a program's own that has more than parts without a model."""
    return bool(own.parts or own.diagram_faults)


def _may_have(board: BoardProfile, wired: Sequence[WiredPart]) -> bool:
    try:
        check_wiring(Wiring(tuple(wired)), board)
    except ConfigError:
        return False
    return True
