"""The drawing of a board: its pins as they lie, their state as it changes, and why a pin is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.interfaces.page.conftest import PageHost, open_board, program_of, say
from tests.interfaces.page.test_views import check_and_picture


@pytest.fixture
def devkit(host: PageHost) -> Iterator[str]:
    """A board with headers, which is not there."""
    body = {"name": "bench", "board": "esp32-devkitc-v4", "transports": ["wasmachine://127.0.0.1:9"]}
    body |= {"labels": ["pin-23=lamp"]}
    name = str(host.client.post("/v1/devices", body)["name"])
    yield name
    host.client.delete(f"/v1/devices/{name}")


def pad(page: Page, pin: int) -> Locator:
    return page.locator(f"svg.board [data-pin='{pin}']")


def place(page: Page, pin: int) -> tuple[float, float]:
    rect = pad(page, pin)
    return float(rect.get_attribute("x") or 0), float(rect.get_attribute("y") or 0)


def test_the_drawing_shows_the_leds_pin_as_it_changes_and_who_holds_it(host: PageHost, page: Page) -> None:
    open_board(page, "virtual-2")
    led = pad(page, 2)
    drawn = page.locator("svg.board .pad").filter(has=page.locator("[data-pin='2']"))
    for level in (1, 0):
        call = {"method": "gpio.set", "arguments": {"pin": 2, "level": level}}
        host.client.post("/v1/devices/virtual-2/call", call)
        expect(led).to_have_attribute("data-level", str(level))
        expect(drawn.locator("text.seen")).to_have_text(re.compile(f"^\\s*{'LH'[level]} "))
        expect(page.locator("svg.board .pad.lit")).to_have_count(level)
    pad(page, 17).click()
    for word, level in (("high", 1), ("low", 0)):
        page.get_by_role("button", name=f"Set it {word}").click()
        expect(pad(page, 17)).to_have_attribute("data-level", str(level))
    before = int(led.get_attribute("data-count") or 0)
    assert before >= 2
    name = program_of(say(page, "blink the led on virtual-2 ten times a second"))
    open_board(page, "virtual-2")
    expect(drawn).to_have_class(re.compile("held"))
    expect(led).to_have_attribute("data-count", re.compile(r"\d{2,}"))
    led.click()
    card = page.get_by_role("region", name="The chosen pin")
    expect(card).to_contain_text("wired: LED")
    expect(card).to_contain_text(re.compile(r"(high|low), \d+ edges seen"))
    pad(page, 7).hover()
    expect(card.get_by_role("heading")).to_have_text("pin 7")
    page.get_by_role("heading", level=1).hover()
    expect(card.get_by_role("heading")).to_have_text("pin 2")
    card.get_by_role("link", name=name).click()
    program = page.get_by_label(f"program {name}")
    program.get_by_role("button", name="Remove", exact=True).click()
    expect(program).to_contain_text(f"There is no program {name} on virtual-2 now.")


def test_why_pin_37_is_refused_is_read_with_the_keyboard_alone(page: Page) -> None:
    open_board(page, "virtual-1")
    page.locator("svg.board [tabindex='0']").wait_for()
    page.get_by_role("link", name="facts", exact=True).focus()
    page.keyboard.press("Tab")
    expect(page.locator("svg.board [data-pin]:focus")).to_have_count(1)
    page.keyboard.press("Home")
    expect(pad(page, 4)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(pad(page, 1)).to_be_focused()
    # The right header goes on with 2, 42 and down to 37.
    for _ in range(7):
        page.keyboard.press("ArrowDown")
    refused = page.get_by_role("button", name=re.compile("^pin 37, .*GPIO 37 belongs to your PSRAM"))
    expect(refused).to_be_focused()
    card = page.get_by_role("region", name="The chosen pin")
    expect(card).to_contain_text("Nothing may drive it: GPIO 37 belongs to your PSRAM; driving it crashes")
    page.keyboard.press("Tab")
    expect(page.locator("svg.board :focus")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("As the board lies before you")


def test_a_board_with_headers_is_drawn_as_it_lies(devkit: str, page: Page) -> None:
    open_board(page, devkit)
    expect(page.locator("h1 .badge")).to_have_text("never reached")
    expect(page.locator("main .warning").first).to_contain_text(f"microclaw device check {devkit}")
    expect(page.locator("svg.board .devkit .chip")).to_have_text("ESP32")
    (vp_x, vp_y), (vn_x, vn_y), (io23_x, io23_y) = place(page, 36), place(page, 39), place(page, 23)
    assert (vp_x, vp_y < vn_y) == (vn_x, True)
    assert io23_x > vp_x
    assert io23_y < vp_y, "it is the second of its side, VP the third"
    expect(pad(page, 36)).to_have_attribute("aria-label", re.compile("^pin 36, VP, .*input-only"))
    expect(page.locator("svg.board .power text").first).to_have_text("3V3")
    expect(pad(page, 23)).to_have_attribute("aria-label", "pin 23, lamp, IO23")
    expect(page.locator("svg.board")).to_contain_text("lamp IO23")
    pad(page, 37).click()
    expect(page.get_by_role("region", name="The chosen pin")).to_contain_text("on no header of the board")
    expect(page.locator("main")).to_contain_text("This board does not report its pins")
    expect(page.locator("svg.board text.seen").filter(has_text=re.compile("."))).to_have_count(0)
    pad(page, 6).click()
    check_and_picture(page, "board")
