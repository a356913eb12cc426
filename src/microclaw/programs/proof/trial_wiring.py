"""Chooses the parts that a trial's board has."""

from __future__ import annotations

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import Wiring, soldered_parts
from microclaw.programs.building import ProgramImage
from microclaw.programs.py.py_image import PyImage


def trial_wiring(program: ProgramImage, board: BoardProfile, record: Wiring | None) -> Wiring:
    """Return the recorded parts; without any, those that the board has soldered on and those that the program names.

    With a record, a program that names another pin reads nobody, as on the board.
    """
    if record is not None and record.parts:
        return record
    soldered = soldered_parts(board)
    if not isinstance(program, PyImage):
        return soldered
    wired = list(soldered.parts)
    for part in program.wired:
        if soldered.find(part.id) is None:
            wired.append(part)
    return Wiring(tuple(wired))
