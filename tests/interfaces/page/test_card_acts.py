"""What one does on a board's card on Home, and the levels of pins that were set before the page was opened."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.interfaces.page.conftest import (
    HOME,
    RUNS,
    OpenPage,
    PageHost,
    go,
    open_board,
    program_of,
    say,
)

SEEN = """async (part) => {
    const seen = [];
    while (new Set(seen).size < 2 || seen.length < 40) {
        await new Promise((resolve) => setTimeout(resolve, 30));
        const label = part.getAttribute("aria-label").split(": ")[1];
        const words = part.querySelector(".words").textContent;
        seen.push(`${label} ${words} ${part.querySelector(".glow").getAttribute("opacity")}`);
    }
    return seen;
}"""
MANY_EDGES = 500  # the page reads the newest 400


@pytest.fixture(scope="module")
def own_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    found = PageHost(tmp_path_factory.mktemp("card") / "home")
    with found.running():
        yield found


def set_pin(host: PageHost, pin: int, level: int) -> None:
    call = {"method": "gpio.set", "arguments": {"pin": pin, "level": level}}
    host.client.post("/v1/devices/virtual-1/call", call)


def edges_so_far(host: PageHost) -> int:
    cursor: int = host.client.get("/v1/devices/virtual-1/edges?cursor=4503599627370496")["cursor"]
    return cursor


def card(page: Page) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("link", name="virtual-1", exact=True))


def test_a_card_stops_a_program_undoes_and_switches_the_pin_that_moved_last(
    own_host: PageHost, open_page: OpenPage
) -> None:
    for pin in (4, 5, 6, 12):
        set_pin(own_host, pin, 1)
    page = open_page(own_host.link())
    name = program_of(say(page, "blink pin 13 twice a second"))
    go(page, "Home")
    board = card(page)
    board.get_by_role("button", name=f"Stop {name}", exact=True).click()
    expect(board.locator(".rows .badge")).to_have_text("stopped")
    board.get_by_role("button", name=re.compile("^Undo: stop")).click()
    expect(board.locator(".rows .badge")).to_have_text("running")
    switches = board.get_by_role("button", name=re.compile("^Set pin "))
    expect(switches).to_have_text(["Set pin 12 low", "Set pin 6 low"])
    switches.nth(1).click()
    expect(switches).to_have_text(["Set pin 6 high", "Set pin 12 low"])
    board.get_by_role("button", name=re.compile("^Undo: set pin 6")).click()
    expect(switches.first).to_have_text("Set pin 6 low")


def test_a_program_that_this_host_is_installing_is_not_called_anothers(own_host: PageHost) -> None:
    source = '#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(15, GPIO_OUT), 1); }\n'
    seen = []
    for _ in own_host.client.stream("/v1/devices/virtual-1/apps", {"name": "lit", "source": source}):
        seen += [app["foreign"] for app in own_host.client.get("/v1/apps")["apps"] if app["name"] == "lit"]
    assert set(seen) == {False}


def test_the_words_of_a_pin_are_those_of_its_light(own_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(own_host.link())
    expect(say(page, "blink pin 38 ten times a second").locator(".answer")).to_contain_text(RUNS)
    go(page, "Home")
    lamp = card(page).locator("g.part[data-id='pin 38']")
    expect(lamp.locator(".words")).to_have_text("high")
    seen = lamp.evaluate(SEEN)
    assert set(seen) == {"high high 1", "low low 0"}


def test_a_guest_has_no_acts_and_examples_that_a_guest_may_do(own_host: PageHost, open_page: OpenPage) -> None:
    own_host.client.post("/v1/people", {"name": "gus", "role": "guest"})
    set_pin(own_host, 12, 1)
    page = open_page(own_host.link("gus"))
    expect(page.get_by_role("heading", name=HOME)).to_be_visible()
    examples = page.locator(".hints button")
    expect(examples.first).to_be_visible()
    for number in range(examples.count()):
        examples.nth(number).click()
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".turn .answer").locator("visible=true")).to_be_visible()
        expect(page.locator(".turn .answer.refused")).to_have_count(0)
        page.reload()
        expect(examples.first).to_be_visible()
    expect(card(page).get_by_role("button")).to_have_count(0)


def test_a_pin_that_was_set_long_before_the_page_shows_its_level(own_host: PageHost, open_page: OpenPage) -> None:
    set_pin(own_host, 21, 1)
    # The blinking program of an earlier test has made edges too.
    until = edges_so_far(own_host) + MANY_EDGES
    while edges_so_far(own_host) < until:
        for level in (0, 1):
            set_pin(own_host, 14, level)
    page = open_page(own_host.link())
    open_board(page, "virtual-1")
    pin = page.locator("svg.board [data-pin='21']")
    expect(pin).to_have_attribute("data-level", "1")
    expect(pin).to_have_attribute("aria-label", re.compile("high, 0 edges seen"))
    pin.click()
    expect(page.get_by_role("button", name="Set it low")).to_be_visible()
