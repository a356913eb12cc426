"""Parts are added, moved and removed in the page and kept as the device's wiring, which goes out and in as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.hardware.parts.test_diagram_writer import whole
from tests.interfaces.page.conftest import RUNS, OpenPage, PageHost, go, say
from tests.interfaces.page.test_bench import drawn, open_bench
from tests.interfaces.page.test_views import check_and_picture

from microclaw.hardware.parts.named_parts import parse_part_line
from microclaw.hardware.parts.part_ids import part_ids
from microclaw.hardware.parts.wiring import WiredPart, Wiring
from microclaw.programs.changes.wiring_operations import set_wiring, show_wiring, wire

BOARD = "virtual-1"


@pytest.fixture(scope="module")
def add_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    host = PageHost(tmp_path_factory.mktemp("add") / "home")
    with host.running():
        yield host


@pytest.fixture(autouse=True)
def nothing_wired(add_host: PageHost) -> None:
    add_host.client.call(set_wiring, device=BOARD, file="")


@pytest.fixture
def fresh_host(tmp_path: Path) -> Iterator[PageHost]:
    """A host of a new home, whose board nobody has wired."""
    host = PageHost(tmp_path / "home")
    with host.running():
        yield host


def recorded(host: PageHost) -> list[WiredPart]:
    rows = host.client.call(show_wiring, device=BOARD).parts
    return [parse_part_line(row.line) for row in rows if row.origin == "recorded"]


def open_palette(host: PageHost, open_page: OpenPage, **options: Any) -> Page:
    page = open_bench(host, open_page, **options)
    page.get_by_role("link", name="Add a part").click()
    expect(page.get_by_role("searchbox", name="Find a part")).to_be_focused()
    return page


def tile(page: Page, part: str) -> Locator:
    return page.locator(f".tile[data-part='{part}']")


def pad(page: Page, gpio: int) -> Locator:
    return page.locator(f".stage g.pad[data-gpio='{gpio}']")


def chip(page: Page, gpio: int) -> Locator:
    return page.locator(".chip").filter(has_text=str(gpio)).and_(page.get_by_text(str(gpio), exact=True))


def test_a_button_and_a_display_are_wired_by_the_keyboard_alone(add_host: PageHost, open_page: OpenPage) -> None:
    page = open_palette(add_host, open_page)
    page.keyboard.type("push button")
    expect(page.locator(".tile")).to_have_count(2)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="a push button")).to_be_focused()
    expect(drawn(page, "button1")).to_be_visible()
    wire_it = page.get_by_role("button", name="Wire it")
    for _ in range(20):
        page.keyboard.press("Tab")
        if wire_it.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_text("Wired button1.")).to_be_visible()
    expect(drawn(page, "button1")).to_be_visible()

    page.get_by_role("link", name="Add a part").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("searchbox", name="Find a part")).to_be_focused()
    page.keyboard.type("oled")
    expect(tile(page, "ssd1306")).to_be_visible()
    tile(page, "ssd1306").focus()
    page.keyboard.press(" ")
    # The card takes the keyboard when it is there.
    expect(page.get_by_role("heading", name="SSD1306")).to_be_focused()
    wire_it.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Wired ssd1306-1.")).to_be_visible()
    expect(drawn(page, "ssd1306-1")).to_be_visible()

    button, oled = recorded(add_host)
    assert (button.id, button.part, button.active) == ("button1", "button", "low")
    assert oled.part == "ssd1306"
    assert (oled.pins, oled.address) == ({"sda": 8, "scl": 9}, 0x3C)


def test_parts_are_dragged_to_a_pin_and_wired_by_the_mouse(add_host: PageHost, open_page: OpenPage) -> None:
    page = open_palette(add_host, open_page)
    expect(pad(page, 15)).to_be_visible()
    page.get_by_role("searchbox").fill("push")
    tile(page, "button").drag_to(pad(page, 15))
    expect(page.get_by_role("button", name="pin 15")).to_be_visible()
    page.get_by_role("button", name="Wire it").click()
    expect(page.get_by_text("Wired button1.")).to_be_visible()
    page.get_by_role("link", name="Add a part").click()
    page.get_by_role("searchbox").fill("oled")
    expect(drawn(page, "button1")).to_be_visible()
    tile(page, "ssd1306").drag_to(page.locator(".stage"), target_position={"x": 300, "y": 40})
    page.get_by_role("button", name="Wire it").click()
    expect(page.get_by_text("Wired ssd1306-1.")).to_be_visible()
    button, oled = recorded(add_host)
    assert (button.pins, oled.part) == ({"pin": 15}, "ssd1306")


def test_a_pin_of_the_board_is_chosen_and_a_refused_one_says_why(add_host: PageHost, open_page: OpenPage) -> None:
    add_host.client.call(wire, device=BOARD, add=["led1=led pin=42"])
    page = open_palette(add_host, open_page)
    tile(page, "led").click()
    pad(page, 42).click()
    expect(page.get_by_role("status").filter(has_text="led1 is there")).to_be_visible()
    pad(page, 46).click()
    expect(page.get_by_role("status").filter(has_text="with care")).to_be_visible()
    page.get_by_role("button", name="pin 46").click()
    expect(chip(page, 42)).to_have_attribute("aria-disabled", "true")
    chip(page, 7).click()
    expect(page.get_by_role("button", name="pin 7", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Wire it").click()
    expect(page.get_by_text("Wired led2.")).to_be_visible()
    expect(drawn(page, "led2")).to_be_visible()
    assert [(part.id, part.pins) for part in recorded(add_host)] == [("led1", {"pin": 42}), ("led2", {"pin": 7})]


def test_a_wired_part_is_moved_renamed_changed_removed_and_brought_back(
    add_host: PageHost, open_page: OpenPage
) -> None:
    add_host.client.call(wire, device=BOARD, add=["strip=ws2812 data=7 count=3"])
    page = open_bench(add_host, open_page)
    page.get_by_role("link", name="strip").click()
    page.get_by_role("button", name="pin 7").click()
    chip(page, 6).click()
    page.get_by_label("Id", exact=True).fill("roof")
    page.get_by_label("Called", exact=True).fill("the roof's light")
    page.get_by_label("count", exact=True).fill("8")
    page.get_by_label("count", exact=True).press("Tab")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Changed roof.")).to_be_visible()
    expect(drawn(page, "roof")).to_be_visible()
    (strip,) = recorded(add_host)
    assert (strip.id, strip.label, strip.pins, strip.attributes) == (
        "roof",
        "the roof's light",
        {"data": 6},
        {"count": 8},
    )

    page.get_by_role("button", name="Undo").click()
    expect(drawn(page, "strip")).to_be_visible()
    (strip,) = recorded(add_host)
    assert (strip.id, strip.label, strip.pins, strip.attributes) == ("strip", None, {"data": 7}, {"count": 3})

    page.get_by_role("link", name="strip").click()
    page.get_by_role("button", name="Remove strip").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("Removed strip.")).to_be_visible()
    assert recorded(add_host) == []
    page.get_by_role("button", name="Undo").click()
    expect(drawn(page, "strip")).to_be_visible()
    assert recorded(add_host) == [strip]


def test_an_undo_does_not_lose_what_another_person_wired_since(add_host: PageHost, open_page: OpenPage) -> None:
    add_host.client.call(wire, device=BOARD, add=["led1=led pin=42"])
    page = open_bench(add_host, open_page)
    page.get_by_role("link", name="led1").click()
    page.get_by_role("button", name="Remove led1").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("Removed led1.")).to_be_visible()
    add_host.client.call(wire, device=BOARD, add=["door=button pin=7"])
    expect(drawn(page, "door")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Not undone: the wiring was changed since")).to_be_visible()
    assert [part.id for part in recorded(add_host)] == ["door"]


def test_a_wiring_goes_out_as_a_diagram_and_comes_into_a_fresh_host(
    add_host: PageHost, fresh_host: PageHost, open_page: OpenPage, tmp_path: Path
) -> None:
    lines = ['lamp=led pin=42 active=low label="desk"', "oled1=ssd1306 sda=8 scl=9", "door=door_contact pin=7"]
    add_host.client.call(wire, device=BOARD, add=lines)
    page = open_bench(add_host, open_page)
    page.get_by_text("Files").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save diagram.json").click()
    expect(page.get_by_text("door is not in the diagram")).to_be_visible()
    diagram = tmp_path / download.value.suggested_filename
    download.value.save_as(diagram)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save wiring.toml").click()
    wiring = tmp_path / download.value.suggested_filename
    download.value.save_as(wiring)
    assert (diagram.name, wiring.name) == ("diagram.json", "wiring.toml")

    page = open_bench(fresh_host, open_page)
    page.get_by_text("Files").click()
    page.get_by_label("Take a diagram.json").set_input_files(diagram)
    expect(drawn(page, "lamp")).to_be_visible()
    assert whole(Wiring(tuple(recorded(fresh_host)))) == whole(Wiring(tuple(recorded(add_host)[:2])))
    page.get_by_label("Take a diagram.json").set_input_files(wiring)
    expect(drawn(page, "door")).to_be_visible()
    assert recorded(fresh_host) == recorded(add_host)
    page.get_by_role("button", name="Undo").click()
    expect(drawn(page, "door")).to_have_count(0)
    assert whole(Wiring(tuple(recorded(fresh_host)))) == whole(Wiring(tuple(recorded(add_host)[:2])))


def test_what_a_file_has_besides_is_said(add_host: PageHost, open_page: OpenPage, tmp_path: Path) -> None:
    file = tmp_path / "diagram.json"
    parts = [
        {"type": "board-esp32-s3-devkitc-1", "id": "esp"},
        {"type": "wokwi-led", "id": "ledRed"},
        {"type": "wokwi-vga", "id": "q1"},
    ]
    wires = [["esp:4", "ledRed:A", "", []], ["ledRed:C", "esp:GND.1", "", []]]
    file.write_text(json.dumps({"parts": parts, "connections": wires}))
    page = open_bench(add_host, open_page)
    page.get_by_text("Files").click()
    page.get_by_label("Take a diagram.json").set_input_files(file)
    expect(page.get_by_text("ledRed is ledred here.")).to_be_visible()
    expect(page.get_by_text("left out: q1")).to_be_visible()
    file.write_text("{")
    page.get_by_label("Take a diagram.json").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("no diagram.json")
    assert [part.id for part in recorded(add_host)] == ["ledred"]


def test_the_palette_and_the_pins_are_readable_for_everybody(add_host: PageHost, open_page: OpenPage) -> None:
    add_host.client.call(wire, device=BOARD, add=["btn1=button pin=5", "led1=led pin=42"])
    page = open_palette(add_host, open_page)
    expect(tile(page, "led")).to_be_visible()
    check_and_picture(page, "add")
    tile(page, "hcsr04").click()
    page.locator(".pick").first.click()
    page.get_by_text("Name and values").click()
    check_and_picture(page)
    page.get_by_role("button", name="Wire it").click()
    page.get_by_text("Files").click()
    check_and_picture(page)


NAMES = (
    "Mein großer Knopf !!",
    "Ä Ö",
    "desk lamp",
    "desk--lamp_",
    "btn-",
    "_x",
    "7 segments",
    "Straße",
    "<script>alert(1)</script>",
    "a very long name of a lamp that no - id can have at all",
    "abcdefghijabcdefghijabcdefghija -b",
)


def test_the_id_of_a_name_is_the_hosts_and_said_before_it_is_wired(add_host: PageHost, open_page: OpenPage) -> None:
    page = open_palette(add_host, open_page)
    modules = page.evaluate(
        "import('/page/add_part.js').then(({ idOf }) => NAMES.map(idOf))".replace("NAMES", json.dumps(NAMES))
    )
    assert modules == [part_ids([name])[name] for name in NAMES]

    add_host.client.call(wire, device=BOARD, add=["desk=led pin=42"])
    tile(page, "button").click()
    page.get_by_text("Name and values").click()
    field = page.get_by_label("Id", exact=True)
    wire_it = page.get_by_role("button", name="Wire it")
    said = page.locator(".pinscard [role=status]")
    for name, words in (("", "needs an id"), ("desk", "desk is another part")):
        field.fill(name)
        expect(said).to_contain_text(words)
        expect(wire_it).to_be_disabled()
    field.fill("großer Knopf!")
    expect(said).to_contain_text("Its id is gro-er-knopf.")
    expect(field).to_have_value("großer Knopf!")
    expect(page.get_by_label("On, or pressed, while its pin is")).to_have_value("low")
    expect(page.get_by_label("On, or pressed, while its pin is")).to_contain_text("low, as usual")
    expect(page.get_by_label("bounce ms", exact=True)).to_have_value("3")
    page.get_by_role("combobox", name="resistor").select_option("yes")
    wire_it.click()
    expect(page.get_by_text("Wired gro-er-knopf.")).to_be_visible()
    button = recorded(add_host)[-1]
    assert (button.id, button.active, button.attributes) == ("gro-er-knopf", "low", {"resistor": 1})


def test_a_part_is_found_by_what_people_and_programs_call_it(add_host: PageHost, open_page: OpenPage) -> None:
    page = open_palette(add_host, open_page)
    search = page.get_by_role("searchbox")
    words = {
        "knob": "potentiometer",
        "Adafruit_SSD1306": "ssd1306",
        "ssd1306": "ssd1306",
        "<DallasTemperature.h>": "ds18b20",
        "anything": "load",
        "light": "led",
    }
    for word, part in words.items():
        search.fill(word)
        expect(tile(page, part)).to_be_visible()
    search.fill("flux capacitor")
    expect(page.get_by_role("status").filter(has_text="Nothing is found")).to_contain_text("the name on its chip")
    search.fill("led")
    tile(page, "led").click()
    page.get_by_text("Name and values").click()
    page.get_by_role("combobox", name="color").select_option("blue")
    page.get_by_role("button", name="Wire it").click()
    expect(page.get_by_text("Wired led1.")).to_be_visible()
    assert recorded(add_host)[-1].attributes == {"color": 2}


def test_a_finger_adds_a_part(add_host: PageHost, open_page: OpenPage) -> None:
    page = open_palette(add_host, open_page, viewport={"width": 320, "height": 700}, has_touch=True)
    tile(page, "potentiometer").tap()
    page.get_by_role("button", name="Wire it").tap()
    expect(page.get_by_text("Wired potentiometer1.")).to_be_visible()
    expect(drawn(page, "potentiometer1")).to_be_visible()


def test_an_input_without_a_part_is_no_lamp_and_gets_the_button_that_is_added(
    add_host: PageHost, open_page: OpenPage
) -> None:
    page = open_page(add_host.link())
    turn = say(page, "when the button on pin 15 is pressed, turn on pin 21")
    expect(turn.locator(".answer")).to_contain_text(RUNS)
    go(page, "Home")
    page.get_by_role("link", name=BOARD, exact=True).click()
    expect(drawn(page, "pin 15").locator(".words")).to_have_text("high")
    expect(drawn(page, "pin 15").locator(".glow")).to_have_count(0)
    expect(drawn(page, "pin 21").locator(".glow")).to_be_visible()
    page.get_by_text("Pin 15 is an input, and this host knows no part there.").get_by_role("link").click()
    tile(page, "button").click()
    page.get_by_label("Name and values").or_(page.get_by_text("Name and values")).click()
    page.get_by_label("Called", exact=True).fill("front bell")
    page.get_by_role("button", name="Wire it").click()
    expect(page.get_by_text("Wired button1.")).to_be_visible()
    (button,) = recorded(add_host)
    assert button.pins == {"pin": 15}
    expect(drawn(page, "button1").locator(".id")).to_have_text("front bell")
    expect(page.locator("li[data-pin='15']")).to_contain_text("(front bell)")
    expect(page.get_by_text("is an input, and")).to_have_count(0)
