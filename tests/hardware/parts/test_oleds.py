"""Controllers of OLEDs at register level: what the panel shows after the commands of their data sheets."""

from __future__ import annotations

import pytest
from tests.hardware.parts.desk_bench import DeskBench

from microclaw.hardware.parts.oled_controller import OledController
from microclaw.hardware.parts.wiring import make_part
from microclaw.hardware.screens.screen import Screen
from microclaw.virtual.bench import load_model

ON = (0x8D, 0x14, 0xAF)
UPRIGHT = (0xA1, 0xC8)


class Desk:
    """A controller with a panel, and how it is talked to."""

    def __init__(self, name: str, width: int = 128, height: int = 64) -> None:
        self.bench = DeskBench()
        attributes: dict[str, float] = {"width": width, "height": height}
        model_class = load_model(name)
        assert model_class is not None
        device = model_class(make_part("oled1", name, pins={}, attributes=attributes), self.bench)
        assert isinstance(device, OledController)
        device.reset()
        self.device = device

    def command(self, *data: int) -> None:
        self.device.write(bytes([0x00, *data]))

    def data(self, *data: int) -> None:
        self.device.write(bytes([0x40, *data]))

    def clear(self) -> None:
        for page in range(8):
            self.command(0xB0 | page, 0x00, 0x10)
            self.data(*bytes(self.device.COLUMNS))
        self.command(0xB0, 0x00, 0x10)

    def lit(self) -> set[tuple[int, int]]:
        return lit_pixels(self.device.screen())


