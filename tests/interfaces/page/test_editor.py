"""The editor in a real browser: a wrong program is marked, a right one tried, installed and reverted."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Locator, Page, expect
from tests.interfaces.page.conftest import PageHost, go
from tests.stories.conftest import until

from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.wire.host_api import StreamResult

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


def program_text(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Program")


def expected_text(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Expected")


def write(page: Page, source: str) -> None:
    """Put a program in the place of what is there."""
    program_text(page).click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)


def open_editor(page: Page, board: str = "virtual-1") -> None:
    go(page, "Editor")
    expect(program_text(page)).to_contain_text("gpio_open(2, GPIO_OUT)")
    page.get_by_role("combobox", name="Board").select_option(board)


def test_a_draft_survives_a_reload_and_is_discarded_when_asked(page: Page) -> None:
    open_editor(page)
    write(page, "// mine\n" + RIGHT)
    page.get_by_role("textbox", name="Name", exact=True).fill("drafted")
    expected_text(page).fill("pin 12: 3 edges")
    page.reload()
    expect(program_text(page)).to_contain_text("// mine")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("drafted")
    expect(expected_text(page)).to_have_text("pin 12: 3 edges")
    go(page, "Home")
    go(page, "Editor")
    expect(program_text(page)).to_contain_text("// mine")
    page.get_by_role("button", name="Discard the draft").click()
    page.get_by_role("button", name="Yes").click()
    expect(program_text(page)).not_to_contain_text("// mine")
    expect(program_text(page)).to_contain_text("gpio_open(2, GPIO_OUT)")


def test_an_installed_draft_is_not_the_next_new_program(host: PageHost, page: Page) -> None:
    open_editor(page, "virtual-2")
    write(page, RIGHT)
    page.get_by_role("textbox", name="Name", exact=True).fill("first")
    expected_text(page).fill("pin 12: period 200 ms")
    page.get_by_role("button", name="Install on virtual-2").click()
    installed = page.get_by_role("region", name="installation")
    expect(installed.get_by_role("link", name="first on virtual-2")).to_be_visible()
    go(page, "Home")
    go(page, "Editor")
    expect(program_text(page)).to_contain_text("gpio_open(2, GPIO_OUT)")
    expect(expected_text(page)).to_have_text("")
    list(host.client.stream("/v1/apps/first/remove", {"devices": ["virtual-2"]}))


def test_an_installation_on_a_taken_pin_names_what_it_would_replace_and_replaces_it(host: PageHost, page: Page) -> None:
    body = {"name": "before", "source": RIGHT}
    assert isinstance(list(host.client.stream("/v1/devices/virtual-2/apps", body))[-1], StreamResult)
    open_editor(page, "virtual-2")
    write(page, "// other\n" + RIGHT)
    page.get_by_role("textbox", name="Name", exact=True).fill("after")
    page.get_by_role("button", name="Install on virtual-2").click()
    installed = page.get_by_role("region", name="installation")
    expect(installed.get_by_role("alert")).to_contain_text("driven by before")
    installed.get_by_role("button", name="Replace before").click()
    expect(installed.get_by_role("link", name="after on virtual-2")).to_be_visible()
    for name in ("after", "before"):
        list(host.client.stream(f"/v1/apps/{name}/remove", {"devices": ["virtual-2"]}))


def test_each_bad_line_of_the_expectations_is_marked_before_a_trial(page: Page) -> None:
    open_editor(page)
    write(page, RIGHT)
    expected_text(page).fill("pin 12: period 200 ms\npin 12: perod 1 s\npress nobody at 2 s")
    lines = page.get_by_role("list", name="Findings").get_by_role("button")
    expect(lines).to_have_text(["expectations, line 2, column 9"])
    expected_text(page).fill("pin 12: period 200 ms\npress nobody at 2 s\npress no_one at 3 s")
    expect(lines).to_have_text(["expectations, line 2", "expectations, line 3"])
    expect(page.locator(".expectations .cm-lintRange-error")).to_have_count(2)
    lines.nth(1).click()
    expect(page.locator(".expectations .cm-activeLine.cm-line")).to_have_text("press no_one at 3 s")
    expected_text(page).fill("pin 12: period 200 ms")
    expect(page.locator(".checked")).to_have_attribute("data-ok", "true")
    page.get_by_role("button", name="Discard the draft").click()
    page.get_by_role("button", name="Yes").click()


def test_a_fault_of_a_trial_stands_there_once(page: Page) -> None:
    open_editor(page)
    write(page, WRONG.replace("gpio_open(26, GPIO_OUT)", "wrong_name"))
    page.get_by_role("button", name="Try", exact=True).click()
    trial = page.get_by_role("region", name="trial")
    expect(trial.get_by_role("alert")).to_contain_text("wrong_name")
    expect(trial.locator(".step.failed")).to_have_count(1)
    assert trial.inner_text().count("undeclared") == 1, trial.inner_text()
    expect(page.get_by_role("list", name="Findings")).to_contain_text("wrong_name")


def test_an_installed_program_is_edited_and_replaced(host: PageHost, page: Page) -> None:
    body = {"name": "kept", "source": RIGHT.replace("12", "13"), "expect": "pin 13: period 200 ms"}
    assert isinstance(list(host.client.stream("/v1/devices/virtual-2/apps", body))[-1], StreamResult)
    go(page, "Home")
    page.get_by_role("link", name="kept", exact=True).click()
    expect(page.locator("main")).to_contain_text("gpio_open(13, GPIO_OUT)")
    expect(page.locator("main")).to_contain_text("pin 13: period 200 ms")
    page.get_by_role("link", name="Edit", exact=True).click()
    expect(program_text(page)).to_contain_text("gpio_open(13, GPIO_OUT)")
    expect(page.get_by_role("combobox", name="Board")).to_have_value("virtual-2")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("kept")
    write(page, RIGHT.replace("12", "14"))
    expected_text(page).fill("pin 14: period 200 ms")
    expect(page.locator(".checked")).to_have_attribute("data-ok", "true")
    page.get_by_role("button", name="Install on virtual-2").click()
    installed = page.get_by_role("region", name="installation")
    expect(installed.locator(".evidence")).to_be_visible()
    pin = installed.locator("li[data-pin='14']")
    expect(pin).not_to_have_attribute("data-edges", "0")
    expect(pin).not_to_have_attribute("data-edges", str(pin.get_attribute("data-edges")))
    assert "gpio_open(14," in str(host.client.get("/v1/devices/virtual-2/apps/kept")["source"])
    installed.get_by_role("button", name="Undo the installation").click()
    until(lambda: "gpio_open(13," in str(host.client.get("/v1/devices/virtual-2/apps/kept")["source"]))
    list(host.client.stream("/v1/apps/kept/remove", {"devices": ["virtual-2"]}))


FILES = """#line 1 "main.c"
#include "microclaw.h"
#line 1 "lib/lamp.h"
static int led;

