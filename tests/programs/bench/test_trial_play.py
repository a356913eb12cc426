"""A trial is played on the bench: at each moment the parts, screens, LEDs and pins are what the trial's board had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.interfaces.api.people_host import PeopleHost

from microclaw.hardware.screens.screen import unpack_screen
from microclaw.hardware.screens.text_reading import ScreenReader
from microclaw.programs.bench.trial_play import MAX_BYTES, MAX_CHANGES, MAX_PICTURES
from microclaw.programs.proof.framebuf_font import read_framebuf_font
from microclaw.wire.host_api import StreamResult

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNTER = """from machine import I2C, Pin
import ssd1306, time
button = Pin(4, Pin.IN, Pin.PULL_UP)
led = Pin(2, Pin.OUT)
screen = ssd1306.SSD1306_I2C(128, 64, I2C(0, sda=Pin(8), scl=Pin(9)))
count = 0
before = 1
def draw():
    screen.fill(0)
    screen.text("Presses %d" % count, 0, 0)
    screen.show()
draw()
while True:
    now = button.value()
    if before and not now:
        count += 1
        led.value(count % 2)
        draw()
    before = now
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
SERVO = """from machine import ADC, PWM, Pin
import time
pot = ADC(Pin(1), atten=ADC.ATTN_11DB)
servo = PWM(Pin(7), freq=50)
while True:
    servo.duty_ns(500_000 + pot.read_u16() * 1_900_000 // 65_535)
    time.sleep_ms(20)
"""
SERVO_WIRING = """[pot1]
part = "potentiometer"
pin = 1
[servo1]
part = "servo"
signal = 7
"""
SWITCH = """#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    int button = gpio_open(4, GPIO_IN | GPIO_PULLUP);
    int was_pressed = 0;
    for (;;) {
        int pressed = !gpio_get(button);
        if (pressed && !was_pressed) gpio_toggle(led);
        was_pressed = pressed;
        delay(20);
    }
}
"""
STRIP = """import neopixel, time
from machine import Pin
strip = neopixel.NeoPixel(Pin(48), 3)
while True:
    for color in ((255, 0, 0), (0, 0, 255)):
        strip[0] = color
        strip.write()
        time.sleep_ms(500)
"""
STRIP_WIRING = """[strip1]
part = "ws2812"
data = 48
count = 3
"""


async def play(host: PeopleHost, source: str, language: str, wiring: str, **more: Any) -> Mapping[str, Any]:
    """Try a program; return the whole result, whose `play` is what the bench plays."""
    body = {"source": source, "language": language, "wiring": wiring, "play": True, **more}
    end = (await host.stream("gus", "/v1/programs/try", body))[-1]
    assert isinstance(end, StreamResult), end
    result: Mapping[str, Any] = end.value
    return result


def state_at(played: Mapping[str, Any], part: str, t_ms: float) -> dict[str, Any]:
    """Return what a part is at a moment, as a page works it out."""
    first = next(wired for wired in played["parts"] if wired["id"] == part)
    state = {**first["state"], "screen": first["screen"], "colors": first["colors"]}
    for change_ms, part_id, changed in played["changes"]:
        if part_id == part and change_ms <= t_ms:
            state |= {**changed.get("state", {}), **{key: changed[key] for key in changed if key != "state"}}
    return state


def duty_at(played: Mapping[str, Any], gpio: int, t_ms: float) -> int:
    rows = [row for row in played["levels"] if row[1] == gpio and row[0] <= t_ms]
    return int(rows[-1][3])


async def text_of(screen: Mapping[str, Any]) -> str:
    picture = unpack_screen(screen["kind"], screen["width"], screen["height"], screen["data"], screen["mark"])
    reading = ScreenReader((await read_framebuf_font(None),)).read(picture)
    assert reading is not None
    return reading.text


async def test_a_press_the_led_and_the_screen_are_played_at_their_moments(host: PeopleHost) -> None:
    result = await play(host, COUNTER, "python", COUNTER_WIRING, expect=COUNTER_EXPECT)
    played = result["play"]
    parts = {part["id"]: part for part in played["parts"]}
    assert [part_id for part_id, part in parts.items() if not part["soldered"]] == ["btn1", "led1", "oled1"]
    assert parts["btn1"]["values"]["pressed"]["sets"] is True
    assert parts["btn1"]["source"] == "counted"
    pressed = [state_at(played, "btn1", t_ms)["pressed"] for t_ms in (0, 1999, 2001, 2199, 2201, 4100, 4300)]
    assert pressed == [0, 0, 1, 1, 0, 1, 0]
    assert [state_at(played, "led1", t_ms)["brightness"] for t_ms in (1990, 2100, 3990, 4100)] == [0, 100, 100, 0]
    assert [duty_at(played, 2, t_ms) for t_ms in (0, 2100, 4100)] == [0, 255, 0]
    assert [duty_at(played, 4, t_ms) for t_ms in (1990, 2100, 2300)] == [255, 0, 255]
    texts = [await text_of(state_at(played, "oled1", t_ms)["screen"]) for t_ms in (1000, 2200, 4200)]
    assert texts == ["Presses 0", "Presses 1", "Presses 2"]
    assert [state_at(played, "oled1", t_ms)["says"] for t_ms in (1000, 4200)] == [
        f"shows “{text}”" for text in texts[::2]
    ]
    states = {line["line"]: line["trial"] for line in result["expected"]}
    assert states == {4: "met in the trial", 5: "not met"}
    assert 4000 <= played["moments"]["4"] <= 4200
    assert played["moments"]["5"] == 7000
    assert (played["cut_ms"], played["for_ms"]) == (None, 10_000)


