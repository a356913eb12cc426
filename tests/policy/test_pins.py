"""check_pin: what the host refuses before anything is sent."""

from __future__ import annotations

import pytest

from microclaw.boards import PinUse, load_board
from microclaw.errors import PinRefused
from microclaw.policy.pins import check_pin, nearest_free_pins, pin_caution

BOARD = load_board("virtual")


@pytest.mark.parametrize(
    ("pin", "use"), [(2, "output"), (4, "input"), (5, "pwm"), (1, "adc"), (8, "i2c"), (0, "input")]
)
def test_free_pin_is_allowed(pin: int, use: PinUse) -> None:
    check_pin(BOARD, pin, use)


@pytest.mark.parametrize(
    ("pin", "use", "reason"),
    [
        (27, "output", "flash and PSRAM"),
        (35, "input", "octal PSRAM"),
        (19, "output", "USB"),
        (43, "pwm", "UART0"),
        (23, "output", "has no GPIO 23"),
        (-1, "output", "has no GPIO -1"),
        (49, "output", "has no GPIO 49"),
        (12, "adc", "offers i2c, input, output, pwm"),
    ],
)
def test_forbidden_pin_is_refused_with_its_reason_and_free_pins(pin: int, use: PinUse, reason: str) -> None:
    with pytest.raises(PinRefused, match=reason) as caught:
        check_pin(BOARD, pin, use)
    assert caught.value.next_step is not None
    for number in nearest_free_pins(BOARD, pin, use):
        assert str(number) in caught.value.next_step
        check_pin(BOARD, number, use)


def test_suggested_pins_are_the_nearest_without_a_caution() -> None:
    assert nearest_free_pins(BOARD, 27, "output") == (21, 18, 17, 16)
    assert nearest_free_pins(BOARD, 0, "output") == (1, 2, 4, 5)


def test_strapping_pin_is_cautioned_and_a_plain_one_not() -> None:
    assert pin_caution(BOARD, 45) is not None
    assert pin_caution(BOARD, 4) is None
