"""A conversation on the page: typed answers, a second browser, a host that restarts, a page that sleeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.browser import Interception
from tests.interfaces.page.conftest import RUNS, OpenPage, PageHost, go, say

LIVE = "visible=true"


@pytest.fixture(scope="module")
def asking_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    """A host that asks before each act."""
    found = PageHost(tmp_path_factory.mktemp("conversation") / "home", config='[agent]\napprovals = "always"\n')
    with found.running():
        yield found


def send(page: Page, sentence: str) -> Locator:
    """Send a sentence from Home; its turn there."""
    page.get_by_label("Message").fill(sentence)
    page.get_by_role("button", name="Send").click()
    return turn_of(page, sentence)


def turn_of(page: Page, sentence: str) -> Locator:
    return page.locator(".turn", has=page.get_by_text(sentence, exact=True)).locator(LIVE)


def open_question(page: Page) -> Locator:
    """Return the question that is asked; after a lost answer of the host it stands beside its turn."""
    return page.locator(".question").locator(LIVE)


def test_home_goes_on_after_a_typed_yes_or_no(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    for pin, word, outcome in ((4, "no", "declined by owner"), (5, "yes", "approved by owner")):
        asked = send(page, f"turn on pin {pin}")
        expect(asked.locator(".question").get_by_role("button")).to_have_count(2)
        expect(send(page, word).locator(".answer")).to_contain_text(re.compile("Declined|Approved"))
        expect(asked.locator(".settled")).to_have_text(outcome)
        expect(asked.locator(".answer")).to_be_visible()
        expect(send(page, "what is running?").locator(".answer")).to_be_visible()
        expect(turn_of(page, word)).to_have_count(0)
    go(page, "Chat")
    said = ["turn on pin 4", "no", "what is running?", "turn on pin 5", "yes", "what is running?"]
    expect(page.locator(".turn .mine")).to_have_text(said)


def test_a_yes_in_a_second_browser_ends_the_question_of_the_first(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    turn = say(page, "turn on pin 6")
    expect(open_question(page)).to_be_visible()
    second = open_page(asking_host.url + page.evaluate("location.pathname"), page.context)
    other = turn_of(second, "turn on pin 6")
    expect(second.locator(".question").get_by_role("button")).to_have_count(2)
    expect(other).to_contain_text("One moment.")
    second.get_by_label("Message").fill("yes")
    second.get_by_role("button", name="Send").click()
    expect(turn.locator(".settled")).to_have_text("approved by owner")
    for shown in (turn, other):
        expect(shown.locator(".answer")).to_contain_text("Pin 6 of virtual-1 is on")
    expect(second.locator(".turn .mine")).to_have_text(["turn on pin 6", "yes"])


def test_each_question_has_its_answers_as_buttons_and_does_not_look_like_an_error(
    tmp_path: Path, open_page: OpenPage
) -> None:
    # A chat stays with the board of its last act: this one has none, whatever was tested on the other host before.
    host = PageHost(tmp_path / "home", boards=2)
    with host.running():
        _ask_and_answer(open_page(host.link()))


def _ask_and_answer(page: Page) -> None:
    asked = send(page, "turn on pin 12")
    expect(asked.locator(".answer.asks")).to_contain_text("Which device?")
    expect(asked.locator(".answer button")).to_have_text(["virtual-1", "virtual-2"])
    expect(page.locator(".answer.refused")).to_have_count(0)
    go(page, "Chat")  # as the host has it, in a page that did not ask
    page.reload()
    expect(page.locator(".turn").last.locator(".answer.asks")).to_be_visible()
    page.locator(".turn").last.get_by_role("button", name="virtual-2").click()
    expect(page.locator(".turn").last).to_contain_text("Pin 12 of virtual-2 is on")
    go(page, "Home")
    expect(page.locator(".turn .mine").locator(LIVE)).to_have_text(["turn on pin 12", "virtual-2"])
    go(page, "Chat")
    expect(page.locator(".turn .answer.asks button")).to_have_count(0)
    guess = say(page, "trun on pin 12 on virtual-1 pls")
    guess.locator(".answer.asks button").first.click()
    expect(page.locator(".turn").last).to_contain_text("Pin 12 of virtual-1 is on")


def test_home_shows_after_a_reload_what_waits(asking_host: PageHost, page: Page, open_page: OpenPage) -> None:
    guessed = "trun on pin 13 on virtual-2 pls"
    expect(send(page, guessed).locator(".answer.asks")).to_be_visible()
    page.reload()
    expect(turn_of(page, guessed).locator(".answer.asks button").first).to_be_visible()
    asking = open_page(asking_host.link())
    send(asking, "turn on pin 8")
    expect(open_question(asking)).to_be_visible()
    asking.reload()
    expect(turn_of(asking, "turn on pin 8")).to_contain_text("One moment.")
    open_question(asking).get_by_role("button", name="No").click()
    expect(turn_of(asking, "turn on pin 8").locator(".answer")).to_be_visible()


def looks(page: Page) -> list[str]:
    """What the newest three turns show: the words and buttons, and the class that gives an answer its colour."""
    turns = page.locator(".turn").locator(LIVE)
    expect(turns.last.get_by_role("button", name="Undo")).to_be_visible()
    shown = turns.all()[-3:]
    return [f"{turn.inner_text()} {turn.locator('.answer').get_attribute('class')}" for turn in shown]


def test_an_answer_looks_the_same_after_a_reload_and_in_a_second_tab(page: Page, open_page: OpenPage) -> None:
    expect(say(page, "blink pin 13 on virtual-2").locator(".answer")).to_contain_text(RUNS)
    expect(say(page, "turn on pin 99 on virtual-2").locator(".next")).to_be_visible()
    turn = say(page, "turn on pin 14 on virtual-2")
    expect(turn.locator(".evidence .badge")).to_have_text("counted")
    expect(turn.get_by_text(re.compile(r"^How: \d+ steps"))).to_be_visible()
    live = looks(page)
    page.reload()
    assert looks(page) == live
    second = open_page(page.url, page.context)
    assert looks(second) == live
    second.locator(".turn").last.get_by_role("button", name="Undo").click()
    for tab in (second, page):
        expect(turn_of(tab, "undo").locator(".answer")).to_contain_text("pin 14 of virtual-2 low again")
        expect(tab.locator(".turn").get_by_role("button", name="Undo")).to_have_count(0)
    for _ in range(2):
        again = say(page, "turn off pin 14 on virtual-2")
        expect(again.locator(".answer")).to_contain_text("Pin 14 of virtual-2 is off")
        expect(again.get_by_role("button", name="Undo")).to_have_count(0)
    expect(say(page, "undo").locator(".answer")).to_contain_text("othing to undo")


def test_a_removal_is_asked_with_yes_and_no(page: Page) -> None:
    for pin in (10, 11):
        expect(say(page, f"blink pin {pin} on virtual-2").locator(".answer")).to_contain_text(RUNS)
    for word in ("No", "Yes"):
        asked = say(page, "stop everything on virtual-2").locator(".answer.asks")
        expect(asked.get_by_role("button")).to_have_text(["Yes", "No"])
        asked.get_by_role("button", name=word).click()
        expect(page.locator(".turn .mine").last).to_have_text(word.lower())
        expect(page.locator(".turn").last.locator(".answer")).to_be_visible()
    expect(page.locator(".turn").last.locator(".answer")).to_contain_text("stopped on virtual-2")


def answer_from_elsewhere(host: PageHost) -> None:
    """Say yes on the host; returns when the act is done."""
    (question,) = host.client.get("/v1/approvals")["approvals"]
    host.client.post(f"/v1/approvals/{question['approval_id']}", {"approved": True})


def expect_once(page: Page, turn: Locator, sentence: str) -> None:
    expect(turn.locator(".answer")).to_contain_text(RUNS)
    expect(turn.locator(".problem")).to_have_count(0)
    expect(page.locator(".turn .mine")).to_have_text([sentence])


def test_a_page_that_slept_shows_what_was_done_meanwhile_once(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    turn = say(page, "blink pin 7 twice a second")
    expect(open_question(page)).to_be_visible()
    page.context.set_offline(True)
    answer_from_elsewhere(asking_host)
    page.context.set_offline(False)
    expect_once(page, turn, "blink pin 7 twice a second")
    expect(say(page, "what is running?").locator(".answer")).to_be_visible()


def test_home_asks_again_for_an_answer_that_it_missed(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    turn = send(page, "turn on pin 9")
    expect(open_question(page)).to_be_visible()
    missed = Interception(page, "**/v1/chat/*/messages")
    page.context.set_offline(True)
    expect(page.locator(".connection")).to_have_attribute("data-live", "away")
    answer_from_elsewhere(asking_host)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/messages")):
        page.context.set_offline(False)
    expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
    expect(turn).to_contain_text("One moment.")
    missed.end()
    expect(turn.locator(".answer")).to_contain_text("Pin 9 of virtual-1 is on")
    expect(page.locator(".problem").locator(LIVE)).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_host_that_restarts_under_the_page_goes_on_in_the_same_turn(
    tmp_path_factory: pytest.TempPathFactory, open_page: OpenPage
) -> None:
    config = '[agent]\napprovals = "always"\n'
    host = PageHost(tmp_path_factory.mktemp("restart") / "home", config=config)
    with host.running():
        page = open_page(host.link())
        turn = say(page, "blink pin 7 twice a second")
        expect(open_question(page)).to_be_visible()
        host.stop()
        expect(turn.locator(".answer")).to_contain_text("answered when it is back")
        host.start()
        expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
        again = page.locator(".question", has_text="#define PIN 7").locator("button.main")
        expect(again).to_be_visible()
        answer_from_elsewhere(host)
        expect_once(page, turn, "blink pin 7 twice a second")
