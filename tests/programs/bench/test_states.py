"""How the state of a part is put together from what is known of its values."""

from __future__ import annotations

from microclaw.hardware.parts.wiring import make_part
from microclaw.programs.bench.states import (
    KnownNumber,
    StateSource,
    TrialView,
    board_state,
    counted_pin,
    joined_state,
    unknown_state,
)
from microclaw.wire.board_replies import PartScreen, PartStateRow, PinRow

SCREEN = PartScreen("text", 2, 1, "", ".")
LAMP = make_part("lamp", "led", pins={"pin": 5})


def known(value: float, source: StateSource, at_ms: int | None = None) -> KnownNumber:
    return KnownNumber(value, source, at_ms)


def test_a_state_is_known_as_surely_as_its_least_sure_value() -> None:
    state = joined_state({"on": known(1.0, "counted"), "tone": known(440.0, "ordered", 7), "angle": None})
    assert (state.source, state.at_ms, state.state) == ("ordered", 7, {"on": 1.0, "tone": 440.0, "angle": None})


def test_a_picture_of_a_trial_is_no_more_than_that() -> None:
    state = joined_state({"backlight": known(1.0, "counted")}, TrialView(5, screen=SCREEN, text="Hello"))
    assert (state.source, state.at_ms, state.screen, state.says) == ("trial", 5, SCREEN, "shows “Hello”")


def test_what_nobody_knows_is_null() -> None:
    state = joined_state({"on": None})
    assert (state.source, state.state) == ("not read", {"on": None})
    assert unknown_state(LAMP).state == {"brightness": None}


def test_a_virtual_board_counts_and_a_failed_part_is_not_known() -> None:
    state = board_state(LAMP, PartStateRow("lamp", {"brightness": 40.0}))
    assert (state.source, state.state) == ("counted", {"brightness": 40.0})
    assert board_state(LAMP, PartStateRow("lamp")) == unknown_state(LAMP)
    strip = make_part("strip", "ws2812", pins={"data": 7})
    assert board_state(strip, PartStateRow("strip", colors="ff0000")).source == "counted"
    assert board_state(strip, PartStateRow("strip", colors="ff000000ff00")).colors == ["ff0000", "00ff00"]


def test_what_sensors_measure_and_displays_show_is_reported() -> None:
    sensor = make_part("sensor", "dht22", pins={"data": 5})
    lcd = make_part("lcd", "lcd1602", pins={})
    assert board_state(sensor, PartStateRow("sensor", {"temperature": 22.5})).source == "reported"
    assert board_state(lcd, PartStateRow("lcd", {"backlight": 1.0}, SCREEN)).source == "reported"


def test_a_steady_pin_has_the_duty_of_its_level() -> None:
    steady = counted_pin(PinRow(5, 1, "output", 0, 0, "blink"))
    assert (steady.level, steady.duty, steady.program) == (1, 255, "blink")
    dimmed = counted_pin(PinRow(5, 1, "pwm", 30, 1000, None))
    assert (dimmed.duty, dimmed.frequency_hz) == (30, 1000)
