"""A wiring written as a diagram.json comes back from it: every part, its pins, polarity, attributes and label."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.hardware.parts.diagram import read_diagram
from microclaw.hardware.parts.diagram_writer import WrittenDiagram, write_diagram
from microclaw.hardware.parts.named_parts import parse_part_lines
from microclaw.hardware.parts.reader import Active, Part, ValueRange, parts
from microclaw.hardware.parts.wiring import NEEDED_USE, WiredPart, Wiring, make_part, part_roles
from microclaw.hardware.parts.wiring_check import check_wiring, pins_on

BOARD = load_board("virtual")
DRAWN = sorted(name for name, part in parts().items() if part.wokwi is not None)
NOT_DRAWN = sorted(parts().keys() - set(DRAWN))


def whole(wiring: Wiring) -> list[dict[str, Any]]:
    """Return what the parts are, with what a wiring may leave out: usual attributes, the board's own bus."""
    rows = []
    for part in wiring.parts:
        usual = {name: value.default for name, value in part.facts.attributes.items()}
        rows.append(
            {
                "id": part.id,
                "part": part.part,
                "pins": dict(pins_on(part, BOARD)),
                "address": part.address,
                "active": part.active,
                "attributes": {**usual, **part.attributes},
                "label": part.label,
            }
        )
    return rows


def written(wiring: Wiring) -> WrittenDiagram:
    check_wiring(wiring, BOARD)
    return write_diagram(wiring, BOARD)


def assert_comes_back(wiring: Wiring) -> None:
    diagram = written(wiring)
    read = read_diagram(diagram.text)
    assert diagram.left_out == {}
    assert whole(read) == whole(wiring)
    assert (read.not_simulated, read.warnings) == ({}, ())


def wired_part(facts: Part, *, is_whole: bool = False, **more: Any) -> WiredPart:
    """Return a part on the first pins that can do it; `is_whole`: with its optional pins, and none of I2C."""
    pins: dict[str, int] = {}
    for role, pin in part_roles(facts).items():
        is_left_out = not is_whole and (pin.optional or pin.instead_of_i2c)
        if is_left_out or (pin.use == "i2c" and is_whole):
            continue
        free = [gpio for gpio in BOARD.usable_pins(NEEDED_USE[pin.use]) if gpio not in (*pins.values(), 8, 9)]
        pins[role] = free[0]
    return make_part("part-1", facts.name, pins=pins, **more)


def other_value(value: ValueRange) -> float:
    if value.choices:
        return value.choices[-1]
    return value.most


@pytest.mark.parametrize("name", DRAWN)
def test_every_part_comes_back(name: str) -> None:
    assert_comes_back(Wiring((wired_part(parts()[name]),)))
    labelled = wired_part(parts()[name], label="the „left“ one: 5 €")
    assert_comes_back(Wiring((labelled,)))


@pytest.mark.parametrize("name", DRAWN)
def test_every_part_comes_back_with_all_its_pins(name: str) -> None:
    facts = parts()[name]
    if any(pin.optional or pin.instead_of_i2c for pin in facts.pins):
        attributes = {}
        if name == "seven_segment":
            attributes["digits"] = 4.0
        assert_comes_back(Wiring((wired_part(facts, is_whole=True, attributes=attributes),)))


@pytest.mark.parametrize("name", DRAWN)
def test_every_attribute_and_first_value_comes_back(name: str) -> None:
    facts = parts()[name]
    settable = {**facts.measures, **facts.inputs, **facts.attributes}
    for attribute, value in settable.items():
        if value.follows:
            continue
        number = max(min(other_value(value), 64), value.least)
        assert_comes_back(Wiring((wired_part(facts, attributes={attribute: number}),)))
        assert_comes_back(Wiring((wired_part(facts, attributes={attribute: value.least}),)))


@pytest.mark.parametrize("name", [name for name in DRAWN if any(pin.polarity for pin in parts()[name].pins)])
@pytest.mark.parametrize("active", ["low", "high"])
def test_both_polarities_come_back(name: str, active: Active) -> None:
    assert_comes_back(Wiring((wired_part(parts()[name], active=active),)))
    if "resistor" in parts()[name].attributes:
        assert_comes_back(Wiring((wired_part(parts()[name], active=active, attributes={"resistor": 1}),)))


@pytest.mark.parametrize("name", [name for name in DRAWN if parts()[name].i2c is not None])
def test_every_address_comes_back(name: str) -> None:
    i2c = parts()[name].i2c
    assert i2c is not None
    for address in i2c.addresses:
        assert_comes_back(Wiring((make_part("part-1", name, pins={}, address=address),)))


