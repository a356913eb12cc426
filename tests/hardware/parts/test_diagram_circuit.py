"""A diagram's nets as a circuit: parts that cannot work as they are connected, and what is left open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from tests.hardware.parts.test_diagram import ESP, diagram, part

from microclaw.errors import ConfigError
from microclaw.hardware.parts.wiring import MAX_FAULTS, DrawnBoard


def reason(parts: list[dict[str, Any]], wires: list[tuple[str, str]], part_id: str) -> str:
    """Return why the part is not simulated. It is not wired then."""
    wiring = diagram(parts, wires)
    assert wiring.find(part_id) is None
    return wiring.not_simulated[part_id]


@pytest.mark.parametrize(
    ("wires", "words"),
    [
        ([("b:1.l", "esp:4")], "its 2.l is connected to nothing"),
        ([("b:1.l", "esp:4"), ("b:2.l", "esp:5")], "its 2.l is on pin 5, not on ground or the supply"),
        ([("b:1.l", "esp:4"), ("b:2.l", "esp:4")], "its 1.l and 2.l are both on pin 4"),
        ([("b:1.l", "esp:4"), ("b:2.l", "led1:A")], "its 2.l leads to neither ground nor the supply"),
        ([("b:1.l", "led1:A")], "its 1.l and 2.l lead to no GPIO"),
    ],
)
def test_a_button_with_a_leg_that_leads_to_no_rail_is_not_simulated(wires: list[tuple[str, str]], words: str) -> None:
    assert reason([part("wokwi-pushbutton", "b"), part("wokwi-led", "led1")], wires, "b") == words


def test_a_button_wired_to_one_contact_only_is_a_fixed_level() -> None:
    wiring = diagram([part("wokwi-pushbutton", "b")], [("b:1.l", "esp:4"), ("b:1.r", "esp:GND.1")])
    fixed = wiring.find("b")
    assert fixed is not None
    assert (fixed.part, fixed.pins, fixed.active, fixed.attributes) == ("digital_input", {"pin": 4}, "low", {"on": 1})
    assert wiring.warnings == ("b: its pin 4 is always low, it is connected with that rail",)


@pytest.mark.parametrize(
    ("wires", "words"),
    [
        ([("l:A", "esp:5"), ("l:C", "esp:3V3")], "its C is on the supply and its A on pin 5: it never lights"),
        ([("l:C", "esp:5"), ("l:A", "esp:GND.1")], "its A is on ground and its C on pin 5: it never lights"),
        ([("l:A", "esp:5")], "its C is connected to nothing"),
        ([("l:A", "esp:5"), ("l:C", "esp:18")], "its C is on pin 18, not on ground or the supply"),
        ([("l:A", "esp:5"), ("l:A", "esp:3V3"), ("l:C", "esp:GND.1")], "its A is on pin 5 and on the supply"),
        ([("l:X", "esp:5")], "its A and C lead to no GPIO; it has no pin 'X'"),
        ([], "its A and C lead to no GPIO"),
    ],
)
def test_an_led_without_a_current_is_not_simulated(wires: list[tuple[str, str]], words: str) -> None:
    assert reason([part("wokwi-led", "l")], wires, "l") == words


def test_a_buzzer_between_the_supply_and_its_gpio_is_on_while_it_is_low() -> None:
    buzzers = [part("wokwi-buzzer", "usual"), part("wokwi-buzzer", "reversed")]
    wires = [("usual:1", "esp:GND.1"), ("usual:2", "esp:4"), ("reversed:1", "esp:5"), ("reversed:2", "esp:3V3")]
    assert [wired.active for wired in diagram(buzzers, wires).parts] == ["high", "low"]


def _register(**levels: str) -> list[tuple[str, str]]:
    places = {"DS": "4", "STCP": "5", "SHCP": "18", "OE": "GND.1", "MR": "3V3", "VCC": "3V3", "GND": "GND.1", **levels}
    return [(f"sr:{pin}", f"esp:{place}") for pin, place in places.items() if place]


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({"MR": "GND.2"}, "its MR is on ground"),
        ({"OE": "3V3"}, "its OE is on the supply"),
        ({"VCC": "GND.2"}, "its VCC is on ground"),
        ({"GND": "5V"}, "its GND is on the supply"),
        ({"DS": "GND.1"}, "its DS leads to no GPIO"),
    ],
)
def test_a_pin_on_the_wrong_rail_is_a_contradiction(levels: dict[str, str], words: str) -> None:
    assert reason([part("wokwi-74hc595", "sr")], _register(**levels), "sr") == words


def test_what_is_left_open_is_a_warning_and_simulated() -> None:
    parts = [part("wokwi-74hc595", "sr"), part("wokwi-dht22", "d")]
    wires = [*_register(MR="", VCC="", OE="19"), ("sr:QQ", "esp:3V3"), ("d:SDA", "esp:21"), ("zz:A", "esp:22")]
    wiring = diagram(parts, wires)
    assert [wired.id for wired in wiring.parts] == ["sr", "d"]
    assert wiring.warnings[:2] == (
        "sr: its VCC is connected to nothing, taken as on the supply",
        "sr: its MR is connected to nothing, taken as on the supply",
    )
    assert wiring.warnings[2].startswith("sr: it has no pin 'QQ'; its pins: DS, SHCP, STCP, OE, MR, VCC, GND, Q7S")
    assert wiring.warnings[3:] == (
        "d: its GND is connected to nothing, taken as on ground",
        "d: its VCC is connected to nothing, taken as on the supply",
        "a wire leads to zz, and no part has this id",
    )


def test_a_whole_circuit_has_no_warnings() -> None:
    wiring = diagram([part("wokwi-74hc595", "sr")], _register())
    assert (wiring.warnings, wiring.diagram_faults) == ((), ())


def test_a_strip_at_its_output_takes_those_behind_it_with_it() -> None:
    pixels = [part("wokwi-neopixel", name) for name in ("a", "b", "c")]
    wiring = diagram(pixels, [("a:DOUT", "esp:4"), ("b:DOUT", "c:DIN")])
    assert wiring.parts == ()
    assert wiring.not_simulated == {"a": _NO_DATA, "b": _NO_DATA, "c": "it is behind b"}


_NO_DATA = "its DIN leads to no GPIO"


def test_a_common_pin_that_is_on_no_rail_is_told() -> None:
    wires = [("l:R", "esp:4"), ("l:G", "esp:5"), ("l:B", "esp:18")]
    assert reason([part("wokwi-rgb-led", "l")], wires, "l") == "its COM is connected to nothing"


def test_a_slide_switch_with_two_wires_closes_on_its_side() -> None:
    switches = [part("wokwi-slide-switch", name) for name in ("right", "left", "middle", "open")]
    wires = [
        ("right:2", "esp:4"),
        ("right:3", "esp:GND.1"),
        ("left:2", "esp:5"),
        ("left:1", "esp:GND.1"),
        ("middle:2", "esp:3V3"),
        ("middle:3", "esp:18"),
        ("open:2", "esp:19"),
    ]
    wiring = diagram(switches, wires)
    rows = [(wired.pins["pin"], wired.active) for wired in wiring.parts]
    assert rows == [(4, "low"), (5, "high"), (18, "high")]
    assert wiring.not_simulated == {"open": "its 3 is connected to nothing"}


def test_resistors_of_the_contacts_of_one_button_do_not_join_the_others() -> None:
    buttons = [part("wokwi-pushbutton", name) for name in ("a", "b")]
    resistors = [part("wokwi-resistor", name) for name in ("ra", "rb")]
    wires = []
    for name, gpio in (("a", "25"), ("b", "26")):
        wires += [(f"{name}:1.r", f"r{name}:1"), (f"r{name}:2", "esp:3V3"), (f"{name}:1.l", f"esp:{gpio}")]
        wires += [(f"{name}:2.r", "esp:GND.1")]
    wiring = diagram([*buttons, *resistors], wires)
    rows = [(wired.pins["pin"], wired.active, dict(wired.attributes)) for wired in wiring.parts]
    assert rows == [(25, "low", {"resistor": 1}), (26, "low", {"resistor": 1})]


def test_too_many_parts_are_refused_and_a_long_chain_is_one() -> None:
    pixels = [part("wokwi-neopixel", f"p{number}") for number in range(400)]
    wires = [("esp:4", "p0:DIN")]
    for number in range(399):
        wires.append((f"p{number}:DOUT", f"p{number + 1}:DIN"))
    assert diagram(pixels, wires).parts[0].attributes == {"count": 400}
    buttons = [part("wokwi-pushbutton", f"b{number}") for number in range(120)]
    with pytest.raises(ConfigError, match="120 parts"):
        diagram(buttons, [*_both_legs(range(120))])


def _both_legs(numbers: Iterable[int]) -> Iterator[tuple[str, str]]:
    for number in numbers:
        yield f"b{number}:1.l", "esp:4"
        yield f"b{number}:2.l", "esp:GND.1"


def test_parts_that_lead_nowhere_do_not_count_and_their_faults_are_bounded() -> None:
    buttons = [part("wokwi-pushbutton", f"b{number}") for number in range(70)]
    wiring = diagram(buttons, [*_both_legs(range(3))])
    assert len(wiring.parts) == 3
    assert len(wiring.diagram_faults) == MAX_FAULTS + 1
    assert wiring.diagram_faults[-1] == "47 more of the diagram"


def test_a_diagram_knows_the_chip_of_its_board() -> None:
    uno = {"type": "wokwi-arduino-uno", "id": "uno"}
    assert diagram([], [], uno).drawn_for == DrawnBoard("wokwi-arduino-uno")
    assert diagram([], []).drawn_for == DrawnBoard(ESP["type"], "ESP32")


CHARACTER_PINS = {"RS": "4", "E": "5", "D4": "13", "D5": "14", "D6": "18", "D7": "19"}


def _character_display(**places: str) -> list[tuple[str, str]]:
    wires = {**CHARACTER_PINS, "VSS": "GND.1", "VDD": "5V", "RW": "GND.1", "K": "GND.1", "A": "5V", "V0": "GND.1"}
    wires |= places
    return [(f"lcd1:{pin}", f"esp:{place}") for pin, place in wires.items() if place]


def test_a_character_display_on_pins_has_its_supply_and_is_written_while_rw_is_low() -> None:
    display = [part("wokwi-lcd1602", "lcd1")]
    assert diagram(display, _character_display()).diagram_faults == ()
    assert diagram(display, _character_display(RW="", VDD="")).warnings == (
        "lcd1: its VDD is connected to nothing, taken as on the supply",
        "lcd1: its RW is connected to nothing, taken as on ground",
    )
    assert reason(display, _character_display(RW="3V3"), "lcd1") == "its RW is on the supply"
    assert reason(display, _character_display(E=""), "lcd1") == "its E leads to no GPIO"
    assert reason(display, _character_display(SDA="21"), "lcd1") == "it has sda, and pins instead of I2C"


def test_a_character_display_on_i2c_lacks_none_of_the_pins_that_it_has_instead() -> None:
    wires = [("lcd1:SDA", "esp:21"), ("lcd1:SCL", "esp:22"), ("lcd1:VCC", "esp:5V"), ("lcd1:GND", "esp:GND.1")]
    display = [part("wokwi-lcd2004", "lcd1")]
    assert diagram(display, wires).diagram_faults == ()
    assert reason(display, wires[1:], "lcd1") == "its SDA leads to no GPIO"


@pytest.mark.parametrize(
    ("part_type", "pins", "fault", "words"),
    [
        ("board-ssd1306", {"SDA": "21", "SCL": "22"}, {"GND": "3V3"}, "its GND is on the supply"),
        ("wokwi-sh1106", {"SDA": "21", "SCL": "22"}, {"VCC": "GND.1"}, "its VCC is on ground"),
        ("wokwi-tm1637-7segment", {"CLK": "4", "DIO": "5"}, {"VCC": "GND.1"}, "its VCC is on ground"),
        ("wokwi-max7219-matrix", {"CLK": "18", "DIN": "23", "CS": "5"}, {"CS": "3V3"}, "its CS is on pin 5 and on"),
        (
            "board-st7789",
            {"SCL": "18", "SDA": "23", "DC": "4", "CS": "GND.1"},
            {"RST": "GND.1"},
            "its RST is on ground",
        ),
        (
            "wokwi-ili9341",
            {"SCK": "18", "MOSI": "23", "D/C": "4", "CS": "15"},
            {"LED": "GND.2"},
            "its LED is on ground",
        ),
    ],
)
def test_displays_have_a_supply_and_no_pin_on_the_wrong_rail(
    part_type: str, pins: dict[str, str], fault: dict[str, str], words: str
) -> None:
    display = [part(part_type, "d1")]
    wires = [(f"d1:{pin}", f"esp:{place}") for pin, place in {"VCC": "3V3", "GND": "GND.1", **pins}.items()]
    wiring = diagram(display, wires)
    assert (len(wiring.parts), wiring.diagram_faults) == (1, ())
    wrong = [(f"d1:{pin}", f"esp:{place}") for pin, place in fault.items()]
    right = [wire for wire in wires if wire[0] != wrong[0][0] or part_type == "wokwi-max7219-matrix"]
    assert reason(display, [*right, *wrong], "d1").startswith(words)


def test_a_chain_of_matrices_gets_its_wires_through_the_one_before() -> None:
    wires = [("a:V+", "esp:5V"), ("a:GND", "esp:GND.1"), ("a:DIN", "esp:23"), ("a:CLK", "esp:18"), ("a:CS", "esp:5")]
    wires += [("a:DOUT", "b:DIN"), ("a:CLK.2", "b:CLK"), ("a:CS.2", "b:CS"), ("a:V+.2", "b:V+"), ("a:GND.2", "b:GND")]
    wiring = diagram([part("wokwi-max7219-matrix", "a", chain="4"), part("wokwi-max7219-matrix", "b")], wires)
    (chain,) = wiring.parts
    assert chain.attributes == {"count": 5, "mirrored": 1}
    assert wiring.diagram_faults == ()


def test_a_display_behind_a_register_that_does_not_work_is_not_simulated() -> None:
    parts = [part("wokwi-74hc595", "sr"), part("wokwi-7segment", "seg")]
    segments = [(f"sr:Q{number}", f"seg:{pin}") for number, pin in enumerate("ABCDEFG")]
    common = ("seg:COM", "esp:3V3")
    assert [wired.id for wired in diagram(parts, [*_register(), *segments, common]).parts] == ["sr", "seg"]
    off = [*_register(OE="3V3"), *segments, common]
    assert reason(parts, off, "seg") == "it is behind sr: its OE is on the supply"
    open_input = [*_register(DS=""), *segments, common]
    assert reason(parts, open_input, "seg") == "it is behind sr: its DS leads to no GPIO"
