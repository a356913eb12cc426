"""Every view, light and wide, dark and narrow: no finding of axe, nothing cut off; pictures for the docs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FloatRect, Page, expect
from tests.interfaces.page.conftest import OpenPage, PageHost, go, open_board, program_of, say
from tests.interfaces.page.test_editor import RIGHT, WRONG, open_editor, write
from tests.interfaces.page.test_lists import Rollout, measured

from microclaw.agent.knowledge.operations import edit_memory

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
MAX_PICTURE_BYTES = 200_000
PICTURE_PARTS = {
    "bench": (190, 600),
    "chat": (20, 340),
    "program": (0, 570),
    "pins": (180, 490),
    "board": (220, 420),
}  # y and height
NARROW: dict[str, Any] = {"color_scheme": "dark", "viewport": {"width": 320, "height": 900}}
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},  # axe has it off where nobody asks for it
}
# What is too small for a finger (WCAG 2.5.8), also where the tabulator does not go, as on the pins of a drawing.
SMALL = """() => {
    const size = (element) => Math.min(element.getBoundingClientRect().width, element.getBoundingClientRect().height);
    const all = [...document.querySelectorAll("button, [role='button'], select, input, textarea, nav a, summary")];
    const sizes = (element) => [element, ...(element.labels ?? [])].map(size);
    const small = all.filter((one) => one.checkVisibility() && Math.max(...sizes(one)) < 24);
    return small.map((one) => `${size(one)} px: ${one.outerHTML.slice(0, 120)}`);
}"""
# Texts in one line of which the first ends and the second begins with a word, and nothing is between them.
GLUED = """() => {
    const isInLine = (element) => ["inline", "inline-block", "contents"].includes(getComputedStyle(element).display);
    const lineOf = (text) => {
        let element = text.parentElement;
        while (isInLine(element)) element = element.parentElement;
        return element;
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let last = null, text; (text = texts.nextNode()); ) {
        const element = text.parentElement;
        if (text.data === "" || !element.checkVisibility()) continue;
        if (element.closest("pre, select, svg, noscript")) continue;
        const isOne = last !== null && last.parentElement !== element && lineOf(last) === lineOf(text);
        const isGlued = isOne && /[\\w):;,.]$/.test(last.data) && /^[\\w(]/.test(text.data);
        if (isGlued) found.push(`${last.data}|${text.data}`);
        last = text;
    }
    return found;
}"""
# What the host writes as `code` is shown as code; sources, logs and what a person typed stay as they are.
MARKS = """() => {
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    const found = [];
    for (let text; (text = texts.nextNode()); ) {
        if (text.data.includes("`") && !text.parentElement.closest("pre, code, textarea, .mine")) found.push(text.data);
    }
    return found;
}"""


@pytest.fixture(scope="module")
def seen(host: PageHost) -> PageHost:
    """The host with a pin set, and something in each list."""
    host.client.post("/v1/devices/virtual-1/call", {"method": "gpio.set", "arguments": {"pin": 10, "level": 1}})
    host.client.post("/v1/schedules", {"when": "every day at 07:00", "do": "turn on pin 14", "device": "virtual-1"})
    host.client.post("/v1/tokens", {"name": "axe", "scope": "read"})
    memory = host.client.get("/v1/memory")
    host.client.call(edit_memory, text=memory["text"] + "\n- the lamp is on pin 2\n", was=memory["digest"])
    return host


def views(page: Page) -> Iterator[str]:
    """Goes through all views, and says when each of them is there."""
    turn = say(page, "blink the led on virtual-1 twice a second")
    name = program_of(turn)
    expect(say(page, "blink pin 26 on virtual-1").locator(".answer")).to_be_visible()
    yield "chat"
    go(page, "Home")
    expect(page.get_by_role("link", name=name, exact=True).first).to_be_visible()
    yield "home"
    open_board(page, "virtual-1")
    expect(page.locator("li[data-pin='2']")).to_contain_text("in the trial")
    page.get_by_text("All pins of this board").click()
    yield "pins"
    for tab in ("log", "facts", "programs"):
        page.get_by_role("link", name=tab, exact=True).click()
        if tab == "programs":
            page.get_by_role("link", name=name, exact=True).first.click()
            expect(page.locator("svg.trial")).to_be_visible()
        yield tab
    page.route("**/v1/devices/virtual-1/telemetry?*", measured)
    page.get_by_role("link", name="telemetry", exact=True).click()
    expect(page.locator("svg.plot").first).to_be_visible()
    yield "telemetry"
    page.route("**/v1/rollouts**", Rollout().answer)
    shown = {
        "Activity": "main",
        "Schedules": "main li.card .last",
        "Memory": "main section.card li",
        "Rollouts": "main li.card",
        "Flash a board": "main section select",
        "People": "main table >> nth=1",
        "Usage": "main dl",
    }
    for view, place in shown.items():
        go(page, view)
        expect(page.locator(place).first).to_be_visible()
        if view == "Rollouts":
            page.get_by_text("Its boards").click()
            expect(page.get_by_role("region", name="Boards of rollout 4")).to_be_visible()
        yield view.lower()
    open_editor(page)
    write(page, WRONG)
    expect(page.locator(".checked")).to_have_attribute("data-ok", "false")
    expect(page.locator(".cm-lintRange-error")).to_be_visible()
    page.get_by_role("button", name="Try").click()
    trial = page.get_by_role("region", name="trial")
    expect(trial.locator(".step.failed")).to_be_visible()
    expect(trial.get_by_role("alert")).to_contain_text("GPIO 26")  # the last line: nothing changes any more
    expect(page.get_by_role("button", name="Try")).to_be_enabled()
    yield "editor"
    write(page, RIGHT)
    page.get_by_role("textbox", name="Expected").fill("pin 12: period 200 ms +- 5 %")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    yield "player"


def findings(page: Page) -> list[str]:
    found: dict[str, Any] = page.evaluate("rules => axe.run(document, rules)", RULES)
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def check_and_picture(page: Page, name: str = "") -> None:
    """Nothing found here, nothing wider than the window; a picture for the docs where they are asked for. It leaves the
    page NARROW."""
    page.evaluate(AXE.read_text())  # as a debugger does: the page's policy lets in no script
    for is_narrow in (False, True):
        page.emulate_media(color_scheme="dark" if is_narrow else "light")
        page.set_viewport_size({"width": 320 if is_narrow else 900, "height": 900})
        page.evaluate(DRAWN)
        assert findings(page) == []
        assert page.evaluate(SMALL) == []
        assert page.evaluate(GLUED) == []
        assert page.evaluate(MARKS) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, "wider than the window"
        if name and not is_narrow:
            y, height = PICTURE_PARTS.get(name, (0, 620))
            take_picture(page, name, {"x": 0, "y": y, "width": 900, "height": height})


def take_picture(page: Page, name: str, clip: FloatRect) -> None:
    """Write a picture of the docs if they are to be written (`make pictures`)."""
    if not os.environ.get("MICROCLAW_PICTURES"):
        return
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"page-{name}.png"
    page.screenshot(path=path, clip=clip, animations="disabled")
    assert path.stat().st_size < MAX_PICTURE_BYTES, path


def test_each_view_is_readable_for_everybody(seen: PageHost, open_page: OpenPage) -> None:
    page = open_page(seen.link(), **NARROW)
    titles: list[str] = []
    for view in views(page):
        check_and_picture(page)
        if view != "player":  # in the editor's view
            titles.append(page.title())
    assert len(set(titles)) == len(titles) > 10, titles


def test_the_keyboard_alone_sends_a_sentence(seen: PageHost, open_page: OpenPage) -> None:
    page = open_page(seen.link())
    expect(page.get_by_role("link", name="virtual-1")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    go(page, "Chat")
    expect(page.get_by_role("heading", name="Chat")).to_be_focused()
    page.get_by_label("Message").focus()
    page.keyboard.type("what can you do?")
    page.keyboard.press("Enter")
    expect(page.locator(".turn").filter(has_text="what can you do?").last.locator(".answer")).to_be_visible()
