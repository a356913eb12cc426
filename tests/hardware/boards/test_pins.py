"""check_pin: what the host refuses before anything is sent."""

from __future__ import annotations

import pytest

from microclaw.errors import PinRefused
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.pins import check_pin, nearest_usable_pins, refusal
from microclaw.hardware.boards.profile import PinUse

BOARD = load_board("virtual")


@pytest.mark.parametrize(
    ("board_id", "pin", "use"),
    [
        ("virtual", 27, "output"),
        ("virtual", 35, "input"),
        ("virtual", 12, "adc"),
        ("esp32-devkitc-v4", 34, "output"),
        ("esp32-devkitc-v4", 39, "i2c"),
        ("esp32-devkitc-v4", 6, "input"),
    ],
)
def test_forbidden_pin_is_refused_with_free_pins(board_id: str, pin: int, use: PinUse) -> None:
    board = load_board(board_id)
    with pytest.raises(PinRefused) as caught:
        check_pin(board, pin, use)
    assert refusal(board, pin, use) is not None  # told without an attempt, too
    near = nearest_usable_pins(board, pin, use)
    assert near
    for number in near:
        assert str(number) in (caught.value.next_step or "")
        check_pin(board, number, use)  # they are allowed


def test_suggested_pins_are_the_nearest_without_a_caution() -> None:
    assert nearest_usable_pins(BOARD, 27, "output") == (21, 18, 17, 16)
    assert nearest_usable_pins(BOARD, 0, "output") == (1, 2, 4, 5)
