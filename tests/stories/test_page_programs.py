"""The page in a real Chromium: sign in once, boards with pins that move, the editor, undo, an approval."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from tests.browser import OpenPage, chromium, open_page
from tests.stories.conftest import Host, until
from tests.stories.doors import blink, level, member_of, running

__all__ = ["chromium", "open_page"]


def link(host: Host, person: str = "owner") -> str:
    """A link that signs a browser in once."""
    return str(host.facts["http"]) + str(host.client.post("/v1/signin/links", {"person": person})["path"])


def go(page: Page, view: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()


def write(page: Page, source: str) -> None:
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)


def test_a_link_signs_in_once_and_the_boards_pins_are_drawn(host: Host, open_page: OpenPage) -> None:
    address = link(host)
    page = open_page(address)
    go(page, "Home")
    page.get_by_role("link", name="virtual-1", exact=True).first.click()
    expect(page.locator("svg.board [data-pin='2']").first).to_be_visible()
    assert "#" not in page.url
    second = open_page(address)
    expect(second.get_by_label("Password")).to_be_visible()
    expect(second.get_by_role("navigation", name="Views")).to_have_count(0)


def test_a_wrong_pin_is_marked_and_a_right_program_is_installed_and_taken_back(host: Host, open_page: OpenPage) -> None:
    page = open_page(link(host))
    go(page, "Editor")
    page.get_by_role("combobox", name="Board").select_option("virtual-1")
    write(page, blink(26))
    expect(page.locator(".checked")).to_have_attribute("data-ok", "false")
    expect(page.locator(".cm-lintRange-error")).to_have_count(1)
    write(page, blink(12))
    expect(page.locator(".checked")).to_have_attribute("data-ok", "true")
    page.get_by_role("textbox", name="Name", exact=True).fill("edited")
    page.get_by_role("button", name="Install on virtual-1").click()
    pin = page.get_by_role("region", name="installation").locator("li[data-pin='12']")
    expect(pin).not_to_have_attribute("data-edges", "0")
    seen = str(pin.get_attribute("data-edges"))
    expect(pin).not_to_have_attribute("data-edges", seen)
    assert running(host) == ["edited"]
    page.get_by_role("button", name="Undo the installation").click()
    until(lambda: running(host) == [])


def test_a_program_is_seen_with_its_source_and_its_proof(host: Host, open_page: OpenPage) -> None:
    owner = member_of(host, "owner", "owner")
    made = owner.post(
        "/v1/devices/virtual-1/apps", {"name": "kept", "source": blink(13), "expect": "pin 13: period 200 ms"}
    )
    assert made.last["type"] == "result"
    page = open_page(f"{host.facts['http']}/boards/virtual-1", None)
    expect(page.get_by_label("Password")).to_be_visible()
    page = open_page(link(host))
    expect(page.get_by_role("navigation", name="Views")).to_be_visible()  # the link is used up
    page.goto(f"{host.facts['http']}/boards/virtual-1/programs/kept")
    expect(page.locator("main")).to_contain_text("gpio_open(13, GPIO_OUT)")
    expect(page.locator("main")).to_contain_text("pin 13: period 200 ms")
    assert owner.post("/v1/undo").last["type"] == "result"


def test_a_question_is_decided_on_the_page(host: Host, open_page: OpenPage) -> None:
    owner, ada = member_of(host, "owner-2", "owner"), member_of(host, "ada")
    source = blink(6).replace("gpio_toggle(led)", "(void)led")
    assert owner.post("/v1/devices/virtual-1/apps", {"name": "holds", "source": source}).last["type"] == "result"
    page = open_page(link(host))
    go(page, "Activity")
    for button, left in (("button:not(.main)", 0), ("button.main", 1)):
        asked = ada.post(
            "/v1/devices/virtual-1/call",
            {"method": "gpio.set", "arguments": {"pin": 6, "level": 1}, "force": True},
        )
        assert asked.status == 202
        page.locator(f".question {button}").click()
        number = asked.json["request"]
        until(lambda number=number: ada.get(f"/v1/requests/{number}").json["state"] == "ended")  # type: ignore[misc]
        assert level(host, 6) == left
    assert owner.ask("DELETE", "/v1/devices/virtual-1/apps/holds").last["type"] == "result"


def test_a_read_only_person_has_no_editor_and_a_session_that_ends_asks_in_place(
    host: Host, open_page: OpenPage
) -> None:
    assert host.client.post("/v1/people", {"name": "wall", "role": "read-only"})
    page = open_page(link(host, "wall"))
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Home")).to_be_visible()
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Editor")).to_have_count(0)
    assert host.run("person", "signins", "--end", "all", "-y").code == 0
    expect(page.get_by_label("Password")).to_be_visible()
