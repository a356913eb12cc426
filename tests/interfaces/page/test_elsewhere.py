"""One conversation in two browsers and two tabs, on a phone that sleeps, and over a host that restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from tests.browser import Interception
from tests.interfaces.page.conftest import RUNS, OpenPage, PageHost, go, say
from tests.interfaces.page.gateway import Gateway

CHAT = re.compile(r"/v1/chat$")
MESSAGES = re.compile(r"/v1/chat/[^/]+/messages")
NEWS = re.compile(r"/v1/(events|chat/[^/]+/messages)")
WITHOUT_POLLS = """
const begin = setTimeout;
setTimeout = (work, ms = 0, ...rest) => (ms < 2000 ? begin(work, ms, ...rest) : 0);
"""
"""The page learns only what it is told: it does not ask again by itself."""


@pytest.fixture(scope="module")
def board_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    """A host of this file: what is said here is no "it" of another file's conversations."""
    host = PageHost(tmp_path_factory.mktemp("boards") / "home", boards=2)
    with host.running():
        yield host


@pytest.fixture(scope="module")
def asking_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    """A host that asks before each act, with two boards."""
    config = '[agent]\napprovals = "always"\n'
    host = PageHost(tmp_path_factory.mktemp("elsewhere") / "home", config=config, boards=2)
    with host.running():
        yield host


def same_chat(page: Page, host: PageHost, open_page: OpenPage, *, own_browser: bool) -> Page:
    """Open the conversation of `page` once more, in another browser or in a tab of the same one."""
    if not own_browser:
        return open_page(page.url, page.context)
    other = without_polls(open_page, host.link())
    expect(other.get_by_label("Message")).to_be_visible()
    other.goto(page.url)
    return other


def without_polls(open_page: OpenPage, address: str) -> Page:
    page = open_page("about:blank")
    page.add_init_script(WITHOUT_POLLS)
    page.goto(address)
    return page


def last_turn(page: Page) -> Locator:
    return page.locator(".turn").last


def sentences(page: Page) -> Locator:
    return page.locator(".turn .mine")


def send(page: Page, sentence: str) -> None:
    page.get_by_label("Message").fill(sentence)
    page.get_by_role("button", name="Send", exact=True).click()


def answered_and_lost(route: Route) -> None:
    """Let the host take what the page sends, and lose its answer."""
    route.fetch()
    route.abort()


def edges_of(host: PageHost, board: str, pin: int) -> list[int]:
    edges = host.client.get(f"/v1/devices/{board}/edges")["edges"]
    return [level for _, edge_pin, level in edges if edge_pin == pin]


def test_only_the_first_of_two_answers_counts_and_the_other_browser_sees_it(
    board_host: PageHost, open_page: OpenPage
) -> None:
    page = open_page(board_host.link())
    say(page, "turn on pin 17")
    expect(last_turn(page).locator(".answer button")).to_have_text(["virtual-1", "virtual-2"])
    other = same_chat(page, board_host, open_page, own_browser=True)
    late = same_chat(page, board_host, open_page, own_browser=True)
    for each in (other, late):
        expect(each.locator(".turn .answer button")).to_have_count(2)
    lost_news = Interception(late, NEWS)
    page.get_by_role("button", name="virtual-1").click()
    for each in (page, other):
        expect(sentences(each)).to_have_text(["turn on pin 17", "virtual-1"])
        expect(last_turn(each).locator(".answer")).to_contain_text("Pin 17 of virtual-1 is on")
        expect(each.locator(".turn .answer button", has_text="virtual")).to_have_count(0)
    late.get_by_role("button", name="virtual-2").click()
    expect(late.get_by_role("alert")).to_contain_text('answered already, with "virtual-1"')
    send(late, "virtual-2")
    expect(late.get_by_role("alert")).to_contain_text('answered already, with "virtual-1"')
    expect(late.get_by_role("alert")).to_have_count(1)
    lost_news.end()
    late.bring_to_front()
    expect(sentences(page)).to_have_text(["turn on pin 17", "virtual-1"])
    assert edges_of(board_host, "virtual-2", 17) == []


