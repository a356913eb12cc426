"""Wiring in a drawing, over a real host: the parts, the pins for one of them, the wiring as a diagram and back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.hardware.parts.test_diagram_writer import whole
from tests.host_process import HostProcess

from microclaw.hardware.parts.named_parts import parse_part_lines
from microclaw.hardware.parts.reader import FOLDER, parts
from microclaw.hardware.parts.wiring import Wiring
from microclaw.host.operations.client import Client
from microclaw.host.operations.connection import HostError
from microclaw.programs.changes.part_operations import PartRole, list_parts
from microclaw.programs.changes.wiring_operations import WiredPartRow, set_wiring, show_wiring, wire
from microclaw.programs.changes.wiring_places import PinChoice, WiringPlaces, export_diagram, find_places

DESK = "virtual-1"
SHELF = "virtual-2"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    host = HostProcess(tmp_path_factory.mktemp("wiring") / "home")
    try:
        host.start("--port", "0", "--link", "off", "--virtual", "2")
        yield host.client
    finally:
        host.stop()


@pytest.fixture(autouse=True)
def nothing_wired(client: Client) -> None:
    for device in (DESK, SHELF):
        client.call(set_wiring, device=device, file="")


def places(client: Client, part: str) -> WiringPlaces:
    return client.call(find_places, device=DESK, part=part)


def add(client: Client, *lines: str) -> None:
    client.call(wire, device=DESK, add=list(lines))


def recorded(client: Client, device: str) -> list[WiredPartRow]:
    return [row for row in client.call(show_wiring, device=device).parts if row.origin == "recorded"]


def wiring_of(client: Client, device: str) -> Wiring:
    return parse_part_lines([row.line for row in recorded(client, device)])


def test_every_part_is_listed_with_its_roles_values_and_words(client: Client) -> None:
    rows = {row.name: row for row in client.call(list_parts).parts}
    assert rows.keys() == set(parts())
    led = rows["led"]
    assert led.roles == [PartRole(role="pin", use="output", optional=False, shared=False, instead_of_i2c=False)]
    assert led.active == "high"
    assert "lamp" in led.words
    assert led.has_drawing is (FOLDER / "led" / "draw.js").is_file()
    oled = rows["ssd1306"]
    assert oled.addresses == [0x3C, 0x3D]
    assert PartRole(role="sda", use="i2c", optional=True, shared=True, instead_of_i2c=False) in oled.roles
    width = next(value for value in oled.values if value.name == "width")
    assert (width.of, width.least, width.most, width.default) == ("attribute", 8, 128, 128)
    for name, header in (("ssd1306", "u8g2lib"), ("sh1106", "u8g2lib"), ("hcsr04", "newping"), ("ds3231", "rtclib")):
        assert header in rows[name].words
    for name, part in parts().items():
        if "temperature" in part.measures:
            assert "temperature" in rows[name].words


@pytest.mark.parametrize("name", ["led", "button", "ssd1306", "keypad", "dht22", "ws2812", "ili9341", "joystick"])
def test_the_proposed_line_can_be_wired_as_it_is(client: Client, name: str) -> None:
    for number in (1, 2):
        line = places(client, name).line
        assert line is not None
        add(client, line)
        rows = recorded(client, DESK)
        assert [row.part for row in rows] == [name] * number
        assert rows[-1].line == line


def test_a_pin_is_refused_with_its_reason_and_dotted_with_care(client: Client) -> None:
    add(client, "btn1=button pin=5")
    (role,) = places(client, "led").roles
    pins = {pin.gpio: pin for pin in role.pins}
    assert role.proposed not in (None, 5)
    assert pins[5] == PinChoice(gpio=5, refused="btn1 is there (pin)", care=None, shared_with=[])
    assert pins[0].refused is None
    assert pins[0].care
    with pytest.raises(HostError, match="two parts"):
        add(client, "led1=led pin=5")


def test_a_wired_part_is_moved_and_keeps_its_other_values(client: Client) -> None:
    add(client, 'lamp=led pin=5 active=low label="desk light"')
    found = client.call(find_places, device=DESK, id="lamp")
    assert found.line == "lamp=led pin=5 active=low label='desk light'"
    assert (found.roles[0].proposed, found.active, found.label, found.attributes) == (5, "low", "desk light", {})
    add(client, found.line.replace("pin=5", "pin=6"))
    (row,) = recorded(client, DESK)
    assert (row.pins, row.label) == ({"pin": 6}, "desk light")


def test_what_has_no_places_is_refused(client: Client) -> None:
    with pytest.raises(HostError, match="no part named"):
        places(client, "lamp")
    with pytest.raises(HostError):
        places(client, "")
    for part_id in ("lamp", "bme280"):
        with pytest.raises(HostError):
            client.call(find_places, device=DESK, id=part_id)


def test_an_exported_diagram_is_the_same_wiring_on_another_board(client: Client) -> None:
    add(
        client,
        'lamp=led pin=6 active=low label="desk light"',
        "btn1=button pin=5 bounce_ms=0",
        "oled1=ssd1306 address=0x3d sda=8 scl=9",
        "mpu1=mpu6050 address=0x69 sda=8 scl=9",
        "tft=ili9341 sck=12 mosi=11 dc=13 cs=10",
        "strip=ws2812 data=48 count=8",
        "sr=hc595 ds=16 shcp=17 stcp=18 count=2",
    )
    exported = client.call(export_diagram, device=DESK)
    assert (exported.device, exported.left_out) == (DESK, {})
    types = {part["type"] for part in json.loads(exported.file)["parts"]}
    assert {exported.board, "wokwi-led", "board-ssd1306"} <= types
    answer = client.call(set_wiring, device=SHELF, file=exported.file)
    assert (answer.not_simulated, answer.renamed, answer.warnings) == ([], {}, [])
    assert whole(wiring_of(client, SHELF)) == whole(wiring_of(client, DESK))


def test_a_part_that_the_format_lacks_is_named(client: Client) -> None:
    add(client, "lamp=led pin=6", "door=door_contact pin=7")
    exported = client.call(export_diagram, device=DESK)
    assert list(exported.left_out) == ["door"]
    client.call(set_wiring, device=SHELF, file=exported.file)
    assert [row.id for row in recorded(client, SHELF)] == ["lamp"]
