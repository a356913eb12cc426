"""The present states of a board's parts and pins, for those who read them often. Keeps no history.

States are compared with those of the last reading, so parts and programs do nothing for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from microclaw.hardware.screens.screen import Screen, pack_data
from microclaw.wire.board_control import MAX_SCREEN_BYTES_A_PAGE
from microclaw.wire.board_replies import PartPage, PartScreen, PartStateRow, PinRow

if TYPE_CHECKING:
    from microclaw.virtual.board import Board  # it has parts, whose states are here

_ROW_BYTES: Final = 2_000
"""At most, without the picture and the colors: a part has up to 20 values."""
_DECIMALS: Final = 3


class PartState(Struct, frozen=True):
    """The state of a part: its values by name, what a display shows, the colors of addressable LEDs."""

    values: Mapping[str, float]
    screen: Screen | None = None
    colors: bytes | None = None


class _NumberedPart(Struct, frozen=True):
    """A state, its row, and the number of the change that made it."""

    number: int
    state: PartState
    row: PartStateRow


class _NumberedPin(Struct, frozen=True):
    number: int
    row: PinRow


class PartStates:
    """The states with the numbers of their last changes, which count from 1."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._number = 0
        self._parts: dict[str, _NumberedPart] = {}
        self._pins: dict[int, _NumberedPin] = {}

    def since(self, number: int) -> PartPage:
        """Return the states that changed from `number` on; all of them if it is from an earlier process."""
        board = self._board
        with board.lock:
            self._note_parts(board.parts.states())
            self._note_pins()
            if number > self._number + 1:
                number = 0
            rows, next_number = self._part_rows(number)
            return PartPage(
                parts=tuple(rows),
                pins=self._pin_rows(number, next_number),
                next=next_number,
                now_ms=round(board.clock.now_ms(), _DECIMALS),
                powered=board.powered,
                boot_id=board.boot_id,
                more=next_number <= self._number,
            )

    def _note_parts(self, states: Mapping[str, PartState]) -> None:
        """Give a new number to each state that is another one."""
        self._parts = {part_id: part for part_id, part in self._parts.items() if part_id in states}
        for part_id, state in states.items():
            last = self._parts.get(part_id)
            if last is None or last.state != state:
                self._number += 1
                row = _part_row(part_id, state, last)
                self._parts[part_id] = _NumberedPart(self._number, state, row)

    def _note_pins(self) -> None:
        for row in self._board.pins():
            last = self._pins.get(row.pin)
            if last is None or last.row != row:
                self._number += 1
                self._pins[row.pin] = _NumberedPin(self._number, row)

    def _part_rows(self, number: int) -> tuple[list[PartStateRow], int]:
        """Return the rows from `number` on that one page takes, at least one, and the number to go on with."""
        changed = [part for part in self._parts.values() if part.number >= number]
        changed.sort(key=lambda part: part.number)
        rows: list[PartStateRow] = []
        page_bytes = 0
        for part in changed:
            page_bytes += _row_bytes(part.row)
            if rows and page_bytes > MAX_SCREEN_BYTES_A_PAGE:
                return rows, part.number
            rows.append(part.row)
        return rows, self._number + 1

    def _pin_rows(self, number: int, next_number: int) -> tuple[PinRow, ...]:
        """Return the rows of the pins that changed from `number` on, and that no later page begins with."""
        return tuple(pin.row for pin in self._pins.values() if number <= pin.number < next_number)


def _part_row(part_id: str, state: PartState, last: _NumberedPart | None) -> PartStateRow:
    """Return the row of a state. An unchanged picture is not compressed again."""
    values = {name: round(value, _DECIMALS) for name, value in state.values.items()}
    screen = None
    if last is not None and last.state.screen == state.screen:
        screen = last.row.screen
    elif state.screen is not None:
        screen = _packed(state.screen)
    colors = None
    if state.colors is not None:
        colors = state.colors.hex()
    return PartStateRow(part_id, values, screen, colors)


def _packed(screen: Screen) -> PartScreen:
    return PartScreen(screen.kind, screen.width, screen.height, pack_data(screen), screen.mark)


def _row_bytes(row: PartStateRow) -> int:
    size = _ROW_BYTES + len(row.colors or "")
    if row.screen is not None:
        size += len(row.screen.data)
    return size