def test_a_whole_bench_comes_back() -> None:
    wiring = parse_part_lines(
        [
            'lamp=led pin=2 active=low label="fish tank light"',
            "btn1=button pin=5 bounce_ms=0",
            "btn1-r=button pin=6 active=high resistor=1",
            "esp=slide_switch pin=7",
            "oled1=ssd1306 address=0x3d",
            "mpu1=mpu6050 sda=8 scl=9",
            "mpu2=mpu6050 address=0x69 sda=8 scl=9",
            "clock=ds1307 sda=38 scl=39",
            "tft=ili9341 sck=12 mosi=11 dc=13 cs=10",
            "tft-2=st7789 sck=12 mosi=11 dc=14 cs=15 width=135 height=240",
            "shift=hc595 ds=16 shcp=17 stcp=18 count=3",
            "strip=ws2812 data=48 count=8",
            "matrix=ws2812 data=47 count=32 width=8 height=4 serpentine=1",
            "t1=ds18b20 data=4 temperature=-3.5",
            "t2=ds18b20 data=4",
            "digits=max7219 sck=12 mosi=11 cs=21 count=4 mirrored=1",
        ]
    )
    assert_comes_back(wiring)


def test_a_chain_is_as_many_parts_and_keeps_its_id() -> None:
    diagram = json.loads(written(parse_part_lines(["shift=hc595 ds=16 shcp=17 stcp=18 count=3"])).text)
    ids = [part["id"] for part in diagram["parts"] if part["type"] == "wokwi-74hc595"]
    assert ids == ["shift", "shift-2", "shift-3"]
    assert ["shift:Q7S", "shift-2:DS", "green", []] in diagram["connections"]


SEGMENTS = "a=15 b=8 c=9 d=10 e=11 f=12 g=13 dp=14"


@pytest.mark.parametrize(
    "line",
    [
        f"seg=seven_segment_595 ds=16 shcp=17 stcp=18 digits=2 common_anode=1 dig2=21 q1=3 {SEGMENTS}",
        "seg=seven_segment_595 ds=16 shcp=17 stcp=18",
        "seg=seven_segment_595 ds=16 shcp=17 stcp=18 digits=4 q1=8 q2=9 q3=10 q4=11 transistors=1",
    ],
)
def test_a_display_behind_a_wired_register_comes_back(line: str) -> None:
    assert_comes_back(parse_part_lines([line, "shift=hc595 ds=16 shcp=17 stcp=18 count=2"]))


@pytest.mark.parametrize("values", ["digits=2", "digits=8 q1=8", "q1=16"])
def test_a_display_behind_registers_that_the_format_lacks_is_named(values: str) -> None:
    line = f"seg=seven_segment_595 ds=16 shcp=17 stcp=18 {values}"
    diagram = written(parse_part_lines([line, "shift=hc595 ds=16 shcp=17 stcp=18 count=2"]))
    assert list(diagram.left_out) == ["seg"]


def test_an_led_has_a_resistor_and_the_rails_of_its_board() -> None:
    diagram = json.loads(write_diagram(parse_part_lines(["lamp=led pin=43"]), BOARD).text)
    ends = [tuple(wire[:2]) for wire in diagram["connections"]]
    assert ("lamp-r:1", "lamp:A") in ends
    assert ("lamp-r:2", "esp:TX") in ends
    assert ("lamp:C", "esp:GND.1") in ends


@pytest.mark.parametrize("name", NOT_DRAWN)
def test_a_part_that_the_format_lacks_is_named(name: str) -> None:
    wiring = Wiring((wired_part(parts()[name]), make_part("lamp", "led", pins={"pin": 48})))
    diagram = write_diagram(wiring, BOARD)
    assert list(diagram.left_out) == ["part-1"]
    assert [part.id for part in read_diagram(diagram.text).parts] == ["lamp"]


@pytest.mark.parametrize("board_id", board_ids())
def test_every_board_has_one_in_the_format(board_id: str) -> None:
    board = load_board(board_id)
    pin = board.usable_pins("output")[-1]
    diagram = write_diagram(Wiring((make_part("lamp", "led", pins={"pin": pin}),)), board)
    read = read_diagram(diagram.text)
    assert read.parts[0].pins == {"pin": pin}
    assert read.drawn_for is not None
    assert read.drawn_for.chip == board.chip


def test_a_chip_without_a_board_in_the_format_is_refused() -> None:
    with pytest.raises(ConfigError):
        write_diagram(Wiring(), replace(BOARD, board_id="other", chip="ESP32-P4"))


def test_a_label_that_was_copied_with_its_part_is_that_of_the_first() -> None:
    diagram = json.loads(written(parse_part_lines(["lamp=led pin=2 label=desk"])).text)
    copies = [{**part, "id": f"{part['id']}b"} for part in diagram["parts"][1:]]
    wires = [
        [f"{end.replace(':', 'b:')}" if "esp" not in end else end for end in wire[:2]]
        for wire in diagram["connections"][:3]
    ]
    wires = [[first, second.replace("esp:2", "esp:4")] for first, second in wires]
    diagram["parts"] += copies
    diagram["connections"] += wires
    read = read_diagram(json.dumps(diagram))
    assert [(part.pins, part.label) for part in read.parts] == [({"pin": 2}, "desk"), ({"pin": 4}, None)]
