"""The chat in browsers: it is there after a reload and in another browser of the person, and in nobody else's."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from tests.browser import OpenPage, chromium, open_page
from tests.stories.conftest import Host

__all__ = ["chromium", "open_page"]


def link(host: Host, person: str) -> str:
    """A link that signs a browser in once."""
    return str(host.facts["http"]) + str(host.client.post("/v1/signin/links", {"person": person})["path"])


def chat(page: Page) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Chat").click()


def say(page: Page, sentence: str) -> None:
    page.get_by_label("Message").fill(sentence)
    page.get_by_role("button", name="Send").click()


def test_a_chat_is_there_after_a_reload_and_in_another_browser(host: Host, open_page: OpenPage) -> None:
    first = open_page(link(host, "owner"))
    chat(first)
    say(first, "blink pin 6 twice a second")
    expect(first.locator(".turn .answer")).to_have_count(1)
    say(first, "turn off pin 6")  # a program drives it
    expect(first.locator(".question")).to_be_visible()

    second = open_page(link(host, "owner"))
    for page in (first, second):
        if page is first:
            page.reload()
        else:
            chat(page)
        expect(page.locator(".turn .mine")).to_have_text(["blink pin 6 twice a second", "turn off pin 6"])
        expect(page.locator(".turn .answer")).to_have_count(1)
        expect(page.locator(".question")).to_be_visible()
    second.locator(".question button.main").click()
    for page in (first, second):
        expect(page.locator(".turn .answer")).to_have_count(2)
        expect(page.locator(".question")).to_have_count(0)
    assert [app["condition"] for app in host.run("app", "list", "--json").json["apps"]] == ["stopped"]


def test_conversations_are_listed_and_each_has_its_own(host: Host, open_page: OpenPage) -> None:
    page = open_page(link(host, "owner"))
    chat(page)
    for sentence in ("read pin 4", "read pin 5"):
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator(".turn")).to_have_count(0)
        say(page, sentence)
        expect(page.locator(".turn .answer")).to_have_count(1)
    listed = page.get_by_role("navigation", name="Conversations").get_by_role("link")
    expect(listed.filter(has_text="read pin 5")).to_have_count(1)
    listed.filter(has_text="read pin 4").click()
    expect(page.locator(".turn .mine")).to_have_text(["read pin 4"])
    page.reload()
    expect(page.locator(".turn .mine")).to_have_text(["read pin 4"])


def test_another_person_sees_nothing_of_it(host: Host, open_page: OpenPage) -> None:
    assert host.run("person", "add", "ada", "--role", "member").code == 0
    page = open_page(link(host, "ada"))
    chat(page)
    expect(page.get_by_label("Message")).to_be_visible()
    expect(page.get_by_role("navigation", name="Conversations").get_by_role("link")).to_have_count(0)
    expect(page.locator(".turn")).to_have_count(0)
