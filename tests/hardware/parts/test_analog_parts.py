"""The voltages of analog parts, against the tables of their sources."""

from __future__ import annotations

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, make_part
from microclaw.virtual.board import Board
from microclaw.virtual.virtual_clock import VirtualClock

PROFILE = load_board("virtual")


def wired_board(name: str, pins: dict[str, int], **attributes: float) -> Board:
    board = Board(PROFILE, VirtualClock())
    board.parts.wire(Wiring((make_part("part1", name, pins=pins, attributes=attributes),)))
    return board


@pytest.mark.parametrize(
    ("lux", "kohm"),
    [(0.1, 1250), (1, 250), (10, 50), (50, 16.2), (100, 9.98), (400, 3.78), (1000, 1.99), (10_000, 0.397)],
)
def test_a_photoresistor_has_the_resistances_of_its_table(lux: float, kohm: float) -> None:
    board = wired_board("photoresistor", {"ao": 4})
    board.parts.set_values("part1", {"light": lux})
    assert board.adc.read(4).volts == pytest.approx(3.3 * kohm / (kohm + 10), rel=0.01)


def test_a_photoresistor_tells_dark_from_light_at_its_threshold() -> None:
    board = wired_board("photoresistor", {"do": 6}, threshold_v=2.5)
    levels = []
    for lux in (0, 10, 100):
        board.parts.set_values("part1", {"light": lux})
        levels.append(board.level(6))
    # 2.5 of 3.3 V are 31 kohm, which it has at 20 lux.
    assert levels == [1, 1, 0]


@pytest.mark.parametrize(("celsius", "kohm"), [(0, 33.6), (25, 10.0), (50, 3.58), (100, 0.698)])
def test_a_thermistor_has_the_resistances_of_its_beta(celsius: float, kohm: float) -> None:
    board = wired_board("ntc", {"out": 4})
    board.parts.set_values("part1", {"temperature": celsius})
    assert board.adc.read(4).volts == pytest.approx(3.3 * kohm / (kohm + 10), rel=0.01)


@pytest.mark.parametrize(("ppm", "ratio"), [(0, 9.83), (200, 1.62), (1000, 0.76), (10_000, 0.26)])
def test_a_gas_sensor_follows_the_curve_of_lpg(ppm: float, ratio: float) -> None:
    board = wired_board("mq2", {"ao": 4, "do": 6})
    board.parts.set_values("part1", {"gas": ppm})
    volts = 5 * 5 / (5 + 10 * ratio)
    assert board.adc.read(4).volts == pytest.approx(min(volts, 3.3), rel=0.01)
    assert board.level(6) == int(volts < 2)


def test_a_module_of_5_volts_gives_at_most_what_the_chip_reads() -> None:
    board = wired_board("water_sensor", {"out": 4}, full_v=5)
    board.parts.set_values("part1", {"water_level": 100})
    assert board.adc.read(4).volts == 3.3


def test_a_pin_has_no_voltage_after_its_part_is_gone() -> None:
    board = wired_board("potentiometer", {"pin": 4})
    board.parts.set_values("part1", {"position": 50})
    assert board.adc.read(4).volts == pytest.approx(1.65)
    board.parts.wire(Wiring())
    assert board.adc.read(4).volts == 0
