"""Expectations on the real compiler and the real virtual board."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.programs.conftest import tried

BLINK = """#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    for (int i = 0; i < 100000; i++) {
        gpio_set(led, 1);
        delay(500);
        gpio_set(led, 0);
        delay(500);
    }
}
"""
TOGGLE = """#include "microclaw.h"
int main(void) {
    int button = gpio_open(4, GPIO_IN | GPIO_PULLUP), led = gpio_open(2, GPIO_OUT);
    int was = 1, stable = 1, on = 0;
    unsigned changed = millis();
    for (;; delay(3)) {
        int now = gpio_get(button);
        if (now != was) {
            was = now;
            changed = millis();
        }
        if (now != stable && millis() - changed >= 25) {
            stable = now;
            if (!stable) gpio_set(led, on = !on);
        }
    }
}
"""


LEAKING = "#include <stdlib.h>\n" + BLINK.replace(
    "gpio_set(led, 1);", "volatile char *p = malloc(8); if (p) *p = 1; gpio_set(led, 1);"
)
LATE = BLINK.replace(
    "for (int", "delay(5000);\n    int other = gpio_open(5, GPIO_OUT);\n    gpio_close(other);\n    for (int"
)
SENSOR = """#include "microclaw.h"
int main(void) {
    int i2c = i2c_open(8, 9);
    for (;; delay(1000)) {
        bme280_t air;
        if (bme280_read(i2c, 0x76, &air) == 0) printf("temp %.0f\\n", air.temperature_c);
    }
}
"""


HEARTBEAT = """#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    for (int beat = 0;; beat++) {
        gpio_set(led, 1);
        delay(100);
        gpio_set(led, 0);
        delay(beat % 2 ? 700 : 100);
    }
}
"""


# A program, and its expectations with the answer of each: one trial for all of them.
STILL = '#include "microclaw.h"\nvoid on_init(void) { gpio_open(7, GPIO_OUT); gpio_open(8, GPIO_IN); }\n'
LINES: dict[str, tuple[str, dict[str, str]]] = {
    "a pin that the program never opens meets nothing": (
        BLINK,
        {
            "pin 2: period 1 s ± 5 %, duty 50 %": "met",
            "pin 5: low at 4 s": "not met",
            "pin 5: never high": "not met",
            "pin 2: never high while pin 5 high": "not met",
            "when pin 4 falls: pin 5 stays for 300 ms": "not met",
            "pin 6: rises at 2 s": "not met",
            "set pin 6 = 1 at 2 s": "",
        },
    ),
    "nor one before it is opened": (
        LATE,
        {"pin 5: low at 4 s": "not met", "pin 5: never high": "not met", "pin 5: low at 6 s": "met"},
    ),
    "a sensor that is warmed": (
        SENSOR,
        {
            'log every 1 s ~ "temp .*"': "met",
            "i2c.bme280.temperature = 31 at 4 s": "",
            'log ~ "temp 31" from 4 s until 7 s': "met",
            'log ~ "temp 88" from 4 s until 7 s': "not met",
        },
    ),
    "a heartbeat": (
        HEARTBEAT,
        {
            "pin 2: 2 pulses within 1 s": "met",
            "pin 2: 3 pulses within 1 s": "not met",
            "pin 2: rises at 0 s, 200 ms, 1 s, 1 s 200 ms": "met",
            "pin 2: rises at 0 s, 300 ms": "not met",
        },
    ),
    "one that rightly does nothing is met once something came to it": (
        STILL,
        {
            "set pin 8 = 1 at 2 s, 4 s": "",
            'log never ~ "error"': "met",
            "pin 7: never high, 0 pulses": "met",
            "pin 7: low at 3 s": "untried",
            "when pin 8 falls: pin 7 stays for 300 ms": "untried",
        },
    ),
    "nothing moved is never met": (
        STILL,
        dict.fromkeys(
            (
                "pin 7: never high",
                "pin 7: low at 3 s",
                'log never ~ "error"',
                "pin 7: never high while pin 8 high",
                "pin 7: 0 pulses",
            ),
            "untried",
        ),
    ),
}


@pytest.mark.parametrize("name", LINES)
async def test_each_line_has_its_own_answer(name: str, build_cache: Path) -> None:
    source, lines = LINES[name]
    trial = await tried(source, build_cache, "\n".join((*lines, "for 10 s")))
    answers = {one.asked.text: one.trial for one in trial.expected}
    assert answers == {line: answer for line, answer in lines.items() if answer}
    assert (trial.ok, trial.proof) == (False, "untried" if source == STILL else "not met")


@pytest.mark.parametrize(
    ("source", "old", "new", "expect"),
    [
        (BLINK, "i < 100000", "i < 70", "pin 2: period 1 s, duty 50 %"),  # it ends in the soak
        (LEAKING, "", "", "pin 2: period 1 s"),
        (TOGGLE, ">= 25", ">= 0", "when pin 4 falls: pin 2 toggles within 60 ms"),  # the button bounces by itself
    ],
)
async def test_a_wrong_program_is_refused_with_what_was_seen(
    source: str, old: str, new: str, expect: str, build_cache: Path
) -> None:
    trial = await tried(source.replace(old, new), build_cache, expect)
    assert (trial.ok, trial.proof) == (False, "failed" if source == LEAKING else "not met"), trial.error
    assert trial.error
    assert trial.next_step


SAFETY = """#include "microclaw.h"
static int left, right, motor, same;
static void look(void) {
    static int was;
    int both = !gpio_get(left) && !gpio_get(right);
    same = both == was ? same + 1 : 0;
    was = both;
    if (same == 5) gpio_set(motor, both);
}
void on_init(void) {
    left = gpio_open(4, GPIO_IN | GPIO_PULLUP);
    right = gpio_open(5, GPIO_IN | GPIO_PULLUP);
    motor = gpio_open(2, GPIO_OUT);
    every(5, look);
}
"""


async def test_a_button_is_pressed_and_released_while_the_other_is_held(build_cache: Path) -> None:
    lines = [
        f"when pin {pin} {edge} while pin {other} low: pin 2 {effect} within 100 ms"
        for pin, other in ((4, 5), (5, 4))
        for edge, effect in (("falls", "rises"), ("rises", "falls"))
    ]
    trial = await tried(SAFETY, build_cache, "\n".join(lines))
    assert trial.ok, trial.error


async def test_a_clock_that_starts_again_is_named_with_the_line_that_shows_it(build_cache: Path) -> None:
    source = """from machine import Pin