async def test_a_knob_and_the_servo_that_follows_it_are_played(host: PeopleHost) -> None:
    result = await play(
        host, SERVO, "python", SERVO_WIRING, expect="for 10 s\npot1 = 50 % at 3 s\nservo1: angle 90 deg at 5 s"
    )
    played = result["play"]
    assert [state_at(played, "pot1", t_ms)["position"] for t_ms in (0, 2999, 3001)] == [0, 0, 50]
    assert state_at(played, "servo1", 2900)["angle"] == pytest.approx(0, abs=5)
    assert state_at(played, "servo1", 5000)["angle"] == pytest.approx(90, abs=5)
    assert 0 < duty_at(played, 7, 2900) < duty_at(played, 7, 5000) < 255


async def test_a_program_in_c_is_played_as_one_in_python(host: PeopleHost) -> None:
    wiring = COUNTER_WIRING.partition("[oled1]")[0]
    result = await play(host, SWITCH, "c", wiring, expect="for 10 s\npress btn1 at 2 s for 200 ms\npin 2: 1 edge")
    played = result["play"]
    assert [state_at(played, "btn1", t_ms)["pressed"] for t_ms in (1999, 2100, 2300)] == [0, 1, 0]
    brightness = [state_at(played, "led1", t_ms)["brightness"] for t_ms in (1999, 9999)]
    assert [duty_at(played, 2, t_ms) for t_ms in (1999, 9999)] == [round(share * 2.55) for share in brightness]


async def test_a_strip_is_played_in_its_colors(host: PeopleHost) -> None:
    played = (await play(host, STRIP, "python", STRIP_WIRING, for_ms=2000))["play"]
    assert state_at(played, "strip1", 0)["colors"] == ["000000"] * 3
    moments = [row[0] for row in played["changes"] if "colors" in row[2]]
    colors = [state_at(played, "strip1", t_ms)["colors"] for t_ms in moments[:2]]
    assert colors == [["ff0000", "000000", "000000"], ["0000ff", "000000", "000000"]]


@pytest.mark.parametrize(
    ("act", "least_ms"),
    [("led.toggle()", 9_000), ("screen.fill(0); screen.text(str(time.ticks_ms()), 0, 0); screen.show()", 100)],
)
async def test_a_program_that_changes_every_5_ms_is_cut_and_says_where(
    host: PeopleHost, act: str, least_ms: float
) -> None:
    source = COUNTER.partition("while True:")[0] + f"while True:\n    {act}\n    time.sleep_ms(5)\n"
    played = (await play(host, source, "python", COUNTER_WIRING, for_ms=12_000))["play"]
    assert least_ms <= played["cut_ms"] < played["for_ms"] == 12_000
    assert len(played["changes"]) <= MAX_CHANGES
    assert len(played["levels"]) <= MAX_CHANGES
    assert sum("screen" in row[2] for row in played["changes"]) <= MAX_PICTURES
    assert all(row[0] < played["cut_ms"] for row in (*played["changes"], *played["levels"]))
    assert len(json.dumps([played["changes"], played["levels"]])) <= MAX_BYTES * 1.1


async def test_nobody_pays_for_a_play_that_is_not_asked_for(host: PeopleHost) -> None:
    result = await play(host, STRIP, "python", STRIP_WIRING, for_ms=500, play=False)
    assert "play" not in result


@pytest.mark.parametrize(
    ("more", "ids", "problem"),
    [
        ({"wiring": SERVO_WIRING}, ["pot1", "servo1"], None),
        (
            {"device": "virtual-1", "language": "c", "source": "void on_init(void) {}"},
            ["btn1", "btn2", "pot1", "dht1", "enc1", "kp1"],
            None,
        ),
        ({"wiring": "[led1]\npart = 'led'\npin = 99\n"}, [], "99"),
        ({"wiring": "[led1"}, [], "TOML"),
        ({"wiring": SERVO_WIRING, "source": "while"}, ["pot1", "servo1"], None),
    ],
)
async def test_a_checked_draft_has_the_bench_of_its_trial(
    host: PeopleHost, more: dict[str, Any], ids: list[str], problem: str | None
) -> None:
    body = {"source": "import time\n", "language": "python", "bench": True, **more}
    status, checked = await host.ask("gus", "POST", "/v1/programs/check", body)
    assert status == 200, checked
    bench = checked["bench"]
    assert [part["id"] for part in bench["parts"] if not part["soldered"]] == ids
    assert (bench["message"] is None) == (problem is None)
    assert problem is None or problem in bench["message"]
    assert {"chip", "pins", "layout"} == set(bench["board"])
    assert all(part["source"] == "not read" for part in bench["parts"])
