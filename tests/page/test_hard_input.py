"""The page under hard input: many live boards, a program that prints without end, a week, old browsers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, Route, expect
from tests.page.conftest import OpenPage, PageHost, go, open_board

from microclaw.wire.host_api import Result

FLOOD = """#include "microclaw.h"
static unsigned n;
static void tick(void) { for (int i = 0; i < 100; i++) printf("<b>line</b> %u\\n", n++); }
void on_init(void) { every(10, tick); }
"""
BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(15, GPIO_OUT); every(100, tick); }
"""
MANY = 60
DRAWN_ANEW = """canvas => new Promise(done => {
  const before = canvas.toDataURL();
  const look = () => canvas.toDataURL() === before ? requestAnimationFrame(look) : done(true);
  look();
})"""
ROUNDS = 7
ROUND_MS = 24 * 3_600_000  # a week in all
SETTLED = 2  # rounds until everything that a page keeps is there once


@pytest.fixture
def program(host: PageHost) -> Iterator[Any]:
    """`program(name, source)` puts one on virtual-1 until the test's end."""
    names: list[str] = []

    def installed(name: str, source: str) -> None:
        body = {"name": name, "source": source, "language": "c"}
        names.append(name)
        ended = list(host.client.stream("/v1/devices/virtual-1/apps", body))[-1]
        assert isinstance(ended, Result), ended

    yield installed
    for name in names:
        list(host.client.stream(f"/v1/devices/virtual-1/apps/{name}", method="DELETE"))


def test_live_pins_of_all_boards_are_drawn_and_end_with_the_box(host: PageHost, page: Page) -> None:
    page.get_by_label("live pins").check()
    rows = page.locator("canvas.live")
    expect(rows).to_have_count(2)
    call = {"method": "gpio.set", "arguments": {"pin": 3, "level": 1}}
    host.client.post("/v1/devices/virtual-2/call", call)
    assert page.get_by_label("the pins of virtual-2").evaluate(DRAWN_ANEW)
    with page.expect_request(re.compile(r"/v1/events\?(?!.*edges=)")):
        page.get_by_label("live pins").uncheck()
    expect(rows).to_have_count(0)


def test_the_pins_of_many_boards_fit_a_screen(page: Page) -> None:
    def many(route: Route) -> None:
        body: dict[str, Any] = route.fetch().json()
        first = body["devices"][0]
        body["devices"] = [{**first, "name": f"b{n}", "device_id": f"d{n}"} for n in range(MANY + 5)]
        route.fulfill(json=body)

    page.route("**/v1/devices", many)
    page.set_viewport_size({"width": 1280, "height": 1200})
    page.reload()
    expect(page.locator("main .card")).to_have_count(MANY + 5)
    page.get_by_label("live pins").check()
    expect(page.locator("main")).to_contain_text("of the first 64 boards")
    expect(page.locator("canvas.live")).to_have_count(64)
    expect(page.get_by_label("the pins of b59 ")).to_be_in_viewport()
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.unroute_all(behavior="ignoreErrors")


def test_a_log_that_floods_is_bounded_and_says_what_is_left_out(page: Page, program: Any) -> None:
    program("flood", FLOOD)
    open_board(page, "virtual-1", "log")
    status = page.locator("main [role='status']").last
    expect(status).to_contain_text(re.compile(r"^500 of 5000 lines, \d+ older ones left out"))
    expect(page.locator("pre.log div")).to_have_count(500)
    expect(page.locator("pre.log b", has_text="line")).to_have_count(0)
    page.get_by_label("Search").fill("<b>line</b> ")
    expect(page.locator("pre.log div")).to_have_count(500)
    page.get_by_label("Search").fill("no such line")
    expect(page.locator("pre.log div")).to_have_count(0)
    expect(status).to_contain_text("0 of 5000 lines")


def test_a_page_that_is_open_for_a_week_keeps_no_more_than_after_two_days(page: Page, program: Any) -> None:
    program("week", BLINK)
    page.clock.install()
    page.reload()
    devtools = page.context.new_cdp_session(page)
    kept: list[tuple[int, int, int]] = []
    for _ in range(ROUNDS):
        for view, sign in (("Boards", ".card"), ("Schedules", "form")):
            go(page, view)
            expect(page.locator(f"main {sign}").first).to_be_visible()
        open_board(page, "virtual-1", "log")
        open_board(page, "virtual-1")
        pin = page.locator("li[data-pin='15']")
        before = pin.get_attribute("data-edges")
        expect(pin).not_to_have_attribute("data-edges", str(before))
        page.clock.fast_forward(ROUND_MS)
        expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
        kept.append(_kept(devtools))
    settled, end = kept[SETTLED], kept[-1]
    assert end[0] <= settled[0] * 1.2 + 1_000_000, f"bytes of the heap: {kept}"
    assert end[1] <= settled[1] + 200, f"nodes: {kept}"
    assert end[2] <= settled[2] + 20, f"listeners: {kept}"


def _kept(devtools: CDPSession) -> tuple[int, int, int]:
    for _ in range(3):
        devtools.send("HeapProfiler.collectGarbage")
    counters = devtools.send("Memory.getDOMCounters")
    used = devtools.send("Runtime.getHeapUsage")["usedSize"]
    return round(used), counters["nodes"], counters["jsEventListeners"]


def test_live_events_that_are_held_back_are_not_waited_for(host: PageHost, page: Page, open_page: OpenPage) -> None:
    page.context.route(re.compile(r"/v1/events"), lambda _route: None)  # neither an answer nor an error
    held = open_page(f"{host.url}/boards/virtual-2/pins", page.context)
    expect(held.locator(".connection")).to_contain_text("Live events are blocked")
    call = {"method": "gpio.set", "arguments": {"pin": 6, "level": 1}}
    host.client.post("/v1/devices/virtual-2/call", call)
    expect(held.locator("li[data-pin='6']")).to_have_attribute("data-edges", re.compile("[1-9]"))
    page.context.unroute_all(behavior="ignoreErrors")


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("delete Response.prototype.body", "answers that are read as they come"),
        ("delete window.fetch", "answers that are read as they come"),
        ("delete HTMLDialogElement.prototype.showModal", "dialogs"),
        ("delete Array.prototype.at", "the JavaScript of 2022"),
        ("", "JavaScript modules"),
    ],
)
def test_an_old_browser_is_told_what_it_lacks(host: PageHost, open_page: OpenPage, without: str, told: str) -> None:
    old = open_page("about:blank")
    if without:
        old.add_init_script(without)
    else:  # to a browser without modules such a script is of an unknown language
        old.add_init_script("delete HTMLScriptElement.prototype.noModule")
        old.route(f"{host.url}/boards", _without_modules)
    old.goto(f"{host.url}/boards")
    expect(old.locator("body")).to_contain_text("This browser is too old for the page of microclaw")
    expect(old.locator("body")).to_contain_text(told)
    expect(old.locator("body")).to_contain_text("microclaw chat")
    expect(old.locator("header")).to_have_count(0)


def _without_modules(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, body=answer.text().replace('type="module"', 'type="text/unknown"'))
