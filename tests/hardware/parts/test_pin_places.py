"""The pins that are proposed for a part: free and without care, a shared bus if there is one, never a refused one."""

from __future__ import annotations

from typing import get_args

import pytest

from microclaw.errors import UnknownName
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.hardware.parts.named_parts import parse_part_lines, part_line, with_part
from microclaw.hardware.parts.pin_places import (
    BoardUse,
    PartPlaces,
    PinPlace,
    places_of_new_part,
    places_of_wired_part,
)
from microclaw.hardware.parts.reader import parts
from microclaw.hardware.parts.wiring import MAX_PARTS, Wiring, wiring_of_board
from microclaw.hardware.parts.wiring_check import check_wiring

BOARD = load_board("virtual")


def board_use(record: Wiring, board: BoardProfile = BOARD, holders: dict[int, str] | None = None) -> BoardUse:
    wiring = wiring_of_board(record, board)
    taken = dict(holders or {})
    for part in wiring.parts:
        taken |= dict.fromkeys(part.pins.values(), part.id)
    free = {}
    for use in get_args(PinUse):
        free[use] = [pin for pin in board.usable_pins(use) if pin not in taken]
    return BoardUse(board, wiring, free, taken)


def places(lines: list[str], name: str) -> PartPlaces:
    return places_of_new_part(board_use(parse_part_lines(lines)), name)


def line_of(found: PartPlaces) -> str:
    assert found.proposal is not None, found.fault
    return part_line(found.proposal)


def place_of(found: PartPlaces, role: str, gpio: int) -> PinPlace:
    for row in found.roles:
        for place in row.places:
            if row.pin.role == role and place.gpio == gpio:
                return place
    raise AssertionError(f"no place {gpio} for {role}")


@pytest.mark.parametrize("board_id", board_ids())
@pytest.mark.parametrize("name", parts())
def test_each_proposal_can_be_wired_until_the_board_is_full(board_id: str, name: str) -> None:
    board = load_board(board_id)
    record = Wiring()
    while len(record.parts) < MAX_PARTS:
        found = places_of_new_part(board_use(record, board), name)
        if found.proposal is None:
            assert found.fault is not None
            break
        record = with_part(record, found.proposal)
        if len(wiring_of_board(record, board).parts) <= MAX_PARTS:
            check_wiring(record, board)
    for part in record.parts:
        for gpio in part.pins.values():
            is_own_bus = board.i2c is not None and gpio in (board.i2c.sda, board.i2c.scl)
            assert is_own_bus or board.pins[gpio].caution is None


@pytest.mark.parametrize("name", parts())
def test_every_part_has_a_proposal_on_an_empty_board(name: str) -> None:
    found = places([], name)
    assert found.proposal is not None
    # The page shows what was proposed.
    assert {row.pin.role: row.proposed for row in found.roles if row.proposed is not None} == found.proposal.pins


def test_a_further_part_of_a_kind_has_the_next_number() -> None:
    assert places([], "led").part_id == "led1"
    assert places(["led1=led pin=5"], "led").part_id == "led2"
    assert places(["led2=button pin=5"], "led").part_id == "led1"
    assert places([], "ssd1306").part_id == "ssd1306-1"


def test_a_bus_is_joined_and_a_free_address_taken() -> None:
    first = places([], "ssd1306")
    assert line_of(first) == "ssd1306-1=ssd1306 sda=8 scl=9 address=0x3c"
    second = places(["oled=ssd1306"], "ssd1306")
    assert line_of(second) == "ssd1306-1=ssd1306 sda=8 scl=9 address=0x3d"
    assert [(place.address, place.holder) for place in second.addresses] == [(0x3C, "oled"), (0x3D, None)]


def test_a_third_display_of_two_addresses_gets_a_bus_of_its_own() -> None:
    found = places(["o1=ssd1306 sda=8 scl=9", "o2=ssd1306 sda=8 scl=9 address=0x3d"], "ssd1306")
    assert found.proposal is not None
    assert not {8, 9} & set(found.proposal.pins.values())


def test_parts_with_cs_share_an_spi_bus_and_others_do_not() -> None:
    joined = places(["tft=ili9341 sck=12 mosi=11 dc=13 cs=10"], "max7219")
    assert joined.proposal is not None
    assert (joined.proposal.pins["sck"], joined.proposal.pins["mosi"]) == (12, 11)
    assert joined.proposal.pins["cs"] not in (10, 11, 12, 13)
    alone = places(["tft=st7789 sck=12 mosi=11 dc=13"], "max7219")
    assert alone.proposal is not None
    assert not {11, 12, 13} & set(alone.proposal.pins.values())


def test_a_second_thermometer_hangs_on_the_wire_of_the_first() -> None:
    found = places(["t1=ds18b20 data=21"], "ds18b20")
    assert found.proposal is not None
    assert found.proposal.pins == {"data": 21}


def test_a_shift_register_is_not_wired_on_top_of_another() -> None:
    found = places(["sr=hc595 ds=16 shcp=17 stcp=18"], "hc595")
    assert found.proposal is not None
    assert not {16, 17, 18} & set(found.proposal.pins.values())


def test_a_pin_says_why_it_is_refused_or_wants_care() -> None:
    found = places(["btn1=button pin=5"], "led")
    assert place_of(found, "pin", 5).refused == "btn1 is there (pin)"
    assert "UART0" in str(place_of(found, "pin", 43).refused)
    assert place_of(found, "pin", 0).refused is None
    assert "strapping" in str(place_of(found, "pin", 0).care)
    assert place_of(found, "pin", 8).refused == "bme280 is there (sda)"


def test_the_pin_of_a_program_wants_care_and_is_not_proposed() -> None:
    use = board_use(Wiring(), holders={1: "blink"})
    found = places_of_new_part(use, "led")
    assert found.proposal is not None
    assert found.proposal.pins != {"pin": 1}
    assert place_of(found, "pin", 1) == PinPlace(1, care="blink uses it")


def test_a_wired_part_keeps_its_pins_and_may_stay_where_it_is() -> None:
    record = parse_part_lines(["lamp=led pin=5 label=desk", "oled=ssd1306 sda=8 scl=9 address=0x3d"])
    use = board_use(record)
    lamp = record.find("lamp")
    oled = record.find("oled")
    assert lamp is not None
    assert oled is not None
    found = places_of_wired_part(use, lamp)
    assert line_of(found) == "lamp=led pin=5 active=high label=desk"
    assert place_of(found, "pin", 5) == PinPlace(5)
    assert [place.holder for place in places_of_wired_part(use, oled).addresses] == [None, None]


def test_a_part_on_the_board_s_own_bus_shows_the_pins_of_that_bus() -> None:
    record = parse_part_lines(["oled=ssd1306"])
    oled = record.find("oled")
    assert oled is not None
    found = places_of_wired_part(board_use(record), oled)
    assert {row.pin.role: row.proposed for row in found.roles} == {"sda": 8, "scl": 9}


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownName):
        places([], "lamp")
