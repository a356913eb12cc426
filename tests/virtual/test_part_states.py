"""The present states of a board's parts and pins: what changed, in pages, and by whom it is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.virtual.conftest import Bench

from microclaw.hardware.parts.models import PinDevice, SpiBus
from microclaw.hardware.screens.screen import unpack_screen
from microclaw.wire import board_control as control
from microclaw.wire.board_replies import PartPage, PartStateRow

WIRING: dict[str, dict[str, Any]] = {
    "lamp": {"part": "led", "pin": 5},
    "btn": {"part": "button", "pin": 6},
    "strip": {"part": "ws2812", "data": 7},
    "short": {"part": "ws2812", "data": 12, "count": 2},
    "oled": {"part": "ssd1306"},
    "power": {"part": "ina219"},
}


@pytest.fixture
def wired(bench: Bench) -> Bench:
    bench.machine.perform(control.Wire(WIRING))
    return bench


def states(bench: Bench, since: int = 0) -> PartPage:
    page = bench.machine.perform(control.Parts(since))
    assert isinstance(page, PartPage)
    return page


def rows(page: PartPage) -> dict[str, PartStateRow]:
    return {row.part: row for row in page.parts}


def test_each_part_has_what_is_set_measured_and_shown(wired: Bench) -> None:
    page = states(wired)
    parts = rows(page)
    assert parts.keys() == WIRING.keys()
    assert parts["lamp"].values == {"brightness": 0.0}
    assert parts["btn"].values == {"pressed": 0.0}
    assert parts["power"].values["power"] == round(
        parts["power"].values["voltage"] * parts["power"].values["current"], 3
    )
    screen = parts["oled"].screen
    assert screen is not None
    assert (screen.kind, screen.width, screen.height) == ("pixels", 128, 64)
    assert [parts[name].colors for name in ("short", "strip", "lamp")] == ["000000" * 2, "000000", None]
    assert {pin.pin for pin in page.pins} == set(wired.board.profile.pins)


def test_a_later_answer_has_only_what_changed(wired: Bench) -> None:
    board = wired.board
    first = states(wired)
    nothing = states(wired, first.next)
    assert (nothing.parts, nothing.pins, nothing.next) == ((), (), first.next)
    board.set_output(5, 1)
    page = states(wired, first.next)
    assert rows(page) == {"lamp": PartStateRow("lamp", {"brightness": 100.0})}
    assert [(pin.pin, pin.level) for pin in page.pins] == [(5, 1)]
    board.show_leds(7, bytes((1, 2, 3, 4, 5, 6)))
    board.show_leds(7, bytes((7, 8, 9)))
    board.show_leds(12, bytes((1, 2, 3, 4, 5, 6, 7, 8, 9)))
    colors = {name: row.colors for name, row in rows(states(wired, page.next)).items()}
    assert colors == {"strip": "080709050406", "short": "020103050406"}
    # A number of another process, which counted further.
    assert rows(states(wired, 2**40)).keys() == WIRING.keys()


def test_parts_that_are_wired_anew_or_failed_are_told(wired: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    board = wired.board
    first = states(wired)
    wired.machine.perform(control.Wire({"lamp": {"part": "led", "pin": 5, "active": "low"}}))
    page = states(wired, first.next)
    assert rows(page)["lamp"].values == {"brightness": 100.0}
    assert rows(states(wired)).keys() == {"lamp"}

    def fail(self: PinDevice, *_: object) -> None:
        raise ValueError

    monkeypatch.setattr(type(board.parts.model("lamp")), "edge", fail)
    board.set_output(5, 1)
    assert rows(states(wired, page.next))["lamp"].values == {}


def test_chains_and_boards_without_power_are_dark(wired: Bench) -> None:
    board = wired.board
    board.show_leds(7, bytes((1, 2, 3)))
    before = states(wired)
    board.power_cut()
    assert not states(wired).powered
    board.power_on()
    page = states(wired)
    assert rows(page)["strip"].colors == "000000"
    assert (page.powered, page.boot_id != before.boot_id) == (True, True)


def show_snow(bench: Bench) -> None:
    """Wire three displays and switch them on: each shows snow, which cannot be compressed."""
    wiring = {}
    for number in range(3):
        wiring[f"tft{number}"] = {"part": "ili9341", "sck": 12, "mosi": 11, "dc": 13 + number, "cs": 4 + number}
    bench.machine.perform(control.Wire(wiring))
    # Out of sleep, and on.
    bench.board.parts.spi_transfer(SpiBus(sck=12, mosi=11), b"\x11\x29")
    bench.advance(200)


def test_pictures_that_do_not_fit_come_in_pages(bench: Bench) -> None:
    show_snow(bench)
    pages = [states(bench)]
    while pages[-1].more:
        pages.append(states(bench, pages[-1].next))
    assert [[row.part for row in page.parts] for page in pages] == [["tft0"], ["tft1"], ["tft2"]]
    assert {pin.pin for pin in pages[-1].pins} == set(bench.board.profile.pins)
    for page in pages:
        assert len(control.encode_reply(1, page)) < control.MAX_REPLY_BYTES
        screen = page.parts[0].screen
        assert screen is not None
        assert not unpack_screen(screen.kind, screen.width, screen.height, screen.data, screen.mark).is_blank


def test_a_pin_is_not_lost_if_displays_change_between_two_pages(bench: Bench) -> None:
    begin = states(bench)
    show_snow(bench)
    bench.board.set_output(2, 1)
    levels = {}
    page = states(bench, begin.next)
    # Colors inverted, and back: the displays come again, with higher numbers.
    for command in (b"\x21", b"\x20", b"\x21"):
        levels.update({pin.pin: pin.level for pin in page.pins})
        assert page.more
        bench.board.parts.spi_transfer(SpiBus(sck=12, mosi=11), command)
        bench.advance(200)
        page = states(bench, page.next)
    assert levels[2] == 1
