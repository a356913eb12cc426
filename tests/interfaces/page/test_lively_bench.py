"""A bench on which one program moves all parts: the drawings show it, and the docs have pictures of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.interfaces.page.conftest import OpenPage, PageHost, go
from tests.interfaces.page.test_bench import drawn, open_bench
from tests.interfaces.page.test_views import check_and_picture, take_picture
from tests.stories.conftest import until

from microclaw.programs.bench.hand_operations import set_part
from microclaw.programs.changes.wiring_operations import wire
from microclaw.wire.host_api import StreamResult

BOARD = "virtual-1"
PROVED = "virtual-2"
PRESSES = 3
PARTS = [
    "oled1=ssd1306 sda=8 scl=9",
    "btn1=button pin=5 bounce_ms=0",
    "digits1=tm1637 clk=17 dio=18",
    "rgb1=rgb_led red=38 green=39 blue=40",
    "servo1=servo signal=1",
    "led1=led pin=42",
]
MACHINE = """#include <Servo.h>
#include <TM1637Display.h>
#include "microclaw.h"

Servo servo;
TM1637Display digits(17, 18);
int display, count = 0, before = HIGH;

void setup() {
    pinMode(5, INPUT_PULLUP);
    pinMode(42, OUTPUT);
    pinMode(40, OUTPUT);
    servo.attach(1);
    digits.setBrightness(7);
    display = screen_ssd1306(8, 9, 128, 64, 0x3c);
    screen_number(display, count, "", "presses");
}

void loop() {
    int level = digitalRead(5);
    digitalWrite(42, !level);
    if (before == HIGH && level == LOW) {
        count++;
        screen_number(display, count, "", "presses");
    }
    before = level;
    int angle = 47 * count % 180;
    servo.write(angle);
    digits.showNumberDec(angle);
    analogWrite(38, 255 - angle);
    analogWrite(39, angle);
    delay(50);
}
"""
EXPECTED = """press btn1 at 2 s for 300 ms
screen oled1: "1" within 4 s
screen digits1: "47" within 4 s
when btn1 is pressed: pin 42 rises within 200 ms
"""
BEATS = """#include "microclaw.h"

static int beat, slow;

static void fall(void) { gpio_set(beat, 0); }
static void rise(void) { gpio_set(beat, 1); after(100, fall); }
static void change(void) { gpio_toggle(slow); }

void on_init(void) {
    beat = gpio_open(4, GPIO_OUT);
    slow = gpio_open(6, GPIO_OUT);
    every(500, rise);
    every(1000, change);
}
"""
BEATS_EXPECTED = """pin 4: high for 100 ms, low for 400 ms
pin 6: period 2 s, duty 50 %
"""
PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    """A host whose board has six parts and the program that moves them; its button is held down."""
    host = PageHost(tmp_path_factory.mktemp("lively") / "home", boards=2)
    with host.running():
        host.client.call(wire, device=BOARD, add=PARTS)
        body = {"name": "machine", "source": MACHINE, "language": "sketch", "expect": EXPECTED}
        install(host, BOARD, body)
        install(host, PROVED, {"name": "beats", "source": BEATS, "expect": BEATS_EXPECTED})
        for count in range(1, PRESSES + 1):
            set_button(host, is_pressed=True)
            until(partial(has_counted, host, count))
            if count < PRESSES:
                set_button(host, is_pressed=False)
                until(lambda: state_of(host, "led1")["brightness"] == 0)
        yield host


def install(host: PageHost, board: str, body: dict[str, str]) -> None:
    *_, end = host.client.stream(f"/v1/devices/{board}/apps", body)
    assert isinstance(end, StreamResult), end


def set_button(host: PageHost, *, is_pressed: bool) -> None:
    host.client.call(set_part, device=BOARD, part="btn1", values={"pressed": int(is_pressed)})


def bench_part(host: PageHost, part: str) -> dict[str, Any]:
    parts = host.client.get(f"/v1/devices/{BOARD}/bench")["parts"]
    return next(row for row in parts if row["id"] == part)


def state_of(host: PageHost, part: str) -> dict[str, Any]:
    state: dict[str, Any] = bench_part(host, part)["state"]
    return state


def has_counted(host: PageHost, count: int) -> bool:
    return str(bench_part(host, "oled1")["says"]).endswith(f"| {count}”")


def expect_words(page: Page, part: str, words: str) -> None:
    """The accessible sentence of a drawn part ends with these words."""
    expect(drawn(page, part)).to_have_attribute("aria-label", re.compile(rf"^{part}, .*: {words}$"))


def test_every_part_shows_what_the_program_does(lively: PageHost, open_page: OpenPage) -> None:
    page = open_bench(lively, open_page)
    expect_words(page, "oled1", f"shows “presses . {PRESSES}”")
    expect_words(page, "btn1", "pressed")
    expect_words(page, "led1", "on")
    expect_words(page, "servo1", r"14\d°")
    expect_words(page, "digits1", r"shows “141”")
    expect_words(page, "rgb1", r"red \d\d %, green \d\d %, blue 0 %")
    expect(page.get_by_role("region", name="program machine")).to_contain_text("3 of 3 met")
    check_and_picture(page, "bench")


def test_home_shows_the_parts_that_moved_last(lively: PageHost, open_page: OpenPage) -> None:
    page = open_page(lively.link())
    go(page, "Home")
    expect(page.locator("svg.bench.squeezed g.part")).to_have_count(6)  # four of virtual-1, two pins of virtual-2
    check_and_picture(page, "home")


def test_a_phone_shows_the_parts_on_both_sides(lively: PageHost, open_page: OpenPage) -> None:
    page = open_bench(lively, open_page, BOARD, has_touch=True, **PHONE)
    expect_words(page, "btn1", "pressed")
    expect(page.get_by_role("region", name="program machine")).to_contain_text("3 of 3 met")
    page.mouse.move(0, 0)  # off the part that is below it
    take_picture(page, "phone", {"x": 0, "y": 0, "width": 390, "height": 844})


def test_a_proof_has_the_expected_beside_the_seen(lively: PageHost, open_page: OpenPage) -> None:
    page = open_bench(lively, open_page, PROVED, viewport={"width": 900, "height": 900})
    page.get_by_role("link", name="programs", exact=True).click()
    page.get_by_role("link", name="beats", exact=True).first.click()
    expect(page.locator("svg.trial")).to_be_visible()
    expect(page.get_by_text("seen on the board")).to_have_count(2)
    top = heading_y(page, "Expected and seen")
    height = heading_y(page, "Source") - top
    take_picture(page, "proof", {"x": 0, "y": top - 10, "width": 900, "height": height})


def heading_y(page: Page, name: str) -> float:
    box = page.get_by_role("heading", name=name, exact=True).bounding_box()
    assert box is not None
    return box["y"]
