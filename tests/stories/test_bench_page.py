"""A project that begins in the page: parts are put on a board, a sentence, presses, the number on the drawn display.

Then it is opened in a fresh home from its files; and hands of the command line and of HTTP are seen in the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.browser import OpenPage, chromium, open_page
from tests.stories.conftest import Host, running_host
from tests.stories.test_page import link, say

__all__ = ["chromium", "open_page"]
BOARD = "virtual-1"
SENTENCE = "count the presses on the display"
BUTTON = "button1"
DISPLAY = "ssd1306-1"
# A busy machine holds up the bounces of a real one until the program counts them.
CLEAN_BUTTON = f"{BUTTON}=button pin=15 bounce_ms=0"
# Tab reaches each control of the palette within so many steps.
MOST_TABS = 60


@dataclass(frozen=True, slots=True)
class Project:
    """What the page gives of a project: the wiring as a diagram, the source of its program, its expectations."""

    diagram: Path
    source: str
    expected: str


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Host]:
    """A host that began just now, with a board to which nothing is wired."""
    with running_host(tmp_path / "home", "--virtual", "1") as host:
        yield host


def open_bench(page: Page) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Home").click()
    page.get_by_role("link", name=BOARD, exact=True).first.click()
    expect(page.get_by_role("link", name="bench", exact=True)).to_have_attribute("aria-current", "page")


def drawn(page: Page, part: str) -> Locator:
    return page.locator(f"svg.bench g.part[data-id='{part}']")


def drag_onto_board(page: Page, words: str, part: str) -> None:
    """Find a part in the palette, drag it onto the drawn board, and wire it to the pins that are proposed."""
    page.get_by_role("link", name="Add a part").click()
    page.get_by_role("searchbox", name="Find a part").fill(words)
    board = page.locator(".stage g.pad[data-gpio='15']")
    expect(board).to_be_visible()
    page.locator(f".tile[data-part='{part}']").drag_to(board)
    page.get_by_role("button", name="Wire it").click()
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_visible()


def tab_to(page: Page, control: Locator) -> None:
    """Go to a control by the tabulator alone."""
    expect(control).to_be_visible()
    for _ in range(MOST_TABS):
        if control.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(control).to_be_focused()


def wire_by_keyboard(page: Page, words: str, part: str) -> None:
    """Find a part in the palette and wire it, without a mouse."""
    tab_to(page, page.get_by_role("link", name="Add a part"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("searchbox", name="Find a part")).to_be_focused()
    page.keyboard.type(words)
    tab_to(page, page.locator(f".tile[data-part='{part}']"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Wire it"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_visible()


def press_by_mouse(page: Page) -> None:
    """Hold the drawn button down until the board says so, and let it go."""
    button = drawn(page, BUTTON)
    button.locator(".hand").hover()
    page.mouse.down()
    expect(button.locator(".words")).to_have_text("pressed")
    page.mouse.up()
    expect(button.locator(".words")).to_have_text("released")


def press_by_keyboard(page: Page) -> None:
    button = drawn(page, BUTTON)
    tab_to(page, button.locator(".hand"))
    page.keyboard.down(" ")
    expect(button.locator(".words")).to_have_text("pressed")
    page.keyboard.up(" ")
    expect(button.locator(".words")).to_have_text("released")


def expect_shown(page: Page, count: int) -> None:
    """The accessible sentence of the drawn display ends with this number."""
    shown = re.compile(rf"^{DISPLAY}, .*: shows “.*\b{count}”$")
    expect(drawn(page, DISPLAY)).to_have_attribute("aria-label", shown)


def expect_proof(page: Page, program: str = "display") -> None:
    """The proof is beside the drawing, and all of it is met."""
    card = page.get_by_role("region", name=f"program {program}")
    expect(card.get_by_role("heading", name="Proof")).to_be_visible()
    answers = card.locator("ul.rows li")
    expect(answers).not_to_have_count(0)
    for answer in answers.all():
        expect(answer).to_contain_text(re.compile("met in the trial|met on the board"))
        expect(answer).not_to_contain_text("not met")


def taken_out(page: Page, folder: Path) -> Project:
    """Save the diagram, and read the program's source and what it must do."""
    page.get_by_text("Files", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save diagram.json").click()
    diagram = folder / download.value.suggested_filename
    download.value.save_as(diagram)
    page.get_by_role("region", name="program display").get_by_role("link", name="display", exact=True).click()
    source = page.locator("pre.source").inner_text()
    page.get_by_role("link", name="Edit", exact=True).click()
    field = page.get_by_role("textbox", name="Expected")
    expect(field).to_contain_text("screen")
    return Project(diagram, source, field.inner_text())


def opened_afresh(page: Page, project: Project) -> None:
    """Take the diagram as the board's wiring, and install the program with what it must do."""
    open_bench(page)
    page.get_by_text("Files", exact=True).click()
    page.get_by_label("Take a diagram.json").set_input_files(project.diagram)
    for part in (BUTTON, DISPLAY):
        expect(drawn(page, part)).to_be_visible()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Editor").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("display")
    page.get_by_role("combobox", name="Board").select_option(BOARD)
    page.get_by_role("textbox", name="Program").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(project.source)
    page.get_by_role("textbox", name="Expected").fill(project.expected)
    page.get_by_role("button", name=f"Install on {BOARD}").click()
    expect(page.get_by_role("region", name="installation").locator(".evidence")).to_be_visible()


def test_a_dragged_button_and_display_count_presses_and_the_project_opens_elsewhere(
    newcomer: Host, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(link(newcomer))
    open_bench(page)
    drag_onto_board(page, "push", "button")
    drag_onto_board(page, "oled", "ssd1306")
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Chat").click()
    say(page, SENTENCE)
    expect(page.locator(".turn .answer")).to_have_count(1)
    assert newcomer.conditions(BOARD) == {"display": "running"}
    open_bench(page)
    for count in range(4):
        if count > 0:
            press_by_mouse(page)
        expect_shown(page, count)
    expect_proof(page)
    project = taken_out(page, tmp_path)

    fresh = tmp_path / "fresh"
    with running_host(fresh, "--virtual", "1") as host:
        page = open_page(link(host))
        opened_afresh(page, project)
        assert host.conditions(BOARD) == {"display": "running"}
        open_bench(page)
        expect_proof(page)
        press_by_mouse(page)
        expect_shown(page, 1)


def test_the_keyboard_alone_wires_says_and_presses(newcomer: Host, open_page: OpenPage) -> None:
    page = open_page(link(newcomer))
    tab_to(page, page.get_by_role("link", name=BOARD, exact=True).first)
    page.keyboard.press("Enter")
    wire_by_keyboard(page, "push", "button")
    wire_by_keyboard(page, "oled", "ssd1306")
    tab_to(page, page.get_by_role("navigation", name="Views").get_by_role("link", name="Home"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Message"))
    page.keyboard.type(SENTENCE)
    page.keyboard.press("Enter")
    expect(page.locator(".turn .answer")).to_have_count(1)
    tab_to(page, page.get_by_role("link", name=BOARD, exact=True).first)
    page.keyboard.press("Enter")
    for count in range(1, 4):
        press_by_keyboard(page)
        expect_shown(page, count)
    expect_proof(page)


def test_recorded_presses_are_what_the_next_version_must_do(newcomer: Host, open_page: OpenPage) -> None:
    wired = newcomer.run("device", "wiring", BOARD, "--add", CLEAN_BUTTON, "--add", f"{DISPLAY}=ssd1306")
    assert wired.code == 0, wired.err
    assert newcomer.run("chat", SENTENCE).code == 0
    page = open_page(link(newcomer))
    open_bench(page)
    expect_shown(page, 0)
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("button", name="Stop recording")).to_be_visible()
    for count in (1, 2):
        press_by_mouse(page)
        expect_shown(page, count)
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_role("button", name="Keep as expectations of display").click()
    expect(page.get_by_role("textbox", name="Expected")).to_contain_text(re.compile(rf"press {BUTTON} at"))
    page.get_by_role("button", name="Try", exact=True).click()
    answers = page.get_by_role("list", name="answers of the trial").get_by_role("listitem")
    expect(answers).not_to_have_count(0)
    assert [text for text in answers.all_text_contents() if "not met" in text] == []


def test_hands_of_the_command_line_and_of_http_are_seen_in_the_page(newcomer: Host, open_page: OpenPage) -> None:
    wired = newcomer.run(
        *("device", "wiring", BOARD),
        *("--add", CLEAN_BUTTON),
        *("--add", f"{DISPLAY}=ssd1306"),
        *("--add", "knob1=potentiometer pin=4"),
    )
    assert wired.code == 0, wired.err
    assert newcomer.run("chat", SENTENCE).code == 0
    page = open_page(link(newcomer))
    open_bench(page)
    expect_shown(page, 0)

    assert newcomer.run("device", "set", BOARD, "knob1", "70%").code == 0
    expect(drawn(page, "knob1").locator(".words")).to_have_text("70 %")
    assert newcomer.run("press", BUTTON, "--for", "1s").code == 0
    expect_shown(page, 1)
    expect(drawn(page, BUTTON).locator(".words")).to_have_text("released")
    newcomer.client.post(f"/v1/devices/{BOARD}/parts/{BUTTON}/do", {"verb": "press", "for_ms": 1000})
    expect_shown(page, 2)
