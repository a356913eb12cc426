"""The sensors that a profile says are soldered on: each is a part that the host knows, or has its reason here."""

from __future__ import annotations

import pytest

from microclaw.hardware.boards import board_ids, load_board
from microclaw.hardware.parts.reader import parts

# A sensor without a folder in hardware/parts is in no wiring: (board, sensor) -> why it has none.
WITHOUT_PART: dict[tuple[str, str], str] = {}


@pytest.mark.parametrize("board_id", board_ids())
def test_each_soldered_sensor_is_a_part_or_has_its_reason(board_id: str) -> None:
    bus = load_board(board_id).i2c
    assert bus is not None
    unknown = {(board_id, name) for name in bus.sensors if name not in parts()}
    reasons = {board for board in WITHOUT_PART if board[0] == board_id}
    assert unknown == reasons