static void begin(void) {
    led = gpio_open(12, GPIO_OUT);
    gpio_sett(led, 1);
}
#line 3 "main.c"
void on_init(void) { begin(); }
"""


def test_a_finding_of_another_file_is_at_its_line_and_files_are_jumped_to(page: Page) -> None:
    open_editor(page)
    expect(page.get_by_role("group", name="Files")).to_have_count(0)
    write(page, FILES)
    files = page.get_by_role("group", name="Files").get_by_role("button")
    expect(files).to_have_text(["main.c", "lib/lamp.h"])
    finding = page.get_by_role("list", name="Findings").get_by_role("button").first
    expect(finding).to_contain_text("lib/lamp.h, line 5")
    active = page.locator(".code.c .cm-activeLine.cm-line")
    finding.click()
    expect(active).to_contain_text("gpio_sett")
    expect(page.locator(".cm-lintRange-error")).to_contain_text("gpio_sett")
    files.nth(1).click()
    expect(active).to_have_text("static int led;")
    files.nth(0).click()
    expect(active).to_have_text('#include "microclaw.h"')


def test_an_installed_programs_own_wiring_is_tried_and_installed_again(host: PageHost, page: Page) -> None:
    wiring = '[lamp]\npart = "led"\npin = 15\n'
    body = {"name": "wired", "source": RIGHT.replace("12", "15"), "wiring": wiring}
    assert isinstance(list(host.client.stream("/v1/devices/virtual-2/apps", body))[-1], StreamResult)
    page.goto(f"{host.url}/editor/virtual-2/wired")
    expect(page.locator("details.wiring > summary")).to_have_text("Wiring: its own")
    expect(page.get_by_role("textbox", name="A wiring.toml")).to_have_value(re.compile("lamp"))
    expect(page.locator("g.part[data-id=lamp]")).to_be_visible()
    with page.expect_request("**/v1/programs/try") as tried:
        page.get_by_role("button", name="Try", exact=True).click()
    asked = json.loads(tried.value.post_data or "")
    assert parse_wiring(asked["wiring"]) == parse_wiring(wiring)
    list(host.client.stream("/v1/apps/wired/remove", {"devices": ["virtual-2"]}))


def test_the_keyboard_leaves_the_text_and_a_superseded_check_is_ended(page: Page) -> None:
    open_editor(page)
    content = program_text(page)
    content.click()
    expect(content).to_be_focused()
    page.keyboard.press("Tab")
    expect(content).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("int a;")  # one step to take back, however slow the machine
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
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/v1/programs/check")):
        write(page, WRONG)


COUNTER = """from machine import I2C, Pin
import ssd1306, time
button = Pin(4, Pin.IN, Pin.PULL_UP)
led = Pin(2, Pin.OUT)
screen = ssd1306.SSD1306_I2C(128, 64, I2C(0, sda=Pin(8), scl=Pin(9)))
count = 0
before = 1
while True:
    now = button.value()
    if before and not now:
        count += 1
        led.value(count % 2)
    before = now
    screen.fill(0)
    screen.text("Presses %d" % count, 0, 0)
    screen.show()
    time.sleep_ms(20)
