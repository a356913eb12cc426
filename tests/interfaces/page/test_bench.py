"""The bench of a board: parts that one moves, what they show, and what it says if nothing is read."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.browser import Interception
from tests.interfaces.page.conftest import OpenPage, PageHost, go
from tests.interfaces.page.test_views import check_and_picture
from tests.stories.conftest import until

from microclaw.programs.bench.hand_operations import set_part
from microclaw.programs.changes.wiring_operations import wire
from microclaw.wire.host_api import StreamResult

BOARD = "virtual-1"
LOOKS_OF_A_PRESS = 30  # 3 s or more
PARTS = ["btn1=button pin=5 bounce_ms=0", "led1=led pin=42", "pot1=potentiometer pin=4"]
TOGGLE = """
#include "microclaw.h"

static int button, led, was_up = 1;

static void look(void) {
    int is_up = gpio_get(button);
    if (was_up && !is_up)
        gpio_toggle(led);
    was_up = is_up;
}

void on_init(void) {
    button = gpio_open(5, GPIO_IN | GPIO_PULLUP);
    led = gpio_open(42, GPIO_OUT);
    every(10, look);
}
"""
# Playwright's `pause_at` is told a time by this process, and on a busy machine it is over in the page by then.
PAUSE = "globalThis.__pwClock.controller.pauseAt(Date.now() + 1000)"
DARK = "0"
LIT = "1"


@pytest.fixture(scope="module")
def bench_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    """A host whose board has a button, an LED and a knob; a press toggles the LED."""
    host = PageHost(tmp_path_factory.mktemp("bench") / "home")
    with host.running():
        host.client.call(wire, device=BOARD, add=PARTS)
        *_, end = host.client.stream(f"/v1/devices/{BOARD}/apps", {"name": "toggle", "source": TOGGLE})
        assert isinstance(end, StreamResult), end
        yield host


def open_bench(host: PageHost, open_page: OpenPage, board: str = BOARD, **options: object) -> Page:
    page = open_page(host.link(), **options)
    go(page, "Home")
    page.get_by_role("link", name=board, exact=True).click()
    expect(page.get_by_role("link", name="bench", exact=True)).to_have_attribute("aria-current", "page")
    return page


def drawn(page: Page, part: str) -> Locator:
    return page.locator(f"svg.bench g.part[data-id='{part}']")


def glow(page: Page) -> Locator:
    return drawn(page, "led1").locator(".glow")


def is_lit(page: Page) -> bool:
    """Ask the host if the LED is lit: what the page shows of a press is its own until news come."""
    answer = page.request.get(f"{page.url.partition('/boards')[0]}/v1/devices/{BOARD}/bench").json()
    led = next(part for part in answer["parts"] if part["id"] == "led1")
    return bool(led["state"]["brightness"])


def press(page: Page) -> None:
    """Hold the button down with the keyboard until the program has seen it, and let it go.

    A hand lets go if its bench is drawn anew, or if it loses the keyboard: then it is pressed again. If the program saw
    both, the LED is as it was: so it is pressed again after a while, too.
    """
    button = drawn(page, "btn1")
    hand = button.locator(".hand")
    was_lit = is_lit(page)
    looks = itertools.count(1)

    def is_seen() -> bool:
        if is_lit(page) != was_lit:
            return True
        if hand.get_attribute("aria-pressed") != "true" or next(looks) % LOOKS_OF_A_PRESS == 0:
            page.keyboard.up(" ")
            hand.focus()
            page.keyboard.down(" ")
        return False

    until(is_seen)
    page.keyboard.up(" ")
    expect(button.locator(".words")).to_have_text("released")


def make_dark(page: Page) -> None:
    """Press once more if an earlier test left the LED lit."""
    words = drawn(page, "led1").locator(".words")
    expect(words).to_have_text(re.compile("^(on|off)$"))
    if words.text_content() == "on":
        press(page)
    expect(glow(page)).to_have_attribute("opacity", DARK)


def test_a_press_by_mouse_keyboard_and_finger_moves_the_led_and_a_reload_keeps_it(
    bench_host: PageHost, open_page: OpenPage
) -> None:
    page = open_bench(bench_host, open_page, has_touch=True)
    hand = drawn(page, "btn1").locator(".hand")
    make_dark(page)
    expect(drawn(page, "led1")).to_have_attribute("aria-label", "led1, an LED on pin 42: off")

    hand.hover()
    page.mouse.down()
    expect(drawn(page, "btn1").locator(".words")).to_have_text("pressed")
    expect(glow(page)).to_have_attribute("opacity", LIT)
    page.mouse.up()
    expect(drawn(page, "led1")).to_have_attribute("aria-label", "led1, an LED on pin 42: on")
    press(page)
    expect(glow(page)).to_have_attribute("opacity", DARK)
    hand.tap()
    expect(glow(page)).to_have_attribute("opacity", LIT)

    page.reload()
    expect(glow(page)).to_have_attribute("opacity", LIT)
    expect(page.locator(".wire.n-out.high")).to_have_count(1)
    press(page)
    expect(glow(page)).to_have_attribute("opacity", DARK)
    expect(page.locator(".wire.n-out.high")).to_have_count(0)


def test_a_knob_is_turned_by_arrow_keys(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    hand = drawn(page, "pot1").get_by_role("slider")
    hand.press("End")
    expect(drawn(page, "pot1").locator(".words")).to_have_text("100 %")
    for percent in range(99, 79, -1):
        # A bench whose news are late stands still, and then loses the focus.
        hand.press("ArrowDown")
        expect(drawn(page, "pot1").locator(".words")).to_have_text(f"{percent} %")
    page.reload()
    expect(drawn(page, "pot1").locator(".words")).to_have_text("80 %")


def test_a_knob_stays_where_it_was_turned_until_newer_news_come(
    bench_host: PageHost, open_page: OpenPage, chromium: Browser
) -> None:
    with chromium.new_context() as context:
        context.clock.install()
        page = open_bench(bench_host, open_page, context=context)
        words = drawn(page, "pot1").locator(".words")
        hand = drawn(page, "pot1").get_by_role("slider")
        hand.focus()
        page.keyboard.press("End")
        expect(words).to_have_text("100 %")
        Interception(page, "**/v1/events?*")
        page.reload()
        expect(page.locator(".connection")).to_have_attribute("data-live", "polling")
        expect(words).to_have_text("100 %")
        older = page.request.get(f"{bench_host.url}/v1/devices/{BOARD}/bench").json()
        lamp_state = next(one for one in older["parts"] if one["id"] == "led1")["state"]
        # Something else in it is drawn, so that the test knows when it has come.
        lamp_state.update({name: 1 - value for name, value in lamp_state.items() if value in (0, 1)})
        light_before = glow(page).get_attribute("opacity")
        answered: list[Route] = []

        def answer_late(route: Route) -> None:
            route.fulfill(json=older)
            answered.append(route)

        # The page has only the time that the test lets pass: after some seconds no news would count as newer.
        page.evaluate(PAUSE)
        hand.focus()
        with page.expect_response("**/parts/pot1"):
            page.keyboard.press("Home")
        late_answers = Interception(page, "**/bench", answer_late)

        def is_answered_late() -> bool:
            # The page may still wait for an answer, and sets the timer of its next question only then.
            page.clock.run_for(50)
            return len(answered) > 0

        until(is_answered_late)

        def is_lit_otherwise() -> bool:
            page.clock.run_for(20)
            return glow(page).get_attribute("opacity") != light_before

        until(is_lit_otherwise)
        assert words.text_content() == "0 %"
        late_answers.end()
        page.clock.resume()
        expect(glow(page)).to_have_attribute("opacity", light_before or "")
        expect(words).to_have_text("0 %")


def test_the_boards_own_button_is_pressed_until_a_part_takes_its_pin(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    button = drawn(page, "boot")
    expect(button).to_have_attribute("aria-label", "boot, a push button on pin 0: released")
    button.locator(".hand").hover()
    page.mouse.down()
    until(lambda: part_of(bench_host, "boot")["state"]["pressed"] == 1)
    page.mouse.up()
    until(lambda: part_of(bench_host, "boot")["state"]["pressed"] == 0)
    bench_host.client.call(wire, device=BOARD, add=["btn2=button pin=0"])
    expect(drawn(page, "btn2").locator(".hand")).to_be_visible()
    expect(button).to_have_count(0)
    bench_host.client.call(wire, device=BOARD, remove=["btn2"])
    expect(button).to_be_visible()


def test_edges_that_the_line_cannot_show_are_named_beside_their_count(
    bench_host: PageHost, open_page: OpenPage
) -> None:
    bench_host.client.call(wire, device=BOARD, add=["btn3=button pin=6 resistor=1 bounce_ms=3"])
    page = open_bench(bench_host, open_page)
    bench_host.client.call(set_part, device=BOARD, part="btn3", values={"pressed": 1})
    words = page.locator("li[data-pin='6']")
    expect(words).to_contain_text(re.compile(r"\d+ edges counted in 10 s \(\d+ too soon after another to be seen"))
    bench_host.client.call(wire, device=BOARD, remove=["btn3"])


def test_a_pin_that_direct_io_set_is_a_lamp_also_after_a_reload(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    call = {"method": "gpio.set", "arguments": {"pin": 17, "level": 1}}
    bench_host.client.post(f"/v1/devices/{BOARD}/call", call)
    lamp = drawn(page, "pin 17")
    expect(lamp.locator(".glow")).to_have_attribute("opacity", LIT)
    page.reload()
    expect(lamp.locator(".words")).to_have_text("high")
    call["arguments"] = {"pin": 17, "level": 0}
    bench_host.client.post(f"/v1/devices/{BOARD}/call", call)
    expect(lamp.locator(".glow")).to_have_attribute("opacity", DARK)


def test_the_state_is_asked_for_where_a_proxy_blocks_events(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(bench_host.link())
    # The link has signed in when Home is there.
    go(page, "Home")
    Interception(page, "**/v1/events?*")
    page.goto(f"{bench_host.url}/boards/{BOARD}")
    expect(page.locator(".connection")).to_have_attribute("data-live", "polling")
    make_dark(page)
    press(page)
    expect(glow(page)).to_have_attribute("opacity", LIT)
    press(page)
    expect(glow(page)).to_have_attribute("opacity", DARK)


def test_a_held_button_is_let_go_if_the_bench_is_drawn_anew_or_left(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    hand = drawn(page, "btn1").locator(".hand")
    expect(drawn(page, "btn1").locator(".words")).to_have_text("released")
    for draws_anew in (True, False):
        hand.hover()
        page.mouse.down()
        until(lambda: is_pressed(bench_host))
        if draws_anew:
            # A pin without a part that moves for the first time is a new lamp on the bench.
            call = {"method": "gpio.set", "arguments": {"pin": 18, "level": 1}}
            bench_host.client.post(f"/v1/devices/{BOARD}/call", call)
            expect(drawn(page, "pin 18")).to_be_visible()
        else:
            page.evaluate("document.querySelector('nav a').click()")
        until(lambda: not is_pressed(bench_host))
        page.mouse.up()


def part_of(host: PageHost, part_id: str) -> dict[str, Any]:
    parts = host.client.get(f"/v1/devices/{BOARD}/bench")["parts"]
    return next(part for part in parts if part["id"] == part_id)


def is_pressed(host: PageHost) -> bool:
    return bool(part_of(host, "btn1")["state"]["pressed"])


def test_the_recordings_button_is_not_set_back_by_an_older_poll(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    expect(drawn(page, "btn1").locator(".words")).to_have_text("released")
    held: list[Route] = []
    page.get_by_role("button", name="Record", exact=True).click()
    stop = page.get_by_role("button", name="Stop recording")
    expect(stop).to_be_visible()
    with page.expect_request(lambda request: request.method == "GET" and request.url.endswith("/recording")):
        page.route(
            "**/recording", lambda route: held.append(route) if route.request.method == "GET" else route.continue_()
        )
    until(lambda: page.evaluate("1") == 1 and bool(held))
    older = {
        "running": True,
        "length_ms": 1,
        "lines": [{"text": "press ghost at 1 s", "kind": "stimulus"}],
        "note": None,
    }
    with page.expect_response(lambda answer: answer.request.method == "DELETE" and answer.url.endswith("/recording")):
        stop.click()
    record = page.get_by_role("button", name="Record", exact=True)
    expect(record).to_be_enabled()
    with page.expect_event("requestfinished", lambda request: request.method == "GET"):
        held[0].fulfill(json=older)
    expect(record).to_be_enabled()
    expect(page.get_by_role("region", name="Recorded")).not_to_contain_text("ghost")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_refused_move_is_said_once(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    hand = drawn(page, "btn1").locator(".hand")
    expect(hand).to_be_visible()
    page.route("**/parts/btn1", lambda route: route.fulfill(status=409, json={"error": REFUSAL}))
    hand.click()
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text("the board has no power")
    expect(drawn(page, "btn1").locator(".words")).to_have_text("released")


def test_letting_go_after_a_refused_press_leaves_the_refusal_on_the_page(
    bench_host: PageHost, open_page: OpenPage
) -> None:
    page = open_bench(bench_host, open_page)

    def refuse_press(route: Route) -> None:
        if json.loads(route.request.post_data or "")["values"]["pressed"] == 1:
            route.fulfill(status=409, json={"error": REFUSAL})
        else:
            route.continue_()

    page.route("**/parts/btn1", refuse_press)
    hand = drawn(page, "btn1").locator(".hand")
    hand.focus()
    page.keyboard.down(" ")
    expect(page.get_by_role("alert")).to_contain_text("the board has no power")
    with page.expect_response("**/parts/btn1") as released:
        page.keyboard.up(" ")
    assert released.value.status == 200
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.get_by_role("alert")).to_contain_text("the board has no power")


REFUSAL = {"code": "not_possible", "message": "the board has no power", "next": "give it power"}


def test_who_may_not_act_has_no_hands(bench_host: PageHost, open_page: OpenPage) -> None:
    bench_host.client.post("/v1/people", {"name": "guest", "role": "guest"})
    page = open_page(bench_host.link("guest"))
    page.get_by_role("link", name=BOARD, exact=True).click()
    expect(drawn(page, "btn1").locator(".words")).to_have_text("released")
    expect(page.locator("svg.bench .hand")).to_have_count(0)
    expect(page.locator(".mat .line")).to_contain_text("Your role may look at the parts")


def test_a_real_board_says_how_each_state_is_known_and_takes_no_hands(
    bench_host: PageHost, open_page: OpenPage
) -> None:
    body = {"name": "garage", "board": "esp32-devkitc-v4", "transports": ["wasmachine://127.0.0.1:9"]}
    bench_host.client.post("/v1/devices", body)
    bench_host.client.call(wire, device="garage", add=["lamp1=led pin=25", "door1=button pin=27"])
    page = open_bench(bench_host, open_page, "garage")
    for part in ("lamp1", "door1"):
        expect(drawn(page, part)).to_have_class(re.compile("unknown"))
        expect(drawn(page, part).locator(".words")).to_have_text("not read")
    expect(page.locator("svg.bench .hand")).to_have_count(0)
    expect(page.get_by_role("button", name="Record")).to_have_count(0)
    bench_host.client.delete("/v1/devices/garage")


def test_home_shows_what_moved_last_as_a_strip(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(bench_host.link())
    strip = page.locator("svg.bench.squeezed")
    expect(strip.locator("g.part[data-id='btn1'] .words")).to_have_text("released")
    expect(strip).to_have_attribute("aria-label", f"parts of {BOARD} that moved last")


def test_the_bench_is_readable_for_everybody_and_a_strip_on_a_phone(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    make_dark(page)
    check_and_picture(page)
    expect(page.locator("svg.bench.squeezed")).to_be_visible()
    for part in ("btn1", "led1", "pot1"):
        expect(drawn(page, part)).to_have_attribute("aria-label", re.compile(rf"^{part}, .* on pin \d+: ."))
    assert page.locator("svg.bench [style]").count() == 0
    assert page.locator("svg.bench.squeezed").evaluate(CUT_LABELS) == []


CUT_LABELS = """(bench) => {
    const { x, width } = bench.viewBox.baseVal;
    const isCut = (box) => box.x < x || box.x + box.width > x + width;
    const labels = [...bench.querySelectorAll("text.below")];
    return labels.filter((label) => isCut(label.getBBox())).map((label) => label.textContent);
}"""


def test_a_still_bench_asks_for_no_frames_and_its_timeline_is_drawn_only_in_sight(
    bench_host: PageHost, open_page: OpenPage, chromium: Browser
) -> None:
    with chromium.new_context(viewport={"width": 1280, "height": 500}) as context:
        context.clock.install()
        page = open_bench(bench_host, open_page, context=context)
        expect(drawn(page, "btn1").locator(".words")).to_have_text("released")
        timeline = page.locator("canvas.timeline")
        expect(timeline).not_to_be_in_viewport()
        page.evaluate(COUNT_WORK)
        frames, drawings, changes = work_of_a_second(page)
        assert (drawings, changes) == (0, 0)
        assert frames < FRAMES_A_SECOND, "only news of the host may ask for some"
        timeline.scroll_into_view_if_needed()
        frames, drawings, _ = work_of_a_second(page)
        assert 0 < drawings <= FRAMES_A_SECOND + 1
        assert frames < FRAMES_A_SECOND


FRAMES_A_SECOND = 20
COUNT_WORK = """() => {
    window.work = { frames: 0, drawings: 0, changes: 0 };
    const ask = window.requestAnimationFrame;
    window.requestAnimationFrame = (draw) => {
        work.frames += 1;
        return ask(draw);
    };
    const clear = CanvasRenderingContext2D.prototype.clearRect;
    CanvasRenderingContext2D.prototype.clearRect = function (...box) {
        work.drawings += 1;
        clear.apply(this, box);
    };
    const observer = new MutationObserver((changes) => { work.changes += changes.length; });
    const options = { subtree: true, childList: true, attributes: true, characterData: true };
    observer.observe(document.querySelector("svg.bench"), options);
}"""


def work_of_a_second(page: Page) -> list[int]:
    """Return how many frames the page asked for, drawings of canvases and changes of the bench, in a second."""
    page.evaluate(PAUSE)
    page.evaluate("Object.assign(work, { frames: 0, drawings: 0, changes: 0 })")
    page.clock.run_for(1000)
    work: list[int] = page.evaluate("[work.frames, work.drawings, work.changes]")
    page.clock.resume()
    return work


def test_while_the_host_is_away_the_drawing_is_the_wiring_alone(bench_host: PageHost, open_page: OpenPage) -> None:
    page = open_bench(bench_host, open_page)
    make_dark(page)
    press(page)
    expect(glow(page)).to_have_attribute("opacity", LIT)
    bench_host.kill()
    expect(page.locator(".mat .line.warn")).to_contain_text("The drawing shows the wiring, not the state")
    expect(glow(page)).to_have_attribute("opacity", DARK)
    for part in ("btn1", "led1", "pot1"):
        expect(drawn(page, part).locator(".words")).to_have_text("not read")
    expect(page.locator(".wire.high")).to_have_count(0)
    bench_host.start()
    expect(drawn(page, "btn1").locator(".words")).to_have_text("released")
    expect(page.locator(".mat .line.warn")).to_have_count(0)
