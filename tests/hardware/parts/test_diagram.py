"""A wiring of a diagram.json: nets through breadboards, rails, resistors and chains."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.diagram import read_diagram
from microclaw.hardware.parts.wiring import NO_MODEL, Wiring
from microclaw.hardware.parts.wiring_check import check_wiring

ESP = {"type": "board-esp32-devkit-c-v4", "id": "esp"}


def diagram(parts: list[dict[str, Any]], wires: list[tuple[str, str]], board: dict[str, str] = ESP) -> Wiring:
    connections = [[first, second, "green", []] for first, second in wires]
    return read_diagram(json.dumps({"version": 1, "parts": [board, *parts], "connections": connections}))


def part(part_type: str, part_id: str, **attributes: str) -> dict[str, Any]:
    return {"type": part_type, "id": part_id, "attrs": attributes}


def test_an_led_behind_its_resistor_is_on_the_gpio() -> None:
    wiring = diagram(
        [part("wokwi-led", "led1"), part("wokwi-resistor", "r1")],
        [("esp:21", "r1:2"), ("r1:1", "led1:A"), ("led1:C", "esp:GND.2")],
    )
    led = wiring.find("led1")
    assert led is not None
    assert (led.part, led.pins, led.active) == ("led", {"pin": 21}, "high")
    assert wiring.not_simulated == {}


def test_an_led_with_its_cathode_on_the_gpio_lights_when_the_pin_is_low() -> None:
    wiring = diagram(
        [part("wokwi-led", "led1"), part("wokwi-resistor", "r1")],
        [("esp:3V3", "r1:2"), ("r1:1", "led1:A"), ("led1:C", "esp:4")],
    )
    led = wiring.find("led1")
    assert led is not None
    assert (led.pins, led.active) == ({"pin": 4}, "low")


@pytest.mark.parametrize(("supply", "active"), [("3V3", "low"), ("GND.1", "high")])
@pytest.mark.parametrize(("pin", "other"), [("1", "2"), ("2", "1")])
def test_a_buzzer_sounds_at_the_level_opposite_to_its_other_end(supply: str, active: str, pin: str, other: str) -> None:
    wires = [(f"bz1:{pin}", "esp:4"), (f"bz1:{other}", f"esp:{supply}")]
    buzzer = diagram([part("wokwi-buzzer", "bz1")], wires).find("bz1")
    assert buzzer is not None
    assert (buzzer.pins, buzzer.active) == ({"pin": 4}, active)


def test_holes_of_a_half_column_and_rails_connect() -> None:
    wiring = diagram(
        [part("wokwi-breadboard", "bb1"), part("wokwi-dht22", "dht1")],
        [
            ("bb1:57t.a", "esp:15"),
            ("bb1:57t.e", "dht1:SDA"),
            ("esp:3V3", "bb1:tp.1"),
            ("bb1:tp.40", "dht1:VCC"),
            ("bb1:57b.f", "dht1:GND"),
        ],
    )
    dht = wiring.find("dht1")
    assert dht is not None
    assert dht.pins == {"data": 15}


def test_pull_up_resistors_do_not_join_everything_to_one_net() -> None:
    wiring = diagram(
        [
            part("board-ds18b20", "t1"),
            part("wokwi-dht22", "dht1"),
            part("wokwi-resistor", "r1"),
            part("wokwi-resistor", "r2"),
        ],
        [
            ("t1:DQ", "esp:4"),
            ("r1:1", "esp:4"),
            ("r1:2", "esp:3V3"),
            ("dht1:SDA", "esp:16"),
            ("r2:1", "dht1:SDA"),
            ("r2:2", "esp:3V3"),
        ],
    )
    assert [(wired.id, dict(wired.pins)) for wired in wiring.parts] == [("t1", {"data": 4}), ("dht1", {"data": 16})]


def test_a_button_is_pressed_at_the_level_of_its_other_side() -> None:
    wiring = diagram(
        [
            part("wokwi-pushbutton", "to-ground"),
            part("wokwi-pushbutton", "to-power"),
            part("wokwi-resistor", "r1"),
            part("wokwi-resistor", "r2"),
        ],
        [
            ("to-ground:1.l", "esp:4"),
            ("to-ground:2.r", "esp:GND.1"),
            ("to-power:2.l", "esp:16"),
            ("to-power:1.r", "esp:3V3"),
            ("r1:1", "esp:16"),
            ("r1:2", "esp:GND.1"),
            ("r2:1", "esp:17"),
            ("r2:2", "esp:GND.1"),
        ],
    )
    rows = [(wired.id, dict(wired.pins), wired.active, dict(wired.attributes)) for wired in wiring.parts]
    assert rows == [("to-ground", {"pin": 4}, "low", {}), ("to-power", {"pin": 16}, "high", {"resistor": 1})]


def test_a_part_is_on_at_the_level_of_its_common_pin_or_its_attribute() -> None:
    relays = [part("wokwi-relay-module", "usual"), part("wokwi-relay-module", "reversed", transistor="pnp")]
    lights = [part("wokwi-rgb-led", "cathode"), part("wokwi-rgb-led", "anode")]
    wires = [("usual:IN", "esp:4"), ("reversed:IN", "esp:5"), ("cathode:COM", "esp:GND.1"), ("anode:COM", "esp:3V3")]
    for number, pin in enumerate("RGB"):
        wires.append((f"cathode:{pin}", f"esp:{16 + number}"))
        wires.append((f"anode:{pin}", f"esp:{21 + number}"))
    wiring = diagram([*relays, *lights], wires)
    levels = {wired.id: wired.active for wired in wiring.parts}
    assert levels == {"usual": "high", "reversed": "low", "cathode": "high", "anode": "low"}


def test_a_slide_switch_has_the_level_of_its_right_end_on_the_right() -> None:
    switches = [part("wokwi-slide-switch", "to-power"), part("wokwi-slide-switch", "to-ground")]
    wires = [
        ("to-power:1", "esp:GND.1"),
        ("to-power:2", "esp:4"),
        ("to-power:3", "esp:3V3"),
        ("to-ground:1", "esp:3V3"),
        ("to-ground:2", "esp:5"),
        ("to-ground:3", "esp:GND.1"),
    ]
    wiring = diagram(switches, wires)
    assert [(wired.pins["pin"], wired.active) for wired in wiring.parts] == [(4, "high"), (5, "low")]


def test_a_chain_of_neopixels_is_one_part_with_all_its_leds() -> None:
    wiring = diagram(
        [
            part("wokwi-neopixel", "rgb2"),
            part("wokwi-neopixel", "rgb1"),
            part("wokwi-led-ring", "ring1", pixels="12"),
            part("wokwi-neopixel-matrix", "matrix1", rows="8", cols="4"),
        ],
        [
            ("esp:5", "rgb1:DIN"),
            ("rgb1:DOUT", "rgb2:DIN"),
            ("rgb2:DOUT", "ring1:DIN"),
            ("ring1:DOUT", "matrix1:DIN"),
        ],
    )
    assert [(wired.id, dict(wired.pins), dict(wired.attributes)) for wired in wiring.parts] == [
        ("rgb1", {"data": 5}, {"count": 46})
    ]


def test_chained_in_a_circle_ends() -> None:
    wiring = diagram(
        [part("wokwi-neopixel", "a"), part("wokwi-neopixel", "b")],
        [("a:DOUT", "b:DIN"), ("b:DOUT", "a:DIN"), ("a:DIN", "esp:5")],
    )
    assert wiring.parts == ()


def test_unknown_parts_are_named_and_never_refuse_the_file() -> None:
    wiring = diagram(
        [part("chip-own", "chip1"), part("wokwi-servo", "servo1"), part("wokwi-servo", "loose")],
        [("servo1:PWM", "esp:18"), ("chip1:OUT", "esp:19")],
    )
    assert [wired.id for wired in wiring.parts] == ["servo1"]
    assert wiring.not_simulated == {"chip1": NO_MODEL, "loose": "its PWM leads to no GPIO"}


def test_pins_of_a_board_are_read_as_its_type_names_them() -> None:
    devkit_v1 = {"type": "wokwi-esp32-devkit-v1", "id": "esp"}
    wiring = diagram([part("wokwi-servo", "s1")], [("s1:PWM", "esp:D2")], devkit_v1)
    assert [dict(wired.pins) for wired in wiring.parts] == [{"signal": 2}]
    xiao = {"type": "board-xiao-esp32-s3", "id": "xiao"}
    wiring = diagram([part("wokwi-servo", "s1")], [("s1:PWM", "xiao:D2")], xiao)
    assert [dict(wired.pins) for wired in wiring.parts] == [{"signal": 3}]


def test_a_diagram_names_its_board_and_what_its_parts_measure_at_first() -> None:
    wiring = diagram([part("wokwi-dht22", "dht1", temperature="31.5", humidity="200")], [("dht1:SDA", "esp:4")])
    assert wiring.board == "esp32-devkitc-v4"
    assert wiring.parts[0].attributes == {"temperature": 31.5, "humidity": 100}


def test_two_parts_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigError):
        diagram([part("wokwi-servo", "s1"), part("wokwi-led", "s1")], [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"parts": 5}',
        '{"parts": [{"id": "a"}]}',
        '{"parts": [], "connections": [["a:1"]]}',
        '{"parts": [], "connections": [[1, 2]]}',
        '{"parts": ' + "[" * 100_000,
        '{"parts": [' + ",".join(['{"id": "a", "type": "b"}'] * 501) + "]}",
        '{"parts": [], "x": "' + "y" * 1_048_576 + '"}',
    ],
)
def test_text_that_is_no_diagram_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_diagram(text)


_NAMES = st.sampled_from(["esp", "led1", "r1", "dht1", "bb1", "n1", "n2", "$serialMonitor", ""])
_PINS = st.sampled_from(["A", "C", "1", "2", "SDA", "GND.1", "3V3", "21", "99", "6t.a", "tp.1", "DIN", "DOUT", "", ":"])
_TYPES = ["wokwi-led", "wokwi-resistor", "wokwi-dht22", "wokwi-breadboard", "wokwi-neopixel", "own", "wokwi-gnd"]


@given(
    st.lists(st.tuples(_NAMES, st.sampled_from(_TYPES), st.dictionaries(st.text(), st.text() | st.integers()))),
    st.lists(st.tuples(_NAMES, _PINS, _NAMES, _PINS)),
)
def test_any_diagram_gives_a_wiring_or_is_refused(
    rows: list[tuple[str, str, dict[str, Any]]], ends: list[tuple[str, str, str, str]]
) -> None:
    parts = [{"id": part_id, "type": kind, "attrs": attributes} for part_id, kind, attributes in rows]
    wires = [(f"{first}:{pin}", f"{second}:{other}") for first, pin, second, other in ends]
    try:
        wiring = diagram(parts, wires)
    except ConfigError:
        return
    ids = [wired.id for wired in wiring.parts]
    assert len(ids) == len(set(ids))


def test_ids_with_other_characters_get_ids_that_sentences_can_name_no_two_alike() -> None:
    names = ["ledRed", "LedRed", "ledred", "btn 1", "LCD", "7", "Привет"]
    wires = [(f"esp:{pin}", f"{name}:A") for pin, name in zip((4, 5, 16, 17, 18, 19, 21), names, strict=True)]
    wires += [(f"{name}:C", "esp:GND.1") for name in names]
    wiring = diagram([part("wokwi-led", name) for name in names], wires)
    assert [wired.id for wired in wiring.parts] == ["ledred-2", "ledred-3", "ledred", "btn-1", "lcd", "part-7", "part"]
    assert wiring.renamed == {
        "ledRed": "ledred-2",
        "LedRed": "ledred-3",
        "btn 1": "btn-1",
        "LCD": "lcd",
        "7": "part-7",
        "Привет": "part",
    }


def test_a_character_display_is_on_i2c_or_on_pins_as_it_is_drawn() -> None:
    names = {"RS": 4, "E": 5, "D4": 13, "D5": 14, "D6": 18, "D7": 19, "A": 23}
    on_pins = [(f"esp:{gpio}", f"lcd1:{name}") for name, gpio in names.items()]
    on_bus = [("esp:21", "lcd2:SDA"), ("esp:22", "lcd2:SCL"), ("esp:GND.1", "lcd1:RW"), ("esp:3V3", "lcd2:VCC")]
    parts = [part("wokwi-lcd1602", "lcd1"), part("wokwi-lcd2004", "lcd2", pins="i2c", i2cAddress="0x3f")]
    wiring = diagram(parts, [*on_pins, *on_bus])
    assert wiring.not_simulated == {}
    first, second = wiring.parts
    roles = {"rs": 4, "e": 5, "d4": 13, "d5": 14, "d6": 18, "d7": 19, "backlight": 23}
    assert (first.part, first.address, first.pins) == ("lcd1602", None, roles)
    assert (second.part, second.address, second.pins) == ("lcd2004", 0x3F, {"sda": 21, "scl": 22})


SEGMENT_PINS = ("A", "B", "C", "D", "E", "F", "G", "DP")


def test_words_of_an_attribute_and_their_absence_say_how_a_display_is_made() -> None:
    gpios = (4, 5, 13, 14, 15, 16, 17, 18)
    wires = [(f"seg:{pin}", f"esp:{gpio}") for pin, gpio in zip(SEGMENT_PINS, gpios, strict=True)]
    for attributes, is_anode in (({}, 1), ({"common": "anode"}, 1), ({"common": "cathode"}, 0)):
        parts = [part("wokwi-7segment", "seg", **attributes)]
        (digit,) = diagram(parts, [*wires, ("seg:COM", "esp:3V3")]).parts
        assert (digit.part, digit.attributes["common_anode"]) == ("seven_segment", is_anode)
        assert digit.pins["dp"] == 18
        assert "dig1" not in digit.pins


def registers(*wires: tuple[str, str]) -> Wiring:
    """Return the wiring of a display with two digits whose segments are at the second of two registers in a chain."""
    parts = [part("wokwi-74hc595", "sr1"), part("wokwi-74hc595", "sr2"), part("wokwi-resistor", "r1")]
    parts.append(part("wokwi-7segment", "seg", digits="2", common="cathode"))
    chain = [("sr1:DS", "esp:4"), ("sr1:Q7S", "sr2:DS")]
    for register in ("sr1", "sr2"):
        chain += [(f"{register}:SHCP", "esp:5"), (f"{register}:STCP", "esp:13")]
    segments = [(f"sr2:Q{bit}", f"seg:{pin}") for bit, pin in enumerate(SEGMENT_PINS[1:])]
    return diagram(parts, [*chain, *segments, ("sr2:Q7", "r1:1"), ("r1:2", "seg:A"), *wires])


def test_a_display_at_the_outputs_of_shift_registers_is_on_the_pins_of_the_first_one() -> None:
    wiring = registers(("seg:DIG1", "sr1:Q3"), ("seg:DIG2", "esp:18"))
    display = wiring.find("seg")
    assert display is not None
    assert display.part == "seven_segment_595"
    assert display.pins == {"ds": 4, "shcp": 5, "stcp": 13, "dig2": 18}
    outputs = {"a": 15, "b": 8, "c": 9, "d": 10, "e": 11, "f": 12, "g": 13, "dp": 14, "q1": 3}
    assert display.attributes == {"digits": 2, "common_anode": 0, **outputs}
    # The registers are still there, on the same pins.
    register = wiring.find("sr1")
    assert register is not None
    assert register.attributes == {"count": 2}
    check_wiring(wiring, load_board("esp32-devkitc-v4"))


def test_registers_that_feed_each_other_in_a_ring_end_nothing() -> None:
    wiring = registers(("sr2:Q7S", "sr1:DS"))
    assert wiring.find("seg") is not None
