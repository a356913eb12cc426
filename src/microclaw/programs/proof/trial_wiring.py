"""Chooses the parts that a trial's board has."""

from __future__ import annotations

from collections.abc import Sequence

from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import WiredPart, Wiring, check_wiring, wiring_of_board
from microclaw.programs.building import ProgramImage


def trial_wiring(program: ProgramImage, board: BoardProfile, own: Wiring | None, record: Wiring | None) -> Wiring:
    """Return the parts of the trial's board: what is soldered on, and the program's own wiring or the device's record.

    A wiring of the program's own is the whole circuit. A record may lack parts: those that the program names are added,
    unless the record has one of that kind. So a program that names another pin than the recorded one reads nobody, as
    on the board. A part that the board cannot have beside the others is left out.
    """
    if own is not None and own.parts:
        return wiring_of_board(own, board)
    record = record or Wiring()
    recorded_kinds = {part.part for part in record.parts}
    wired = list(wiring_of_board(record, board).parts)
    for part in program.wired:
        if part.part not in recorded_kinds and _may_have(board, (*wired, part)):
            wired.append(part)
    return Wiring(tuple(wired))


def _may_have(board: BoardProfile, wired: Sequence[WiredPart]) -> bool:
    try:
        check_wiring(Wiring(tuple(wired)), board)
    except ConfigError:
        return False
    return True