def test_a_no_that_came_after_a_yes_changes_nothing(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    turn = say(page, "turn on pin 18 on virtual-1")
    expect(turn.locator(".question")).to_be_visible()
    late = open_page("about:blank")
    Interception(late, re.compile(r"/v1/events"))
    late.goto(asking_host.link())
    go(late, "Activity")
    question = late.locator(".question", has_text="pin 18")
    expect(question).to_be_visible()
    Interception(late, re.compile(r"/v1/approvals$"))
    turn.locator("button.main").click()
    expect(turn.locator(".answer")).to_contain_text("Pin 18 of virtual-1 is on")
    question.get_by_role("button", name="No", exact=True).click()
    expect(question.locator(".settled")).to_be_visible()
    expect(question.get_by_role("button")).to_have_count(0)
    assert edges_of(asking_host, "virtual-1", 18) == [1]


def test_a_phone_that_slept_shows_what_was_done_meanwhile(asking_host: PageHost, open_page: OpenPage) -> None:
    with Gateway(asking_host.url).running() as gateway:
        page = without_polls(open_page, asking_host.link().replace(asking_host.url, gateway.url))
        turn = say(page, "blink pin 7 on virtual-1 twice a second")
        expect(turn.locator(".question")).to_be_visible()
        gateway.forget()
        (question,) = asking_host.client.get("/v1/approvals")["approvals"]
        asking_host.client.post(f"/v1/approvals/{question['approval_id']}", {"approved": True})
        # What a browser tells a page that is shown again; a page without a window is never put to sleep.
        page.evaluate('document.dispatchEvent(new Event("visibilitychange"))')
        expect(turn.locator(".answer")).to_contain_text(RUNS)
        expect(turn.locator(".settled")).to_have_text("approved by owner")
        expect(page.locator(".turn .problem")).to_have_count(0)
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        expect(sentences(page)).to_have_text(["blink pin 7 on virtual-1 twice a second"])
        page.close()


def test_a_message_whose_answer_was_lost_is_shown_once_and_done_once(board_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(board_host.link())
    expect(say(page, "turn off pin 14 on virtual-1").locator(".answer")).to_be_visible()
    answers = Interception(page, CHAT, answered_and_lost)
    send(page, "turn on pin 14 on virtual-1")
    expect(last_turn(page).locator(".answer")).to_contain_text("Pin 14 of virtual-1 is on")
    said = ["turn off pin 14 on virtual-1", "turn on pin 14 on virtual-1"]
    expect(sentences(page)).to_have_text(said)
    expect(page.get_by_role("button", name="Send again")).to_have_count(0)
    news = Interception(page, MESSAGES)
    send(page, "toggle pin 14 on virtual-1")
    again = page.get_by_role("button", name="Send again")
    expect(again).to_be_visible()
    answers.end()
    # The page hears of its message only after it sent it again: else there is nothing to send.
    again.click()
    news.end()
    expect(last_turn(page).locator(".answer")).to_contain_text("Pin 14")
    expect(sentences(page)).to_have_text([*said, "toggle pin 14 on virtual-1"])
    expect(page.get_by_role("button", name="Send again")).to_have_count(0)
    assert edges_of(board_host, "virtual-1", 14)[-2:] == [1, 0], "it was toggled once"


def test_a_second_tab_shows_the_same_conversation_and_leaves_what_is_typed(
    board_host: PageHost, open_page: OpenPage
) -> None:
    page = open_page(board_host.link())
    expect(say(page, "turn on pin 21 on virtual-1").locator(".answer")).to_be_visible()
    page.get_by_label("Message").fill("half a sent")
    second = same_chat(page, board_host, open_page, own_browser=False)
    expect(second.get_by_label("Message")).to_have_value("")
    expect(sentences(second)).to_have_text(["turn on pin 21 on virtual-1"])
    send(second, "turn off pin 21 on virtual-1")
    for tab in (page, second):
        expect(sentences(tab)).to_have_text(["turn on pin 21 on virtual-1", "turn off pin 21 on virtual-1"])
        expect(last_turn(tab).locator(".answer")).to_contain_text("Pin 21 of virtual-1 is off")
    expect(page.get_by_label("Message")).to_have_value("half a sent")


def test_a_question_and_what_is_typed_outlive_a_restart_of_the_host(
    tmp_path_factory: pytest.TempPathFactory, open_page: OpenPage
) -> None:
    host = PageHost(tmp_path_factory.mktemp("restarts") / "home", boards=2)
    with host.running():
        page = open_page(host.link())
        say(page, "turn on pin 12")
        expect(page.locator(".turn .answer button")).to_have_text(["virtual-1", "virtual-2"])
        page.get_by_label("Message").fill("half a sent")
        host.stop()
        expect(page.locator(".connection")).to_contain_text("The host is away")
        page.get_by_role("button", name="virtual-2").click()
        again = page.get_by_role("button", name="Send again")
        expect(again).to_be_visible()
        host.start()
        expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
        expect(last_turn(page)).to_contain_text("The host did not answer", ignore_case=True)
        expect(last_turn(page)).to_contain_text("It is not known whether the host took it")
        again.click()
        expect(last_turn(page).locator(".answer")).to_contain_text("Pin 12 of virtual-2 is on")
        expect(sentences(page)).to_have_text(["turn on pin 12", "virtual-2"])
        expect(page.get_by_label("Message")).to_have_value("half a sent")
        page.reload()
        expect(page.get_by_label("Message")).to_have_value("half a sent")