def lit_pixels(screen: Screen) -> set[tuple[int, int]]:
    """Return the places of the lit pixels, from the upper left corner."""
    pixels = set()
    for y in range(screen.height):
        row = screen.data[y * screen.row_bytes : (y + 1) * screen.row_bytes]
        for x in range(screen.width):
            if row[x // 8] >> (7 - x % 8) & 1:
                pixels.add((x, y))
    return pixels


@pytest.fixture
def desk() -> Desk:
    """An SSD1306 that is cleared, upright and on."""
    desk = Desk("ssd1306")
    desk.command(*UPRIGHT)
    desk.clear()
    desk.command(*ON)
    return desk


def test_the_panel_is_dark_until_it_is_on_and_fed_and_then_shows_the_same_snow() -> None:
    screens = []
    for _ in range(2):
        desk = Desk("ssd1306")
        assert desk.device.screen().is_blank
        desk.command(0xAF)
        assert desk.device.screen().is_blank
        desk.command(0x8D, 0x14)
        screens.append(desk.device.screen())
    assert 3000 < len(lit_pixels(screens[0])) < 5000
    assert screens[0] == screens[1]


def test_a_byte_is_eight_pixels_of_a_column_the_lowest_bit_on_top(desk: Desk) -> None:
    desk.data(0x81, 0x02)
    assert desk.lit() == {(0, 0), (0, 7), (1, 1)}


def test_after_power_on_the_columns_of_a_page_begin_again(desk: Desk) -> None:
    desk.command(0xB3, 0x0E, 0x17)
    desk.data(1, 1, 1)
    assert desk.lit() == {(126, 24), (127, 24), (0, 24)}


def test_horizontal_addressing_fills_a_window_row_by_row(desk: Desk) -> None:
    desk.command(0x20, 0x00, 0x21, 10, 11, 0x22, 6, 7)
    desk.data(1, 2, 4, 8, 16)
    assert desk.lit() == {(10, 52), (11, 49), (10, 58), (11, 59)}


def test_vertical_addressing_fills_a_window_column_by_column(desk: Desk) -> None:
    desk.command(0x20, 0x01, 0x21, 10, 11, 0x22, 6, 7)
    desk.data(1, 2, 4, 8, 16)
    assert desk.lit() == {(10, 52), (10, 57), (11, 50), (11, 59)}


def test_columns_are_reversed_for_what_is_written_from_then_on(desk: Desk) -> None:
    desk.data(1)
    desk.command(0xA0)
    assert desk.lit() == {(0, 0)}
    desk.data(1)
    assert desk.lit() == {(0, 0), (126, 0)}


def test_the_scan_is_reversed_at_once(desk: Desk) -> None:
    desk.data(1)
    desk.command(0xC0)
    assert desk.lit() == {(0, 63)}


def test_start_line_and_offset_move_the_picture(desk: Desk) -> None:
    desk.data(1)
    desk.command(0x40 | 60)
    assert desk.lit() == {(0, 4)}
    # Table 10-2: with a reversed scan an offset of 8 puts row 8 on top.
    desk.command(0x40, 0xD3, 60)
    assert desk.lit() == {(0, 4)}


def test_inverse_and_entirely_on(desk: Desk) -> None:
    desk.command(0xA7)
    assert len(desk.lit()) == 128 * 64
    desk.data(0xFF)
    assert len(desk.lit()) == 128 * 64 - 8
    desk.command(0xA5)
    assert len(desk.lit()) == 128 * 64
    desk.command(0xA4, 0xA6)
    assert len(desk.lit()) == 8
    desk.command(0xAE)
    assert desk.device.screen().is_blank


def test_a_control_byte_may_stand_before_each_byte(desk: Desk) -> None:
    desk.device.write(bytes([0x80, 0xB1, 0x80, 0x05, 0xC0, 0x01, 0x40, 0x03]))
    assert desk.lit() == {(5, 8), (6, 8), (6, 9)}


def test_a_command_may_come_in_several_transfers(desk: Desk) -> None:
    desk.command(0xD3)
    desk.command(60)
    desk.data(1)
    assert desk.lit() == {(0, 4)}


def test_a_panel_of_32_rows_shows_what_its_driver_draws() -> None:
    desk = Desk("ssd1306", 128, 32)
    desk.command(*UPRIGHT, 0xA8, 31, 0xDA, 0x02)
    desk.clear()
    desk.command(*ON, 0xB3)
    desk.data(0x81)
    assert desk.lit() == {(0, 24), (0, 31)}


def test_a_panel_of_64_columns_stands_in_the_middle() -> None:
    desk = Desk("ssd1306", 64, 48)
    desk.command(*UPRIGHT, 0xA8, 47, 0xDA, 0x12)
    desk.clear()
    desk.command(*ON, 0xB5, 0x00, 0x12)
    desk.data(0x81)
    assert desk.lit() == {(0, 40), (0, 47)}


def test_a_driver_for_32_rows_draws_on_every_second_row_of_64(desk: Desk) -> None:
    desk.command(0xA8, 31, 0xDA, 0x02)
    desk.data(0xFF)
    assert desk.lit() == {(0, y) for y in range(1, 17, 2)}
    assert desk.bench.warnings == []
    desk.command(*ON)
    assert desk.bench.warnings == ["the program sets up 32 rows, the wiring has 64"]


def test_a_driver_for_64_rows_loses_every_second_row_on_32() -> None:
    desk = Desk("ssd1306", 128, 32)
    desk.command(*UPRIGHT)
    desk.clear()
    desk.command(*ON, 0xB7)
    desk.data(0xAA)
    desk.data(0x55)
    assert desk.lit() == {(0, 28), (0, 29), (0, 30), (0, 31)}


def test_only_what_is_seen_counts_as_a_change(desk: Desk) -> None:
    before = desk.bench.change_count
    desk.command(0x81, 0x10, 0xB2, 0x00, 0x10, 0xA6, 0x20, 0x00)
    desk.data(0)
    assert desk.bench.change_count == before
    desk.data(1, 1, 1)
    desk.command(0xA7)
    assert desk.bench.change_count == before + 2
    desk.command(0xAE)
    desk.data(7)
    assert desk.bench.change_count == before + 3


def test_the_picture_scrolls_until_it_is_stopped(desk: Desk) -> None:
    desk.data(1)
    desk.command(0x26, 0x00, 0x00, 0x07, 0x07, 0x00, 0xFF, 0x2F)
    for _ in range(3):
        desk.bench.pass_alarm()
    assert desk.bench.t_ms == pytest.approx(3 * 2 * 9.34)
    assert desk.lit() == {(3, 0)}
    desk.command(0x2E)
    desk.bench.pass_alarm()
    assert desk.lit() == {(3, 0)}
    assert not desk.bench.alarms


def test_the_picture_scrolls_to_the_left_and_upwards(desk: Desk) -> None:
    desk.data(0x80)
    desk.command(0x2A, 0x00, 0x00, 0x07, 0x07, 0x01, 0x2F)
    for _ in range(2):
        desk.bench.pass_alarm()
    assert desk.lit() == {(126, 5)}


def test_the_status_says_if_the_panel_is_off(desk: Desk) -> None:
    assert desk.device.read(1) == b"\x00"
    desk.command(0xAE)
    assert desk.device.read(2) == b"\x40\x40"


def test_any_bytes_are_taken(desk: Desk) -> None:
    for first in range(256):
        desk.device.write(bytes([first]))
        desk.device.write(bytes([0x00, first, first, first, first, first, first, first]))
        desk.device.write(bytes([0xC0, first, 0x80, first, 0x80]))
    assert desk.device.screen().width == 128


@pytest.fixture
def wide_desk() -> Desk:
    """An SH1106 that is cleared, upright and on, at the first column of its panel."""
    desk = Desk("sh1106")
    desk.command(*UPRIGHT)
    desk.clear()
    desk.command(0x02, 0x10, 0xAF)
    return desk


def test_the_panel_of_128_columns_begins_at_the_third_of_132(wide_desk: Desk) -> None:
    wide_desk.data(0x81)
    assert wide_desk.lit() == {(0, 0), (0, 7)}


def test_what_comes_after_the_last_of_132_columns_is_lost(wide_desk: Desk) -> None:
    wide_desk.command(0x01, 0x18)
    wide_desk.data(1, 1, 1, 1, 1)
    assert wide_desk.lit() == {(127, 0)}


def test_it_is_fed_from_the_beginning_until_its_converter_is_off(wide_desk: Desk) -> None:
    wide_desk.data(1)
    wide_desk.command(0xAD, 0x8A)
    assert wide_desk.device.screen().is_blank
    wide_desk.command(0xAD, 0x8B)
    assert wide_desk.lit() == {(0, 0)}


def test_read_modify_write_brings_the_column_back(wide_desk: Desk) -> None:
    wide_desk.command(0xE0)
    wide_desk.data(1, 1)
    wide_desk.command(0xEE)
    wide_desk.data(2)
    assert wide_desk.lit() == {(0, 1), (1, 0)}


def test_a_driver_for_horizontal_addressing_leaves_snow_and_writes_one_page() -> None:
    desk = Desk("sh1106")
    desk.command(*UPRIGHT, 0x20, 0x00, *ON)
    desk.command(0x21, 0, 127, 0x22, 0, 7)
    for _ in range(8):
        desk.data(*bytes(128))
    # It takes the arguments for commands: the column is 71, and the counter stops at the end of the page.
    assert not any(desk.device.ram[:61])
    assert any(desk.device.ram[61:132])
    assert desk.device.ram[132:] == Desk("sh1106").device.ram[132:]