"""
COUNTER_WIRING = """[btn1]
part = "button"
pin = 4
[led1]
part = "led"
pin = 2
[oled1]
part = "ssd1306"
"""
COUNTER_EXPECT = """for 10 s
press btn1 at 2 s for 200 ms
press btn1 at 4 s for 200 ms
screen: "Presses 2" within 5 s
pin 2: high at 7 s
"""


def seek(page: Page, ms: int) -> None:
    page.get_by_role("slider", name="moment of the trial").fill(str(ms))


def test_a_trial_is_played_on_the_bench_and_the_led_is_lit_when_its_time_says_so(page: Page) -> None:
    go(page, "Editor")
    page.get_by_role("combobox", name="Board").select_option("")
    page.get_by_role("combobox", name="Language").select_option("python")
    write(page, COUNTER)
    expected_text(page).fill(COUNTER_EXPECT)
    page.locator("details.wiring > summary").click()
    wiring = page.get_by_role("textbox", name="A wiring.toml")
    wiring.fill("[led1]\npart = 'led'\npin = 99\n")
    expect(page.get_by_role("alert")).to_contain_text("99")
    wiring.fill(COUNTER_WIRING)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("g.part[data-id=oled1]")).to_be_visible()
    page.get_by_role("button", name="Try", exact=True).click()
    player = page.get_by_role("group", name="player")
    expect(player).to_be_visible()
    light = page.locator("g.part[data-id=led1] path.glow").first
    for ms, opacity, text in ((1500, "0", "Presses 0"), (3000, "1", "Presses 1"), (4500, "0", "Presses 2")):
        seek(page, ms)
        expect(light).to_have_attribute("opacity", opacity)
        expect(page.locator("g.part[data-id=oled1]")).to_have_attribute("aria-label", re.compile(f"shows “{text}”"))
    seek(page, 3000)
    expect(light).to_have_attribute("opacity", "1")
    answers = page.get_by_role("list", name="answers of the trial").get_by_role("listitem")
    expect(answers.nth(0)).to_contain_text("met in the trial")
    expect(answers.nth(1)).to_contain_text("not met")
    answers.nth(1).get_by_role("button").click()
    expect(player.locator("output")).to_have_attribute("data-ms", "7000.000")
    expect(light).to_have_attribute("opacity", "0")


BOUNCING = {
    "parts": [
        {"pins": [{"gpio": 4, "use": "input"}], "attributes": {"bounce_ms": 3}},
        {"pins": [{"gpio": 2, "use": "output"}], "attributes": {}},
    ],
    "changes": [[2_000, "btn1", {"state": {"pressed": 1}}]],
    "levels": [[0, 4, 1, 255], [2_000, 4, 0, 0], [2_000.5, 4, 1, 255], [2_003, 4, 0, 0]]
    + [[2_003, 2, 1, 255], [2_004, 2, 0, 0], [2_200, 4, 1, 255]],
}


def test_the_bounces_of_a_button_are_one_step_of_the_player(page: Page) -> None:
    steps = page.evaluate(
        "import('/page/play.js').then(({ stepsOf }) => stepsOf(PLAY))".replace("PLAY", json.dumps(BOUNCING))
    )
    assert steps == [2_000, 2_003, 2_004, 2_200]


TOGGLE = """from machine import Pin
from time import sleep_ms
button = Pin(4, Pin.IN, Pin.PULL_UP)
lamp = Pin(2, Pin.OUT)
before = 1
while True:
    now = button.value()
    if before and not now:
        lamp.toggle()
    before = now
    sleep_ms(20)
