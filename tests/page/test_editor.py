"""The editor in a real browser: a wrong program is marked, a right one tried, installed and taken back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from tests.page.conftest import OpenPage, PageHost, go

from microclaw.wire.host_api import Result

WRONG = """#include "microclaw.h"
void on_init(void) {
    int led = gpio_open(26, GPIO_OUT);
    gpio_set(led, 1);
}
"""
RIGHT = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(12, GPIO_OUT); every(100, tick); }
"""


def write(page: Page, source: str) -> None:
    """Put a program in the place of what is there."""
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)


def open_editor(page: Page, board: str = "virtual-1") -> None:
    go(page, "Editor")
    expect(page.locator(".cm-content")).to_contain_text("gpio_open(2, GPIO_OUT)")
    page.get_by_role("combobox", name="Board").select_option(board)


def test_a_wrong_pin_is_marked_with_the_reason_and_the_corrected_program_runs(page: Page) -> None:
    open_editor(page)
    write(page, WRONG)
    checked = page.locator(".checked")
    expect(checked).to_have_attribute("data-ok", "false")
    finding = page.get_by_role("list", name="Findings").get_by_role("listitem").first
    expect(finding).to_contain_text("line 3")
    expect(finding).to_contain_text("GPIO 26 belongs to your flash and PSRAM")
    expect(finding).to_contain_text("next:")
    mark = page.locator(".cm-lintRange-error")
    expect(mark).to_have_count(1)
    assert mark.evaluate("mark => mark.closest('.cm-line').textContent").strip() == WRONG.splitlines()[2].strip()
    mark.hover()
    expect(page.locator(".cm-tooltip")).to_contain_text("GPIO 26 belongs to your flash and PSRAM")
    page.get_by_role("button", name="Try").click()
    trial = page.get_by_role("region", name="trial")
    expect(trial.locator(".step.failed")).to_contain_text("GPIO 26")
    expect(trial.locator(".older")).to_have_count(0)

    write(page, RIGHT)
    expect(trial.locator(".older")).to_contain_text("of the text before your change")
    expect(checked).to_have_attribute("data-ok", "true")
    expect(checked).to_contain_text("pin 12 free")
    expect(mark).to_have_count(0)
    page.get_by_role("textbox", name="Name", exact=True).fill("edited")
    page.get_by_role("textbox", name="Expected").fill("pin 12: period 200 ms +- 10 %")
    page.get_by_role("button", name="Try").click()
    expect(trial).to_contain_text("met in the trial")
    expect(trial.locator(".older")).to_have_count(0)
    expect(trial.locator("svg.trial polyline")).to_have_count(1)
    expect(trial.get_by_role("list", name="edges in words")).to_contain_text("pin 12: ")
    expect(trial.get_by_role("list", name="edges in words")).to_contain_text("high 0.100 s, low 0.100 s")

    page.get_by_role("button", name="Install on virtual-1").click()
    installed = page.get_by_role("region", name="installation")
    expect(installed.locator(".evidence .badge")).to_have_text("counted")
    pin = installed.locator("li[data-pin='12']")
    expect(pin).not_to_have_attribute("data-edges", "0")
    before = pin.get_attribute("data-edges")
    expect(pin).not_to_have_attribute("data-edges", str(before))
    installed.get_by_role("button", name="Undo the installation").click()
    expect(installed).to_contain_text("undone: deploy edited")
    page.get_by_role("combobox", name="Board").select_option("virtual-2")
    expect(trial.locator(".older")).to_contain_text("of the board before your change")
    expect(installed.locator(".older")).to_have_count(0)
    page.route("**/v1/programs/check", lambda _route: None)  # no answer comes: what stands there is of the old text
    write(page, WRONG)
    expect(installed.locator(".older")).to_contain_text("What you see now is not installed")
    expect(checked).to_contain_text("That is of the text before your change")
    page.unroute_all(behavior="ignoreErrors")


def test_a_draft_survives_a_reload_and_is_discarded_when_asked(page: Page) -> None:
    open_editor(page)
    write(page, "// mine\n" + RIGHT)
    page.get_by_role("textbox", name="Name", exact=True).fill("drafted")
    page.get_by_role("textbox", name="Expected").fill("pin 12: 3 edges")
    page.reload()
    expect(page.locator(".cm-content")).to_contain_text("// mine")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("drafted")
    expect(page.get_by_role("textbox", name="Expected")).to_have_value("pin 12: 3 edges")
    go(page, "Boards")
    go(page, "Editor")
    expect(page.locator(".cm-content")).to_contain_text("// mine")
    page.get_by_role("button", name="Discard the draft").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator(".cm-content")).not_to_contain_text("// mine")
    expect(page.locator(".cm-content")).to_contain_text("gpio_open(2, GPIO_OUT)")


