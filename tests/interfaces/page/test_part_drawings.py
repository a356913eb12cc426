"""Every part drawn in a real Chromium: whatever its state, by hand with mouse and keyboard, light and dark."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import asdict
from playwright.sync_api import Locator, Page
from tests.interfaces.page.conftest import OpenPage, PageHost

from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.reader import Part, ValueRange, part_folders, parts, quantities
from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.parts.wiring_file import read_wiring_text
from microclaw.hardware.screens.screen import Screen, pack_data
from microclaw.programs.building import cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

DRAWN_PARTS: Final = (Path(__file__).parent / "drawn_parts.js").read_text()
BOARD: Final = with_micropython(load_board("virtual"))
ROOMY: Final = {"width": 1280, "height": 2400}
COLORS: Final = ["ff0000", "00ff00", "0000ff", "101010", "000000"]
SIZES: Final[Mapping[str, Mapping[str, float]]] = {
    "ws2812": {"count": 8},
    "max7219": {"count": 4},
    "hc595": {"count": 2},
}
"""The attributes of parts that are drawn larger than with their defaults."""


async def try_example(folder: Path, cache: Path) -> Screen | None:
    """Return the last picture that the part's example shows in a trial."""
    source = (folder / "example.py").read_text(encoding="utf-8")
    expected = (folder / "example.expect").read_text(encoding="utf-8")
    wiring: Wiring | None = None
    wiring_file = folder / "example.wiring.toml"
    if wiring_file.exists():
        wiring = read_wiring_text(wiring_file.read_text(encoding="utf-8"))
    compile_source = cached_compiler(BuildCache(cache))
    image = await compile_source(source, BOARD, "example", "O3", "python", ("py",))
    options = TrialOptions(expectations=parse_expectations(expected), wiring=wiring)
    trial = await try_image(image, BOARD, options)
    if not trial.screens:
        return None
    return trial.screens[-1].screen


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Screen]:
    """The last picture of each display, by the name of the part."""
    cache = tmp_path_factory.mktemp("cache")
    found = {}
    # Chromium's driver has the event loop of this thread.
    with ThreadPoolExecutor(1) as thread:
        for folder in part_folders():
            if parts()[folder.name].kind != "display":
                continue
            screen = thread.submit(asyncio.run, try_example(folder, cache)).result()
            if screen is not None:
                found[folder.name] = screen
    return found


def values_of(part: Part) -> dict[str, dict[str, Any]]:
    """Return the values of a part's state with their ranges, as the answer about a bench has them."""
    values: dict[str, dict[str, Any]] = {}
    for name, shown in part.shows.items():
        values[name] = {"least": None, "most": None, "unit": shown.unit, "step": shown.slack or 1, "sets": False}
    ranges: dict[str, ValueRange] = {**part.inputs, **part.measures}
    for name, value in ranges.items():
        unit = value.unit
        step = 1.0
        if name in part.measures:
            unit = quantities()[name].unit
            step = 10.0 ** -quantities()[name].decimals
        is_set = not value.follows
        values[name] = {"least": value.least, "most": value.most, "unit": unit, "step": step, "sets": is_set}
    return values


def states_of(part: Part, screen: Screen | None) -> dict[str, dict[str, Any]]:
    """Return states of a part by what they are: nothing known, as at first, its least, its most, and moved."""
    ranges: dict[str, ValueRange] = {**part.inputs, **part.measures}
    shown = [name for name in part.shows if name not in ranges]
    states: dict[str, dict[str, Any]] = {"unknown": dict.fromkeys([*ranges, *shown])}
    states["first"] = {name: value.default for name, value in ranges.items()} | dict.fromkeys(shown, 0)
    states["least"] = {name: value.least for name, value in ranges.items()} | dict.fromkeys(shown, 0)
    states["most"] = {name: value.most for name, value in ranges.items()} | dict.fromkeys(shown, 100)
    moved: dict[str, Any] = {}
    for name, value in ranges.items():
        moved[name] = value.default if value.sample is None else value.sample
    states["moved"] = moved | dict.fromkeys(shown, 73)
    packed = None
    if screen is not None:
        packed = {**asdict(screen), "data": pack_data(screen)}
    for state in states.values():
        state |= {"screen": None, "colors": None, "text": None}
    for name in ("most", "moved"):
        states[name] |= {"screen": packed, "colors": COLORS, "text": None}
    return states


def facts(screens: Mapping[str, Screen], *, hands: bool = True) -> list[dict[str, Any]]:
    """Return each part with what its drawing gets."""
    rows = []
    for name, part in parts().items():
        attributes = {attribute: value.default for attribute, value in part.attributes.items()}
        attributes |= SIZES.get(name, {})
        screen = screens.get(name)
        if screen is not None and "digits" in attributes and screen.kind == "digits":
            attributes["digits"] = screen.width
            attributes["count"] = 1
        rows.append(
            {
                "name": name,
                "title": part.title,
                "attributes": attributes,
                "values": values_of(part),
                "states": states_of(part, screen),
                "hands": hands,
                "is_picture": part.kind in ("display", "leds"),
            }
        )
    return rows


@pytest.fixture
def drawn(host: PageHost, open_page: OpenPage) -> Iterator[Page]:
    """A page of the host that can draw parts. Errors on its console fail the test."""
    page = open_page(host.link(), viewport=ROOMY)
    errors: list[str] = []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.evaluate(f"() => {{ {DRAWN_PARTS} }}")
    yield page
    assert errors == []


