"""The page in a real browser, against a real host with virtual boards."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, Response, Route, expect
from tests.browser import Interception
from tests.interfaces.page.conftest import HOME, OpenPage, PageHost, go, open_board, program_of, say

from microclaw.wire.host_api import StreamResult

MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"
BEEP = """
#include "microclaw.h"
static void beep(void) { printf("<script>alert(2)</script> beep\\n"); }
void on_init(void) { every(100, beep); }
"""


def test_a_program_is_stopped_started_and_removed(page: Page) -> None:
    name = program_of(say(page, "blink pin 5 on virtual-2 twice a second"))
    open_board(page, "virtual-2", "programs")
    page.get_by_role("link", name=name, exact=True).click()
    program = page.get_by_label(f"program {name}")
    for button, state in (("Stop", "stopped"), ("Start", "running")):
        program.get_by_role("button", name=button, exact=True).click()
        expect(program.locator("h2 .badge")).to_have_text(state)
        expect(program.locator(".act .step").first).to_be_visible()
    program.get_by_role("button", name="Remove", exact=True).click()
    expect(program).to_contain_text(f"There is no program {name} on virtual-2 now.")
    program.get_by_role("button", name=re.compile(f"^Undo: removed {name}")).click()
    expect(program.locator("h2 .badge")).to_have_text("running")


def test_home_takes_a_sentence_and_shows_what_the_boards_do(page: Page) -> None:
    board = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="virtual-2", exact=True))
    page.get_by_label("Message").fill("turn on pin 16 on virtual-2")
    page.get_by_role("button", name="Send").click()
    turn = page.locator(".turn").locator("visible=true")
    expect(turn.locator(".answer")).to_contain_text("Pin 16 of virtual-2 is on")
    expect(turn.locator(".step").first).to_be_hidden()
    turn.get_by_text(re.compile(r"^How: \d+ steps")).click()
    expect(turn.locator(".step").first).to_be_visible()
    expect(board.locator("g.part[data-id='pin 16'] .words")).to_have_text("high")
    for level in (1, 0):
        open_board(page, "virtual-2")
        expect(page.locator("svg.board [data-pin='16']")).to_have_attribute("data-level", str(level))
        if level:
            go(page, "Activity")
            change = page.get_by_role("listitem").filter(has_text="set pin 16 high on virtual-2").first
            change.get_by_role("button", name="Undo").click()
            expect(change.locator(".badge").first).to_have_text("undone")


def test_a_browser_that_is_too_old_is_told(host: PageHost, page: Page) -> None:
    page.add_init_script("delete HTMLDialogElement.prototype.showModal")
    page.goto(host.url)
    expect(page.locator(".too-old")).to_be_visible()
    expect(page.locator(".moment")).to_be_hidden()


def test_names_and_texts_with_markup_are_text(host: PageHost, page: Page) -> None:
    def renamed(route: Route) -> None:
        body: dict[str, Any] = route.fetch().json()
        body["devices"][0] |= {"name": MARKUP, "title": MARKUP, "labels": [MARKUP]}
        route.fulfill(json=body)

    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    names = Interception(page, "**/v1/devices", renamed)  # no host takes such a name; the page trusts none of them
    page.reload()
    expect(page.get_by_role("link", name=MARKUP)).to_be_visible()
    expect(page.locator("main img, main b")).to_have_count(0)
    names.end()
    turn = say(page, MARKUP)
    expect(turn.locator(".answer")).to_be_visible()
    expect(turn.locator("img, b")).to_have_count(0)
    body = {"name": "beeper", "source": BEEP}
    ended = list(host.client.stream("/v1/devices/virtual-1/apps", body))[-1]
    assert isinstance(ended, StreamResult), ended
    open_board(page, "virtual-1", "log")
    page.get_by_label("Search").fill("BEEP")
    expect(page.locator("pre.log")).to_contain_text("<script>alert(2)</script> beep")
    page.get_by_label("Search").fill("no such line")
    expect(page.locator("pre.log div")).to_have_count(0)
    assert asked == []


def test_a_session_that_ends_in_mid_action_keeps_what_was_typed_and_goes_on(host: PageHost, page: Page) -> None:
    go(page, "Chat")
    page.get_by_role("button", name="New conversation").click()
    message = page.get_by_label("Message")
    message.fill("what can you do?")
    host.end_sessions()
    page.get_by_role("button", name="Send").dispatch_event("click")  # the dialog may already be there
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Sign in again")
    dialog.get_by_label("Link").fill(host.link())
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".turn .answer")).to_be_visible()
    expect(page.locator(".connection")).to_have_attribute("data-live", "stream")


def changes_of(page: Page) -> list[tuple[str, int]]:
    """The changes that this page asked of the host from now on, without sign-ins, and the host's answers."""
    found: list[tuple[str, int]] = []

    def note(response: Response) -> None:
        if response.request.method != "GET" and "/v1/signin/" not in response.url:
            found.append((response.url.removeprefix(response.url.split("/v1/")[0]), response.status))

    page.on("response", note)
    return found


