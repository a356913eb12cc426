"""The page in a real Chromium: sign-in, boards whose pins move, editor, undo, an approval, chats, the flasher."""

from __future__ import annotations

import tomllib
from pathlib import Path

from playwright.sync_api import Page, expect
from tests.browser import OpenPage, chromium, open_page
from tests.stories.conftest import Host, running_host

__all__ = ["chromium", "open_page"]


def link(host: Host, person: str = "owner") -> str:
    """A link that signs a browser in once."""
    return str(host.facts["http"]) + str(host.client.post("/v1/signin/links", {"person": person})["path"])


def go(page: Page, view: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()


def test_a_link_signs_in_once_and_the_boards_pins_are_drawn(host: Host, open_page: OpenPage) -> None:
    address = link(host)
    page = open_page(address)
    go(page, "Home")
    page.get_by_role("link", name="virtual-1", exact=True).first.click()
    expect(page.locator("svg.bench [data-gpio='2']").first).to_be_visible()
    assert "#" not in page.url
    second = open_page(address)
    expect(second.get_by_label("Password")).to_be_visible()
    expect(second.get_by_role("navigation", name="Views")).to_have_count(0)


def test_a_read_only_person_has_no_editor_and_a_session_that_ends_asks_in_place(
    host: Host, open_page: OpenPage
) -> None:
    assert host.client.post("/v1/people", {"name": "wall", "role": "read-only"})
    page = open_page(link(host, "wall"))
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Home")).to_be_visible()
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Editor")).to_have_count(0)
    assert host.run("person", "signins", "--end", "all", "-y").code == 0
    expect(page.get_by_label("Password")).to_be_visible()


def say(page: Page, sentence: str) -> None:
    page.get_by_label("Message").fill(sentence)
    page.get_by_role("button", name="Send").click()


def test_a_chat_is_there_after_a_reload_and_in_another_browser(host: Host, open_page: OpenPage) -> None:
    first = open_page(link(host))
    go(first, "Chat")
    say(first, "blink pin 6 twice a second")
    expect(first.locator(".turn .answer")).to_have_count(1)
    say(first, "turn off pin 6")  # a program drives it
    expect(first.locator(".question")).to_be_visible()

    second = open_page(link(host))
    for page in (first, second):
        if page is first:
            page.reload()
        else:
            go(page, "Chat")
        expect(page.locator(".turn .mine")).to_have_text(["blink pin 6 twice a second", "turn off pin 6"])
        expect(page.locator(".turn .answer")).to_have_count(1)
        expect(page.locator(".question")).to_be_visible()
    second.locator(".question button.main").click()
    for page in (first, second):
        expect(page.locator(".turn .answer")).to_have_count(2)
        expect(page.locator(".question")).to_have_count(0)
    assert host.conditions("virtual-1") == {"blink": "stopped"}


def test_conversations_are_listed_and_each_has_its_own(host: Host, open_page: OpenPage) -> None:
    page = open_page(link(host))
    go(page, "Chat")
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
    assert host.client.post("/v1/people", {"name": "bob", "role": "member"})
    page = open_page(link(host, "bob"))
    go(page, "Chat")
    expect(page.get_by_label("Message")).to_be_visible()
    expect(page.get_by_role("navigation", name="Conversations").get_by_role("link")).to_have_count(0)
    expect(page.locator(".turn")).to_have_count(0)


def test_a_button_opens_the_link_to_the_network(tmp_path: Path, open_page: OpenPage) -> None:
    home = tmp_path / "home"
    with running_host(home, "--link", "127.0.0.1:0", "--virtual", "0") as host:
        page = open_page(link(host))
        page.locator(".menu > summary").click()
        page.get_by_role("link", name="Flash a board", exact=True).click()
        closed = page.get_by_role("region", name="The way to this host")
        closed.get_by_role("button", name="Open the link").click()
        closed.get_by_role("button", name="Yes").click()
        expect(closed).to_have_count(0)
        expect(page.get_by_role("alert")).to_have_count(0)
        choices = host.client.get("/v1/firmware/install")
        assert choices["can_open"]
        assert not any("problem" in chip for chip in choices["chips"])
    assert tomllib.loads((home / "config.toml").read_text())["host"]["link"] == "0.0.0.0:8443"