def test_an_installed_program_is_edited_and_replaced(host: PageHost, page: Page) -> None:
    body = {"name": "kept", "source": RIGHT.replace("12", "13")}
    assert isinstance(list(host.client.stream("/v1/devices/virtual-2/apps", body))[-1], Result)
    go(page, "Boards")
    page.get_by_role("link", name="kept", exact=True).click()
    page.get_by_role("link", name="Edit", exact=True).click()
    expect(page.locator(".cm-content")).to_contain_text("gpio_open(13, GPIO_OUT)")
    expect(page.get_by_role("combobox", name="Board")).to_have_value("virtual-2")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("kept")
    write(page, RIGHT.replace("12", "14"))
    page.get_by_role("button", name="Install on virtual-2").click()
    installed = page.get_by_role("region", name="installation")
    expect(installed.locator(".evidence")).to_be_visible()
    assert "gpio_open(14," in str(host.client.get("/v1/devices/virtual-2/apps/kept")["source"])
    expect(installed.get_by_role("button", name="Undo the installation")).to_be_enabled()
    list(host.client.stream("/v1/apps/kept/remove", {"devices": ["virtual-2"]}))


def test_the_bundle_is_fetched_by_the_editor_alone(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.get_by_role("link", name="virtual-1")).to_be_visible()
    go(page, "Chat")
    assert [one for one in asked if one.endswith("/page/app.js")]
    assert not [one for one in asked if "codemirror" in one]
    open_editor(page)
    assert [one for one in asked if one.endswith("/page/vendor/codemirror.js")]


def test_python_is_checked_at_its_line(page: Page) -> None:
    open_editor(page)
    page.get_by_role("combobox", name="Board").select_option("")
    page.get_by_role("combobox", name="Language").select_option("python")
    expect(page.locator(".cm-content")).to_contain_text("from machine import Pin")
    expect(page.locator(".checked")).to_have_attribute("data-ok", "true")
    write(page, "from machine import Pin\nled = Pin(2, Pin.OUT)\nled.value(\n")
    finding = page.get_by_role("list", name="Findings").get_by_role("listitem").first
    expect(finding.get_by_role("button")).to_contain_text("line 3")
    finding.get_by_role("button").click()
    expect(page.locator(".cm-activeLine")).to_contain_text("led.value(")


def test_the_keyboard_leaves_the_text_and_a_superseded_check_is_ended(page: Page) -> None:
    open_editor(page)
    ended: list[str] = []
    page.on("requestfailed", lambda request: ended.append(request.url))
    content = page.locator(".cm-content")
    content.click()
    expect(content).to_be_focused()
    page.keyboard.press("Tab")
    expect(content).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("int a;")
    expect(content).to_have_text("int a;")
    page.keyboard.press("Control+z")
    expect(content).to_contain_text("gpio_open(2, GPIO_OUT)")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(content).not_to_be_focused()
    content.click()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(content).to_be_focused()
    assert "Escape" in str(content.get_attribute("aria-label"))
    page.route("**/v1/programs/check", lambda _route: None)  # no answer comes
    with page.expect_request("**/v1/programs/check"):
        write(page, RIGHT)
    with page.expect_event("requestfailed"):
        write(page, WRONG)
    assert ended[0].endswith("/v1/programs/check")
    page.unroute_all(behavior="ignoreErrors")


@pytest.mark.parametrize("role", ["guest", "read-only"])
def test_what_a_role_may_not_do_is_not_offered(host: PageHost, open_page: OpenPage, role: str) -> None:
    host.client.post("/v1/people", {"name": f"edith-{role}", "role": role})
    page = open_page(host.link(f"edith-{role}"))
    expect(page.get_by_role("heading", name="Boards")).to_be_visible()
    if role == "read-only":
        expect(page.get_by_role("link", name="Editor")).to_have_count(0)
        page = open_page(f"{host.url}/editor", page.context)
        expect(page.get_by_text("Your role may not look at this")).to_be_visible()
        return
    open_editor(page)
    expect(page.locator(".checked")).to_have_attribute("data-ok", "true")
    expect(page.get_by_role("button", name=re.compile("^Install"))).to_have_count(0)
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("list", name="edges in words")).to_contain_text("pin 2: ")