def expect_loaded_anew(page: Page, person: str) -> None:
    expect(page.locator(".person")).to_contain_text(person)
    expect(page.get_by_role("alert")).to_contain_text("somebody else is signed in now; what you sent was not sent")
    expect(page.get_by_label("Message")).to_have_value("")
    expect(page.locator(".turn").filter(has_text="set pin 12 high on virtual-1")).to_have_count(0)
    expect(page.locator(".connection")).to_have_attribute("data-live", "stream")


def test_what_one_person_sent_is_not_repeated_for_who_signed_in_at_another_tab(
    host: PageHost, open_page: OpenPage
) -> None:
    host.client.post("/v1/people", {"name": "tabea", "role": "guest"})
    page = open_page(host.link("tabea"))
    expect(page.locator(".person")).to_contain_text("tabea")
    go(page, "Chat")
    changes = changes_of(page)
    other = open_page(host.link(), page.context)
    expect(other.locator(".person")).to_contain_text("owner")
    page.get_by_label("Message").fill("set pin 11 high on virtual-1")
    page.get_by_role("button", name="Send").click()
    expect_loaded_anew(page, "owner")
    assert [status for _, status in changes] == [403], changes
    expect(say(page, "what can you do?").locator(".answer")).to_be_visible()
    page.get_by_role("button", name="Close this message").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_what_waits_for_a_sign_in_is_dropped_when_somebody_else_signs_in(host: PageHost, open_page: OpenPage) -> None:
    host.client.post("/v1/people", {"name": "gil", "role": "guest"})
    page = open_page(host.link("gil"))
    expect(page.locator(".person")).to_contain_text("gil")
    go(page, "Chat")
    changes = changes_of(page)
    page.get_by_label("Message").fill("set pin 12 high on virtual-1")
    host.end_sessions()
    page.get_by_role("button", name="Send").dispatch_event("click")  # the dialog may already be there
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Link").fill(host.link())
    dialog.get_by_role("button", name="Sign in").click()
    expect_loaded_anew(page, "owner")
    assert {status for _, status in changes} <= {401}, changes


def test_a_next_step_names_the_pages_view_of_a_program_and_no_command(page: Page) -> None:
    step = "stop it first: microclaw app stop blink -d virtual-1, or wait"
    failure = {"error": {"code": "pin_claimed", "message": "pin 2 is driven by blink", "next": step}}
    page.route("**/v1/memory/search?*", lambda route: route.fulfill(status=409, json=failure))
    go(page, "Memory")
    page.get_by_role("searchbox").fill("lamp")
    page.get_by_role("button", name="Search").click()
    alert = page.get_by_role("alert")
    expect(alert.locator(".next")).to_have_text("next: stop it first: blink, or wait")
    expect(alert.get_by_role("link")).to_have_attribute("href", "/boards/virtual-1/programs/blink")


def test_blocked_live_events_are_said_and_polled_for(host: PageHost, page: Page, open_page: OpenPage) -> None:
    page.context.clock.install()
    events = Interception(page.context, re.compile(r"/v1/events"))
    blocked = open_page(f"{host.url}/boards/virtual-1/pins", page.context)
    expect(blocked.locator(".connection")).to_contain_text("Live events are blocked")
    call = {"method": "gpio.set", "arguments": {"pin": 7, "level": 1}}
    host.client.post("/v1/devices/virtual-1/call", call)
    expect(blocked.locator("li[data-pin='7']")).to_have_attribute("data-edges", "1")
    events.end()
    blocked.clock.fast_forward(20_000)  # after which it tries again
    expect(blocked.locator(".connection")).to_have_attribute("data-live", "stream")


def test_without_javascript_the_page_says_so(host: PageHost, open_page: OpenPage) -> None:
    page = open_page(host.url, java_script_enabled=False)
    expect(page.locator("body")).to_contain_text("This page needs JavaScript", use_inner_text=True)
    expect(page.get_by_text("One moment.")).to_be_hidden()


def test_the_menu_behind_the_gear_is_closed_by_esc_and_by_a_press_elsewhere(page: Page) -> None:
    gear = page.locator(".menu > summary")
    views = page.get_by_role("navigation", name="More views")
    gear.click()
    expect(views).to_be_visible()
    page.keyboard.press("Escape")
    expect(views).to_be_hidden()
    expect(gear).to_be_focused()
    gear.click()
    expect(views).to_be_visible()
    page.get_by_role("heading", name=HOME).click()
    expect(views).to_be_hidden()


def test_a_page_that_the_browser_kept_is_read_anew_when_it_comes_back(page: Page) -> None:
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.get_by_label("Message")).to_be_visible()