def show(page: Page, state: str) -> None:
    assert page.evaluate("(state) => window.showState(state)", state) == []


def wait_for_pictures(page: Page) -> None:
    """Wait until the displays have unpacked and loaded what they show."""
    page.wait_for_function("() => [...document.querySelectorAll('image')].every((image) => image.nextSibling === null)")


@pytest.mark.parametrize("has_hands", [True, False])
def test_every_part_is_drawn_in_each_state_within_its_size(
    drawn: Page, screens: dict[str, Screen], has_hands: bool
) -> None:
    for theme in ("light", "dark"):
        drawn.evaluate("([facts, theme]) => window.drawParts(facts, theme)", [facts(screens, hands=has_hands), theme])
        for state in ("unknown", "first", "least", "most", "moved"):
            show(drawn, state)
            assert drawn.locator("svg.bench[data-part]").count() == len(parts())
        assert (drawn.locator(".hand").count() > 0) is has_hands
    unknown = drawn.evaluate("() => window.words('unknown')")
    assert set(unknown.values()) == {None}


RGB_ON_A_REAL_BOARD: Final = """
async (facts) => {
  const { bench, loadDrawings } = await import(new URL("/page/bench.js", location.origin));
  const pins = ["red", "green", "blue"].map((role, place) => ({ role, use: "pwm", gpio: place + 4 }));
  const part = { ...facts, id: "light", part: "rgb_led", label: null, pins };
  await loadDrawings([part]);
  const board = { name: "desk", chip: "esp32s3", pins: pins.map(({ gpio }) => ({ pin: gpio })), layout: null };
  const look = (state) => {
    const drawing = bench({ board, parts: [part], label: "real", isStrip: true, isMarked: true });
    document.body.append(drawing.node);
    drawing.update({ light: { state, source: "counted" } });
    return [...drawing.node.querySelectorAll(".glow")].map((light) => Number(light.getAttribute("opacity")) > 0)
      .concat(drawing.node.querySelector("g.part").classList.contains("unknown"));
  };
  return [look({ red: 100, green: null, blue: null }), look({ red: 100, green: 0, blue: 0 })];
}
"""


def test_an_rgb_led_with_one_known_color_is_not_read(drawn: Page, screens: dict[str, Screen]) -> None:
    rgb_led = next(part for part in facts(screens, hands=False) if part["name"] == "rgb_led")
    # The lamp is lit or dark, and the part is marked as unknown or not.
    assert drawn.evaluate(RGB_ON_A_REAL_BOARD, rgb_led) == [[False, True], [True, False]]


def press(page: Page, hand: Locator) -> None:
    """Hold something down for a moment, by mouse and by keyboard."""
    hand.scroll_into_view_if_needed()
    hand.hover()
    page.mouse.down()
    page.mouse.up()
    hand.press("Space")


def slide(page: Page, hand: Locator) -> None:
    """Move something with a value, by mouse and by keyboard."""
    hand.scroll_into_view_if_needed()
    box = hand.locator(".reach").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    page.mouse.up()
    for key in ("End", "ArrowLeft", "PageDown", "Home", "ArrowUp"):
        hand.press(key)


def test_each_hand_sets_what_hands_can_set_and_nothing_else(drawn: Page) -> None:
    rows = facts({})
    drawn.evaluate("([facts, theme]) => window.drawParts(facts, theme)", [rows, "light"])
    show(drawn, "first")
    for row in rows:
        hands = drawn.locator(f"svg[data-part='{row['name']}'] .hand")
        for number in range(hands.count()):
            hand = hands.nth(number)
            if hand.get_attribute("role") == "slider":
                slide(drawn, hand)
            else:
                press(drawn, hand)
            assert hand.get_attribute("aria-label")
        calls = drawn.evaluate("() => window.calls.splice(0)")
        settable = {name: value for name, value in row["values"].items() if value["sets"]}
        assert {name for _, values in calls for name in values} == set(settable), row["name"]
        for part, values in calls:
            assert part == row["name"]
            for name, value in values.items():
                assert settable[name]["least"] <= value <= settable[name]["most"], (part, name, value)


def test_a_display_shows_the_picture_of_the_trial_and_is_dark_before(
    drawn: Page, screens: dict[str, Screen], tmp_path: Path
) -> None:
    drawn.evaluate("([facts, theme]) => window.drawParts(facts, theme)", [facts(screens), "light"])
    show(drawn, "first")
    assert drawn.locator("image, .segment.lit, .pixels[d^=M]:not(.dark)").count() == 0
    show(drawn, "moved")
    wait_for_pictures(drawn)
    drawings = {screen.kind for screen in screens.values()}
    assert drawings == {"pixels", "colors", "text", "digits"}
    for name, screen in screens.items():
        display = drawn.locator(f"svg[data-part='{name}']")
        if screen.kind == "text":
            texts = display.locator("text.ink").all_text_contents()
            # A character of the program's own is a filled cell.
            lines = [line.replace("\ue000", "█") for line in screen.lines]
            assert [text.replace("\u00a0", " ") for text in texts] == lines
        elif screen.kind == "digits":
            lit_count = sum(byte.bit_count() for byte in screen.data)
            assert display.locator(".segment.lit").count() == lit_count, name
        elif screen.kind == "pixels":
            assert display.locator(".pixels:not(.dark)").get_attribute("d"), name
        else:
            assert display.locator("image").count() == 1, name
    for theme in ("light", "dark"):
        drawn.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        drawn.screenshot(path=tmp_path / f"parts-{theme}.png", full_page=True)
