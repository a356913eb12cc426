"""Lines of a wiring, and the names that people give to pins."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import ConfigError, MicroclawError, PinClaimed, UnknownName
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.named_parts import (
    SwitchedPin,
    inputs_on,
    joined_wiring,
    parse_part_line,
    part_line,
    switched_pins,
    without_part,
)
from microclaw.hardware.parts.named_parts import name_pin as name_pin_of
from microclaw.hardware.parts.part_ids import part_id_of
from microclaw.hardware.parts.reader import parts
from microclaw.hardware.parts.wiring import (
    MAX_PARTS,
    WiredPart,
    Wiring,
    make_part,
    parse_wiring,
    read_wiring,
    soldered_parts,
    wiring_of_board,
    wiring_tables,
)
from microclaw.hardware.parts.wiring_check import check_wiring

BOARD = load_board("virtual")
LINE = 'lamp=led pin=5 active=low label="fish tank light"'


name_pin = partial(name_pin_of, device="desk")


def _named(*names: tuple[str, int]) -> Wiring:
    wiring = Wiring()
    for name, gpio in names:
        wiring = name_pin(wiring, BOARD, name, gpio)
    return wiring


def _lines(wiring: Wiring) -> list[str]:
    return [part_line(part) for part in wiring.parts]


def test_a_line_is_a_part_and_a_part_is_a_line() -> None:
    lamp = parse_part_line(LINE)
    assert lamp == make_part("lamp", "led", pins={"pin": 5}, active="low", label="fish tank light")
    assert parse_part_line(part_line(lamp)) == lamp
    assert parse_part_line("bme1=bme280 address=0x77 sda=4 scl=5").address == 0x77
    assert parse_part_line("strip=ws2812 data=9 count=12").attributes == {"count": 12}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lamp",
        "lamp=",
        "=led pin=5",
        "lamp=led",
        "lamp=led pin",
        "lamp=led pin=5 pin=6",
        "lamp=led pin=five",
        "lamp=led pin=5.5",
        "lamp=led pin=٥",
        "lamp=led pin=5 part=led",
        "lamp=led pin=5 active=maybe",
        'lamp=led pin=5 label="fish',
        f"lamp=led pin=5 label={'x' * 61}",
        "lamp=led pin=5 colour=red",
        "lamp=led gpio=5",
        "lamp=led pin=5 " + "x=1 " * 200,
        "lamp=bme280 address=0x12",
    ],
)
def test_a_wrong_line_is_refused_with_its_step(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_part_line(text)
    assert raised.value.next_step


@pytest.mark.parametrize(("part_id", "possible_id"), [("Türe 1", "t-re-1"), ("btn 1", "btn-1"), ("türe", "t-re")])
def test_a_wrong_id_is_refused_as_an_id(part_id: str, possible_id: str) -> None:
    with pytest.raises(ConfigError, match="is no id of a part") as refused:
        parse_part_line(f"{part_id}=led pin=5")
    assert str(refused.value.next_step).endswith(possible_id)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("lamp led pin=5", "lamp=led pin=5"),
        ("led lamp pin=5", "lamp=led pin=5"),
        ("pin=5 lamp=led", "lamp=led pin=5"),
        ("lamp: led on pin 5", "lamp=led pin=5"),
        ("lamp = led pin = 5", "lamp=led pin=5"),
        ("lamp=led gpio=5", "lamp=led pin=5"),
        ("led pin 5", "led1=led pin=5"),
        ("lamp led 5", "lamp=led pin=5"),
        ("dht1=dht22 pin=4", "dht1=dht22 data=4"),
        ("sonar1 hcsr04 trig 15 echo 16", "sonar1=hcsr04 trig=15 echo=16"),
        ("oled1 ssd1306", "oled1=ssd1306"),
    ],
)
def test_a_line_in_another_form_names_the_right_one(text: str, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_part_line(text)
    assert refused.value.next_step == f"did you mean: {meant}"
    assert parse_part_line(meant)


def test_a_line_of_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(UnknownName):
        parse_part_line("lamp=ledd pin=5")


@given(st.text(max_size=80))
def test_any_text_is_a_part_or_refused(text: str) -> None:
    try:
        part = parse_part_line(text)
    except MicroclawError:
        return
    assert parse_part_line(part_line(part)) == part


@given(
    st.sampled_from(["led", "load", "button", "digital_input", "dht22", "ws2812"]),
    st.integers(0, 48),
    st.sampled_from(["high", "low", None]),
    st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Zs", "Cf", "Co", "Cn")), max_size=60)
    | st.none(),
)
def test_each_part_is_the_same_after_its_line_and_its_tables(
    name: str, gpio: int, active: str | None, label: str | None
) -> None:
    facts = parts()[name]
    table: dict[str, object] = {"part": name, facts.pins[0].role: gpio}
    if active is not None and facts.pins[0].polarity:
        table["active"] = active
    if label:
        table["label"] = label
    wiring = read_wiring({"x1": table})
    assert read_wiring(wiring_tables(wiring)) == wiring
    assert parse_part_line(part_line(wiring.parts[0])) == wiring.parts[0]


def test_the_last_words_of_a_name_choose_the_part() -> None:
    wiring = _named(
        ("fish tank light", 4),
        ("fan", 6),
        ("front push button", 7),
        ("led strip", 15),
        ("door sensor", 10),
        ("DHT22", 12),
    )
    kinds = {part.id: part.part for part in wiring.parts}
    assert kinds == {
        "fish-tank-light": "led",
        "fan": "load",
        "front-push-button": "button",
        "led-strip": "ws2812",
        "door-sensor": "door_contact",
        "dht22": "dht22",
    }
    assert wiring.parts[0].label == "fish tank light"


def test_a_name_on_a_pin_that_can_only_be_read_is_of_something_to_read() -> None:
    board = load_board("esp32-devkitc-v4")
    assert name_pin(Wiring(), board, "fan", 34).parts[0].part == "digital_input"


def test_a_name_moves_with_its_part() -> None:
    wiring = Wiring((parse_part_line(LINE),))
    moved = name_pin(wiring, BOARD, "lamp", 6)
    assert _lines(moved) == ["lamp=led pin=6 active=low label=lamp"]
    assert _lines(name_pin(moved, BOARD, "lamp", 6)) == _lines(moved)


def test_a_part_that_is_there_gets_the_name() -> None:
    dht = Wiring((parse_part_line("dht1=dht22 data=12"),))
    assert _lines(name_pin(dht, BOARD, "thermometer", 12)) == ["thermometer=dht22 data=12 label=thermometer"]
    lamp = _named(("fish tank light", 4))
    assert _lines(name_pin(lamp, BOARD, "desk lamp", 4)) == ["desk-lamp=led pin=4 active=high label='desk lamp'"]


@pytest.mark.parametrize(
    ("line", "name", "gpio", "replacing"),
    [
        ("btn1=button pin=18", "pump", 18, "--remove btn1 --add 'pump=load pin=18 active=high label=pump'"),
        ("lamp=led pin=4", "button", 4, "--remove lamp --add 'button=button pin=4 active=low label=button'"),
        ("lamp=led pin=4", "door sensor", 4, "--remove lamp --add "),
        ("knob=potentiometer pin=1", "fan", 1, "--remove knob --add 'fan=load pin=1 active=high label=fan'"),
        ("sonar=hcsr04 trig=5 echo=18", "ear", 18, "--remove sonar --add "),
        ("bme1=bme280 sda=4 scl=5", "lamp", 4, "--remove bme1 --add "),
    ],
)
def test_a_name_of_another_part_does_not_take_a_pin(line: str, name: str, gpio: int, replacing: str) -> None:
    present = parse_part_line(line)
    with pytest.raises(PinClaimed) as raised:
        name_pin(Wiring((present,)), BOARD, name, gpio)
    assert raised.value.message == f"pin {gpio} of desk has {present.id} ({present.part})"
    assert f"microclaw device wiring desk {replacing}" in str(raised.value.next_step)


def test_a_part_does_not_move_to_a_pin_that_has_another_part() -> None:
    wiring = _named(("lamp", 5), ("desk lamp", 4))
    with pytest.raises(PinClaimed):
        name_pin(wiring, BOARD, "lamp", 4)
    with pytest.raises(ConfigError):
        name_pin(soldered_parts(BOARD), BOARD, "bme280", 4)


def test_a_name_does_not_take_a_pin_of_a_part_with_more_pins() -> None:
    sonar = Wiring((parse_part_line("sonar=hcsr04 trig=5 echo=18"),))
    with pytest.raises(PinClaimed):
        name_pin(sonar, BOARD, "lamp", 5)
    with pytest.raises(ConfigError):
        name_pin(sonar, BOARD, "sonar", 7)
    assert name_pin(sonar, BOARD, "ear", 5).find("ear") is not None


@pytest.mark.parametrize(("name", "gpio"), [("lamp", 33), ("lamp", 999), ("lamp", 26), ("x" * 61, 5)])
def test_a_name_on_a_pin_that_the_board_reserves_is_refused(name: str, gpio: int) -> None:
    with pytest.raises(ConfigError):
        name_pin(Wiring(), BOARD, name, gpio)


@given(st.text(max_size=60))
def test_any_name_gives_an_id(name: str) -> None:
    make_part(part_id_of(name), "led", pins={"pin": 4})


def test_switches_have_the_polarity_of_the_wiring() -> None:
    wiring = parse_wiring(
        '[lamp]\npart="led"\npin=5\nactive="low"\nlabel="fish tank light"\n[fan]\npart="load"\npin=6\n'
        '[btn]\npart="button"\npin=7\n[servo1]\npart="servo"\nsignal=8\n'
    )
    assert switched_pins(wiring) == (
        SwitchedPin("lamp", 5, 0, "fish tank light"),
        SwitchedPin("fan", 6, 1),
    )
    assert {pin.gpio: pin.active_level for pin in switched_pins(wiring)} == {5: 0, 6: 1}
    assert [part.id for part in inputs_on(wiring, 7)] == ["btn"]
    assert inputs_on(wiring, 5) == ()


def test_a_board_has_what_is_recorded_and_what_is_soldered_on() -> None:
    soldered = soldered_parts(BOARD)
    assert soldered.parts
    assert wiring_of_board(Wiring(), BOARD) == soldered
    lamp = _named(("lamp", 5))
    assert wiring_of_board(lamp, BOARD).parts == (*soldered.parts, *lamp.parts)


def test_two_records_of_a_board_join_without_contradictions() -> None:
    joined = joined_wiring(_named(("lamp", 5)), _named(("fan", 5), ("pump", 6), ("lamp", 7)), BOARD)
    assert _lines(joined) == ["lamp=led pin=5 active=high label=lamp", "pump=load pin=6 active=high label=pump"]


def test_a_part_is_removed_by_its_id() -> None:
    assert without_part(_named(("lamp", 5), ("fan", 6)), "lamp") == _named(("fan", 6))
    with pytest.raises(UnknownName):
        without_part(_named(("lamp", 5)), "lmap")


def test_a_wiring_has_a_bound() -> None:
    many = [WiredPart(id=f"x{number}", part="bme280", address=0x76) for number in range(MAX_PARTS + 1)]
    with pytest.raises(ConfigError):
        check_wiring(Wiring(tuple(many)), BOARD)


def test_long_names_with_one_beginning_are_two_parts() -> None:
    first = "the left front window of the living room"
    second = "the left front window of the living area"
    wiring = _named((first, 4), (second, 5))
    assert [(part.label, part.pins) for part in wiring.parts] == [(first, {"pin": 4}), (second, {"pin": 5})]
    assert len({part.id for part in wiring.parts}) == 2
    moved = name_pin(wiring, BOARD, second, 6)
    assert [tuple(part.pins.values()) for part in moved.parts] == [(4,), (6,)]