import time
led = Pin(2, Pin.OUT)
last = time.ticks_ms()
while True:
    now = time.ticks_ms()
    if now >= last + 500:
        last = now
        led.value(not led.value())
    time.sleep_ms(10)
"""
    expect = "pin 2: period 1.01 s +- 5 %\nfor 5 s\nsoak 0 s"
    trial = await tried(source, build_cache, expect)
    assert (trial.ok, trial.proof) == (False, "not met")
    line = (trial.next_step or "").rpartition("with the line: ")[2]
    assert (await tried(source, build_cache, f"{expect}\n{line}")).proof == "not met"


async def test_the_boards_uptime_is_named_only_to_a_program_that_reads_a_clock(build_cache: Path) -> None:
    expect = "pin 2: period 3 s\nsoak 0 s"
    waiting = await tried(BLINK, build_cache, expect)
    reading = await tried(TOGGLE, build_cache, expect)
    assert [(trial.proof, "uptime" in (trial.next_step or "")) for trial in (waiting, reading)] == [
        ("not met", False),
        ("not met", True),
    ]


async def test_lines_that_are_lost_at_the_end_of_a_trial_are_heard_of(build_cache: Path) -> None:
    source = """import time
time.sleep_ms(2700)
for i in range(400):
    print("ERROR" if i == 399 else i)
time.sleep_ms(1000)
print("after the trial")
time.sleep(9)
"""
    trial = await tried(source, build_cache, 'log never ~ "ERROR"\nfor 3 s\nsoak 0 s')
    assert trial.proof == "untried"
    assert trial.error


async def test_a_pin_that_nothing_moved_is_pressed_after_the_trial(build_cache: Path) -> None:
    trial = await tried(TOGGLE, build_cache)
    assert trial.ok
    assert trial.edges == ()
    assert len(trial.probes) == 1
    assert "on pin 2" in trial.probes[0]
    once = await tried(TOGGLE.replace("on = !on", "1"), build_cache)
    assert re.search(r"1 edge on pin 2, at 0\.\d+ s$", once.probes[0])  # since the press
    deaf = await tried(TOGGLE.replace("if (!stable) gpio_set(led, on = !on);", ""), build_cache)
    assert "untried" in deaf.probes[0]
    crashing = await tried(TOGGLE.replace("gpio_set(led, on = !on)", "__builtin_trap()"), build_cache)
    assert not crashing.ok
    assert crashing.error


async def test_a_trial_that_trapped_proves_nothing(build_cache: Path) -> None:
    trapping = """#include "microclaw.h"
static int lit, led, turns;
static volatile int zero;
static void turn(void) { gpio_set(led, lit = !lit); if (++turns == 20) lit = turns / zero; }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, turn); }
"""
    trial = await tried(trapping, build_cache, "pin 2: rises at 100 ms\nfor 10 s")
    assert trial.expected[0].answer == "met in the trial"
    assert (trial.ok, trial.proof, trial.ended) == (False, "failed", "trapped")


LEADS_IN_C = """#include "microclaw.h"
int main(void) {
    int leader = gpio_open(6, GPIO_OUT), follower = gpio_open(2, GPIO_OUT);
    for (;; delay(700)) {
        gpio_set(leader, 1);
        gpio_set(follower, 0);
        delay(700);
        gpio_set(leader, 0);
        gpio_set(follower, 1);
    }
}
"""
LEADS_IN_PYTHON = """from machine import Pin
import time
leader = Pin(6, Pin.OUT)
follower = Pin(2, Pin.OUT)
while True:
    leader.on()
    follower.off()
    time.sleep(0.7)
    leader.off()
    follower.on()
    time.sleep(0.7)
"""


@pytest.mark.parametrize("source", [LEADS_IN_C, LEADS_IN_PYTHON], ids=["c", "python"])
async def test_a_trigger_that_the_program_drives_is_its_own_and_is_not_pressed(source: str, build_cache: Path) -> None:
    expect = "when pin 6 falls: pin 2 rises within 50 ms\nsoak 0 s"
    met = await tried(source, build_cache, expect)
    assert met.ok, met.error
    assert met.first_input_ms is None
    follows_nothing = source.replace("gpio_set(follower, 1)", "gpio_set(follower, 0)").replace("follower.on()", "")
    assert (await tried(follows_nothing, build_cache, expect)).proof == "not met"
    rests = source.replace("gpio_set(leader, 0)", "gpio_set(leader, 1)").replace("leader.off()", "leader.on()")
    assert (await tried(rests, build_cache, expect)).proof == "untried"
