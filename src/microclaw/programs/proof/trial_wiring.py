"""Chooses the parts that a trial's board has."""

from __future__ import annotations

from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import WiredPart, Wiring, check_wiring, soldered_parts
from microclaw.programs.building import ProgramImage


def trial_wiring(program: ProgramImage, board: BoardProfile, record: Wiring | None) -> Wiring:
    """Return the recorded parts; without any, those that the board has soldered on and those that the program names.

    With a record, a program that names another pin reads nobody, as on the board. What is soldered on stays: a part of
    the program at its address is left out.
    """
    if record is not None and record.parts:
        return record
    wired = list(soldered_parts(board).parts)
    for part in program.wired:
        if _fits((*wired, part), board):
            wired.append(part)
    return Wiring(tuple(wired))


def _fits(wired: tuple[WiredPart, ...], board: BoardProfile) -> bool:
    """Return False if the board cannot have the last part beside the others: what is soldered on stays."""
    try:
        check_wiring(Wiring(wired), board)
    except ConfigError:
        return False
    return True
