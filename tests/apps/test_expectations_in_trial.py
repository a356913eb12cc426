"""Expectations on the real compiler and the real virtual board."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.apps.conftest import tried

from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.py.compile import build

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
ON_PRESS = "when pin 4 falls: pin 2 toggles within 60 ms"
WARMED = 'log every 1 s ~ "temp .*"\ni2c.bme280.temperature = 31 at 4 s\nlog ~ "temp 31" from 4 s until 7 s'


async def test_a_met_expectation_says_what_was_seen(build_cache: Path) -> None:
    trial = await tried(BLINK, build_cache, "pin 2: period 1 s ± 5 %, duty 50 %")
    assert trial.ok
    assert trial.proof == "met in the trial"
    assert trial.expected[0].answer == "met in the trial"
    assert trial.expected[0].found.startswith("period 1 s")
    assert trial.board_ms > 60_000  # a program that stops after a minute would be seen


@pytest.mark.parametrize(
    ("source", "old", "new", "expect"),
    [
        (BLINK, "gpio_open(2", "gpio_open(4", "pin 2: period 1 s, duty 50 %"),
        (BLINK, "(500);\n        gpio_set(led, 0)", "(250);\n        gpio_set(led, 0)", "pin 2: period 1 s, duty 50 %"),
        (BLINK, "i < 100000", "i < 70", "pin 2: period 1 s, duty 50 %"),
        (LEAKING, "", "", "pin 2: period 1 s"),
        # Of a button, which is pressed and bounces by itself.
        (TOGGLE, ">= 25", ">= 0", ON_PRESS),
        (TOGGLE, "millis() - changed >= 25", "millis() >= changed + 25", ON_PRESS),
        # A pin that the program never opens meets nothing.
        (BLINK, "", "", "pin 5: low at 4 s"),
        (BLINK, "", "", "pin 5: never high"),
        (BLINK, "", "", "pin 2: never high while pin 5 high"),
        (BLINK, "", "", "when pin 4 falls: pin 5 stays for 300 ms"),
        (BLINK, "", "", "set pin 5 = 1 at 2 s\npin 5: rises at 2 s"),
        (LATE, "", "", "pin 5: low at 4 s"),  # before it is opened
        (LATE, "", "", "pin 5: never high"),
        (SENSOR, "air.temperature_c)", "air.temperature_c * 1.8f + 32)", WARMED),
    ],
)
async def test_a_wrong_program_is_refused_with_what_was_seen(
    source: str, old: str, new: str, expect: str, build_cache: Path
) -> None:
    trial = await tried(source.replace(old, new), build_cache, expect + "\nsoak 0 s" * ("pin 5" in expect))
    assert (trial.ok, trial.proof) == (False, "failed" if source == LEAKING else "not met")
    assert trial.error
    assert trial.next_step


@pytest.mark.parametrize(
    ("source", "expect"), [(TOGGLE, ON_PRESS), (SENSOR, WARMED), (LATE, "pin 5: low at 6 s\nsoak 0 s")]
)
async def test_a_right_program_is_met(source: str, expect: str, build_cache: Path) -> None:
    trial = await tried(source, build_cache, expect)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error


MICROS = """
#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    unsigned long last = micros();
    START
    for (;; delay(10)) if (IS_DUE) { last = micros(); gpio_toggle(led); }
}
"""
TICKS = """from machine import Pin
import time
led = Pin(2, Pin.OUT)
last = time.ticks_ms()
while True:
    now = time.ticks_ms()
    if IS_DUE:
        last = now
        led.value(not led.value())
    time.sleep_ms(10)
"""


@pytest.mark.parametrize(
    ("source", "start", "is_due", "when"),
    [
        (MICROS, "", "micros() >= last + 500000", "71.6 min, when micros() starts again"),
        (MICROS, "unsigned m = millis();", "millis() >= m + 500 && (m = millis(), 1)", "49.7 days, when millis()"),
        (MICROS, "", "micros() - last >= 500000", None),
        (TICKS, "", "now - last >= 500", ""),
        (TICKS, "", "now >= last + 500", ""),
        (TICKS, "", "time.ticks_diff(now, last) >= 500", None),
    ],
)
async def test_the_clock_that_starts_again_is_named(
    source: str, start: str, is_due: str, when: str | None, build_cache: Path
) -> None:
    source = source.replace("START", start).replace("IS_DUE", is_due)
    expect = "pin 2: period 1.01 s +- 5 %\nfor 5 s\nsoak 0 s"
    trial = await tried(source, build_cache, expect)
    assert trial.ok == (when is None), trial.error
    assert trial.proof == ("met in the trial" if when is None else "not met")
    if when is not None:
        assert trial.error
        assert when in trial.error
        line = (trial.next_step or "").rpartition("with the line: ")[2]
        assert (await tried(source, build_cache, f"{expect}\n{line}")).proof == "not met"


async def test_only_what_reads_a_clock_is_tried_again(build_cache: Path) -> None:
    for source, clocks in (
        ("import time\ntime.sleep(1)\n", ()),
        ("import time\nprint(time.ticks_us(), time.ticks_ms())\n", ("ticks_ms", "ticks_us")),
    ):
        image = await build(source, "app", board=load_board("virtual"), cache=BuildCache(build_cache))
        assert image.clocks == clocks


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


@pytest.mark.parametrize(("degrees", "right"), [(90, True), (60, False)])
async def test_an_exact_duty_has_a_tolerance_in_proportion(degrees: int, right: bool, build_cache: Path) -> None:
    source = f"#include <Servo.h>\nServo s;\nvoid setup() {{ s.attach(9); s.write({degrees}); }}\nvoid loop() {{}}\n"
    trial = await tried(source, build_cache, "pwm 9: 7.4 % at 1.5 s\nfor 3 s")
    assert trial.ok == right
    assert (await tried(source, build_cache, "pwm 9: 7.4 % at 1.5 s +- 2.5 %\nfor 3 s")).ok


async def test_nothing_moved_is_never_met(build_cache: Path) -> None:
    still = '#include "microclaw.h"\nvoid on_init(void) { gpio_open(7, GPIO_OUT); gpio_open(8, GPIO_IN); }\n'
    for expect in (
        "pin 7: never high",
        "pin 7: low at 3 s",
        'log never ~ "error"',
        "pin 7: never high while pin 8 high",
        "pin 7: 0 pulses",
        "when pin 8 falls: pin 7 stays for 300 ms",
    ):
        trial = await tried(still, build_cache, expect)
        assert trial.expected[0].trial == "untried", expect
        assert not trial.ok


async def test_a_pin_that_nothing_moved_is_pressed_after_the_trial(build_cache: Path) -> None:
    trial = await tried(TOGGLE, build_cache)
    assert trial.ok
    assert trial.edges == ()
    assert len(trial.probes) == 1
    assert "on pin 2" in trial.probes[0]
    deaf = await tried(TOGGLE.replace("if (!stable) gpio_set(led, on = !on);", ""), build_cache)
    assert "untried" in deaf.probes[0]


async def test_a_press_that_crashes_the_program_fails_its_trial(build_cache: Path) -> None:
    source = TOGGLE.replace("gpio_set(led, on = !on)", "__builtin_trap()")
    trial = await tried(source, build_cache)
    assert not trial.ok
    assert trial.error


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