"""


def test_what_a_trial_pressed_and_what_followed_is_seen_at_once(page: Page) -> None:
    go(page, "Editor")
    page.get_by_role("combobox", name="Board").select_option("")
    page.get_by_role("combobox", name="Language").select_option("python")
    write(page, TOGGLE)
    page.get_by_role("button", name="Try", exact=True).click()
    pressed = page.get_by_role("list", name="pressed").get_by_role("listitem")
    expect(pressed).to_contain_text(re.compile(r"pressed pin 4 .* on pin 2"))
    expect(page.get_by_role("region", name="trial").locator(".step").last).to_contain_text("nothing moved by itself")


def test_the_player_goes_by_the_keyboard_alone(page: Page) -> None:
    open_editor(page)
    write(page, RIGHT)
    expected_text(page).focus()
    page.get_by_role("button", name="Try", exact=True).focus()
    page.keyboard.press("Enter")
    player = page.get_by_role("group", name="player")
    expect(player).to_be_visible()
    clock = player.locator("output")
    player.get_by_role("button", name="To the begin").focus()
    page.keyboard.press("Enter")
    expect(clock).to_have_attribute("data-ms", "0.000")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(player.get_by_role("button", name="To the next edge")).to_be_focused()
    page.keyboard.press("Space")
    expect(clock).not_to_have_attribute("data-ms", "0.000")
    first = float(clock.get_attribute("data-ms") or 0)
    page.keyboard.press("Space")
    until(lambda: abs(float(clock.get_attribute("data-ms") or 0) - first - 100) < 1)
    slider = player.get_by_role("slider", name="moment of the trial")
    slider.focus()
    page.keyboard.press("End")
    expect(clock).not_to_have_attribute("data-ms", "0.000")
    page.keyboard.press("Home")
    expect(clock).to_have_attribute("data-ms", "0.000")
    player.get_by_role("button", name="Play", exact=True).focus()
    page.keyboard.press("Enter")
    expect(clock).not_to_have_attribute("data-ms", "0.000")
    page.keyboard.press("Enter")
    expect(player.get_by_role("button", name="Play", exact=True)).to_be_focused()
