"""The page's words while the host or a board is away, and of a question whose host was killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser import Interception
from tests.interfaces.page.conftest import RUNS, OpenPage, PageHost, go, open_board, say, yes

MAX_CONNECTIONS = 6  # that a browser opens to one host
NEWS_OF_PINS = re.compile(r"/v1/(events|devices/[^/]+/edges)")
RIGHT_END_IS_EMPTY = """() => {
    const canvas = document.querySelector("canvas.timeline");
    const width = Math.floor(canvas.width / 12);
    const ends = canvas.getContext("2d").getImageData(canvas.width - width, 22, width - 8, 20).data;
    const whole = canvas.getContext("2d").getImageData(100, 22, canvas.width - 110, 20).data;
    const strong = (data) => data.some((value, i) => i % 4 === 3 && value > 200);
    return strong(whole) && !strong(ends);
}"""


@pytest.fixture
def killed_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    found = PageHost(tmp_path_factory.mktemp("away") / "home", config='[agent]\napprovals = "always"\n')
    with found.running():
        yield found


def test_pages_that_were_left_keep_no_connection_to_the_host(page: Page, host: PageHost) -> None:
    for _ in range(2 * MAX_CONNECTIONS):
        page.goto(f"{host.url}/boards/virtual-1")
        expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
    with page.expect_request("**/v1/events?*"):
        # Not at once: an answer of the page that is left may never come.
        page.evaluate("setTimeout(() => history.back())")


def test_a_question_of_a_killed_host_ends_and_its_pins_are_not_known(
    killed_host: PageHost, open_page: OpenPage
) -> None:
    page = open_page(killed_host.link())
    expect(page.locator(".card canvas.live")).to_have_class("live empty")  # of a board with no pin: no box
    expect(page.locator(".card canvas.live")).to_be_hidden()
    turn = say(page, "blink pin 4 twice a second")
    yes(turn).press("Enter")
    expect(turn.locator(".answer")).to_contain_text(RUNS)
    expect(turn.locator(".settled")).to_be_focused()
    asked = say(page, "blink pin 5 twice a second")
    expect(yes(asked)).to_be_visible()
    _pins_never_read_are_not_counted(page)
    _open_pins(page)
    killed_host.kill()
    expect(page.locator("li[data-pin='4'] .unread")).to_have_text(re.compile(r"^not read since \d"))
    page.wait_for_function(RIGHT_END_IS_EMPTY)
    expect(page.locator("h1 .badge")).to_have_text("not known")
    expect(page.locator("h1 small")).to_have_text(re.compile(r"^last seen \d"))
    killed_host.start()
    expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
    go(page, "Chat")
    expect(asked).to_contain_text("One moment.")  # the host goes on with it
    expect(page.locator(".turn .mine")).to_have_text(["blink pin 4 twice a second", "blink pin 5 twice a second"])
    expect(asked.locator(".settled")).to_contain_text("Nothing waits under this question any more")
    expect(asked.locator(".question").get_by_role("button")).to_have_count(0)
    asked.locator(".settled").get_by_role("link", name=re.compile("Activity")).click()
    again = page.locator("main .question", has_text="#define PIN 5")
    yes(again.locator("visible=true")).click()
    expect(page.locator(".settled").locator("visible=true")).to_contain_text("approved by owner")


def _pins_never_read_are_not_counted(page: Page) -> None:
    lost_news = Interception(page, NEWS_OF_PINS)
    open_board(page, "virtual-1")
    expect(page.locator("li[data-pin='4'] .unread")).to_have_text("not read yet")
    expect(page.locator("li[data-pin='4']")).not_to_contain_text("counted")
    lost_news.end()
    go(page, "Home")


def _open_pins(page: Page) -> None:
    open_board(page, "virtual-1")
    page.get_by_label("Show").select_option("60")  # what was counted stays in sight, however slow the machine is
    expect(page.locator("li[data-pin='4']")).to_contain_text("edges counted in")
    expect(page.locator("li[data-pin='4']")).not_to_contain_text("not read")


def test_a_board_that_cannot_be_read_is_said_so_with_what_to_do(host: PageHost, open_page: OpenPage) -> None:
    page = open_page(host.link())
    open_board(page, "virtual-1")
    call = {"method": "gpio.set", "arguments": {"pin": 41, "level": 1}}
    host.client.post("/v1/devices/virtual-1/call", call)
    pin = page.locator("li[data-pin='41']")
    expect(pin).to_be_visible()
    failure = {"error": {"code": "away", "message": "virtual-1 is not connected", "next": None}}
    Interception(page, re.compile(r"/v1/events"))
    page.route(re.compile(r"/v1/devices/virtual-1/edges"), lambda route: route.fulfill(status=503, json=failure))
    host.client.post("/v1/devices/virtual-1/call", call | {"arguments": {"pin": 41, "level": 0}})
    with page.expect_request(re.compile(r"/v1/events")):  # the stream is opened again, and blocked
        page.get_by_role("link", name="facts", exact=True).click()
    page.get_by_role("link", name="pins", exact=True).click()
    expect(page.locator(".problem", has_text="is not connected")).to_contain_text("This page reads it again by itself")
    expect(page.locator("h1 .badge")).to_have_text("not known")


def test_a_frozen_board_and_a_frozen_host_are_shown_as_they_were_seen_last(tmp_path: Path, open_page: OpenPage) -> None:
    host = PageHost(tmp_path / "home")
    with host.running():
        page = open_page(host.link())
        expect(say(page, "blink pin 4 twice a second").locator(".answer")).to_contain_text(RUNS)
        # The board is forked from a process of the host.
        board = _child_of(_child_of(host.client.get("/v1/status")["pid"]))
        _bench_is_live(page)
        os.kill(board, signal.SIGSTOP)
        try:
            _bench_was_seen_last(page, re.compile("not known|away"))
            go(page, "Home")
            expect(page.locator(".card h2 .badge")).to_have_class("badge before")
            expect(page.locator(".card .rows .badge")).not_to_have_class(re.compile("running"))
        finally:
            os.kill(board, signal.SIGCONT)
        _bench_is_live(page)
        host.signal(signal.SIGSTOP)
        try:
            _bench_was_seen_last(page, re.compile("not known"))
            expect(page.locator(".connection")).to_contain_text("The host is away")
            expect(page.get_by_text("did not answer")).to_have_count(0)
        finally:
            host.signal(signal.SIGCONT)


def _child_of(pid: int) -> int:
    """Return the process id of the only child of a process."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    return int(children.stdout)


def _bench_is_live(page: Page) -> None:
    expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
    open_board(page, "virtual-1", "bench")
    expect(page.locator("h1 .badge")).to_have_text("online")
    expect(page.locator(".panel .badge.running")).to_be_visible()
    expect(page.locator(".benchview .line")).to_contain_text("Press, turn")
    expect(page.locator("li[data-pin='4']")).to_contain_text("counted in")


def _bench_was_seen_last(page: Page, state: re.Pattern[str]) -> None:
    expect(page.locator("h1 .badge.before")).to_have_text(state)
    expect(page.locator("h1 small")).to_have_text(re.compile(r"^last seen \d"))
    expect(page.locator(".line.warn")).to_contain_text("Not read since")
    expect(page.locator(".panel .cardhead .badge").first).to_have_text(re.compile("running when last seen|unreachable"))
