"""The places of a board's pins: every GPIO that is led out has its one place, and none that is not."""

from __future__ import annotations

import pytest

from microclaw.hardware.boards import board_ids, load_board
from microclaw.hardware.boards.profile import Header

# What is on no header: the flash, and what the module does not lead out; the places of a side; the prints at the ends,
# left from above to below, right from above to below.
BOARDS = {
    "esp32-devkitc-v4": ({37, 38}, 19, ("3V3", "5V", "GND", "CLK")),
    "esp32-s3-devkitc-1-v1.0": ({*range(26, 35)}, 22, ("3V3", "G", "G", "G")),
    "esp32-s3-devkitc-1-v1.1": ({*range(26, 35)}, 22, ("3V3", "G", "G", "G")),
    "virtual": ({*range(26, 35)}, 22, ("3V3", "G", "G", "G")),
    "esp32-c3-devkitm-1": ({*range(11, 18)}, 15, ("GND", "GND", "GND", "GND")),
    "esp32-c6-devkitc-1": ({14, *range(24, 31)}, 16, ("3V3", "NC", "G", "NC")),
    "xiao-esp32s3": ({0, *range(10, 22), *range(26, 43), *range(45, 49)}, 7, ("D0", "D6", "5V", "D7")),
}


def headers(board_id: str) -> tuple[Header, Header]:
    layout = load_board(board_id).layout
    assert layout is not None
    left, right = layout.headers
    assert (left.side, right.side) == ("left", "right")
    return left, right


def test_each_board_has_a_layout_or_is_known_to_have_none() -> None:
    without = {board_id for board_id in board_ids() if load_board(board_id).layout is None}
    assert without == {"esp32-s3-touch-lcd-1.85c"}
    assert set(board_ids()) - without == set(BOARDS)


@pytest.mark.parametrize("board_id", BOARDS)
def test_every_exposed_gpio_has_one_place_on_headers_as_long_as_the_boards(board_id: str) -> None:
    board, (inside, places, corners) = load_board(board_id), BOARDS[board_id]
    assert board.layout is not None
    assert board.layout.source
    left, right = headers(board_id)
    gpios = [place.gpio for header in (left, right) for place in header.pins if place.gpio is not None]
    assert len(gpios) == len(set(gpios))
    assert set(gpios) == set(board.pins) - inside
    assert (len(left.pins), len(right.pins)) == (places, places)
    ends = (left.pins[0], left.pins[-1], right.pins[0], right.pins[-1])
    assert tuple(place.label for place in ends) == corners
