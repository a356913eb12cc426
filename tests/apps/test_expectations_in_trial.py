"""Expectations on the real compiler and the real virtual board."""

from __future__ import annotations

import pytest

from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.wasm import BuildCache, compile_module

BOARD = load_board("virtual")
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


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    return BuildCache(tmp_path_factory.mktemp("cache"))


async def tried(source: str, expect: str | None, cache: BuildCache) -> Trial:
    image = await compile_module(source, BOARD, name="program", cache=cache)
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(expect) if expect else None))


async def test_a_met_expectation_says_what_was_seen(cache: BuildCache) -> None:
    trial = await tried(BLINK, "pin 2: period 1 s ± 5 %, duty 50 %", cache)
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
    source: str, old: str, new: str, expect: str, cache: BuildCache
) -> None:
    trial = await tried(source.replace(old, new), expect, cache)
    assert (trial.ok, trial.proof) == (False, "failed" if source == LEAKING else "not met")
    assert trial.error
    assert trial.next_step


@pytest.mark.parametrize(
    ("source", "expect"), [(TOGGLE, ON_PRESS), (SENSOR, WARMED), (LATE, "pin 5: low at 6 s\nsoak 0 s")]
)
async def test_a_right_program_is_met(source: str, expect: str, cache: BuildCache) -> None:
    trial = await tried(source, expect, cache)
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


@pytest.mark.parametrize(
    ("start", "is_due", "when", "ok"),
    [
        ("", "micros() >= last + 500000", "71.6 min, when micros() starts again", False),
        (
            "unsigned m = millis();",
            "millis() >= m + 500 && (m = millis(), 1)",
            "49.7 days, when millis()",
            False,
        ),
        ("", "micros() - last >= 500000", "", True),
    ],
)
async def test_the_clock_that_starts_again_is_named(
    start: str, is_due: str, when: str, ok: bool, cache: BuildCache
) -> None:
    source = MICROS.replace("START", start).replace("IS_DUE", is_due)
    expect = "pin 2: period 1.02 s +- 5 %\nfor 5 s"
    trial = await tried(source, expect, cache)
    assert trial.ok == ok, trial.error
    assert when in (trial.error or "")
    if not ok:
        line = (trial.next_step or "").rpartition("with the line: ")[2]
        assert (await tried(source, f"{expect}\n{line}", cache)).proof == "not met"


@pytest.mark.parametrize(("degrees", "right"), [(90, True), (60, False)])
async def test_an_exact_duty_has_a_tolerance_in_proportion(degrees: int, right: bool, cache: BuildCache) -> None:
    source = f"#include <Servo.h>\nServo s;\nvoid setup() {{ s.attach(9); s.write({degrees}); }}\nvoid loop() {{}}\n"
    trial = await tried(source, "pwm 9: 7.4 % at 1.5 s\nfor 3 s", cache)
    assert trial.ok == right
    assert (await tried(source, "pwm 9: 7.4 % at 1.5 s +- 2.5 %\nfor 3 s", cache)).ok


async def test_nothing_moved_is_never_met(cache: BuildCache) -> None:
    still = '#include "microclaw.h"\nvoid on_init(void) { gpio_open(7, GPIO_OUT); gpio_open(8, GPIO_IN); }\n'
    for expect in (
        "pin 7: never high",
        "pin 7: low at 3 s",
        'log never ~ "error"',
        "pin 7: never high while pin 8 high",
        "pin 7: 0 pulses",
        "when pin 8 falls: pin 7 stays for 300 ms",
    ):
        trial = await tried(still, expect, cache)
        assert trial.expected[0].trial == "untried", expect
        assert not trial.ok


async def test_a_pin_that_nothing_moved_is_pressed_after_the_trial(cache: BuildCache) -> None:
    trial = await tried(TOGGLE, None, cache)
    assert trial.ok
    assert trial.edges == ()
    assert len(trial.probes) == 1
    assert "on pin 2" in trial.probes[0]
    deaf = await tried(TOGGLE.replace("if (!stable) gpio_set(led, on = !on);", ""), None, cache)
    assert "untried" in deaf.probes[0]


async def test_a_press_that_crashes_the_program_fails_its_trial(cache: BuildCache) -> None:
    source = TOGGLE.replace("gpio_set(led, on = !on)", "__builtin_trap()")
    trial = await tried(source, None, cache)
    assert not trial.ok
    assert trial.error


async def test_a_trial_that_trapped_proves_nothing(cache: BuildCache) -> None:
    trapping = """#include "microclaw.h"
static int lit, led, turns;
static volatile int zero;
static void turn(void) { gpio_set(led, lit = !lit); if (++turns == 20) lit = turns / zero; }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, turn); }
"""
    trial = await tried(trapping, "pin 2: rises at 100 ms\nfor 10 s", cache)
    assert trial.expected[0].answer == "met in the trial"
    assert (trial.ok, trial.proof, trial.ended) == (False, "failed", "trapped")
