"""Programs as makers write them, tried: their main, pins' names, waits, pulses, and a sketch's own clock."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import Host, microclaw, until

from microclaw.programs.changes.device_calls import call_device

ECHO = """const int TRIG = 5, ECHO = 18;
void setup() { Serial.begin(9600); pinMode(TRIG, OUTPUT); pinMode(ECHO, INPUT); }
void loop() {
  digitalWrite(TRIG, LOW); delayMicroseconds(2);
  digitalWrite(TRIG, HIGH); delayMicroseconds(10); digitalWrite(TRIG, LOW);
  long duration = pulseIn(ECHO, HIGH);
  Serial.println(duration);
  delay(500);
}
"""
LONG_ECHO = """void setup() { Serial.begin(9600); pinMode(4, INPUT); Serial.println(pulseIn(4, HIGH, 2000000)); }
void loop() { delay(500); }
"""
COMPUTING = """#include <stdio.h>
static int moves;
static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static void hanoi(int n) { if (n) { hanoi(n - 1); moves++; hanoi(n - 1); } }
static int ackermann(int m, int n) {
    return !m ? n + 1 : !n ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}
int main(void) { hanoi(16); printf("%d %d %d\\n", fib(24), moves, ackermann(2, 20)); return 0; }
"""
BUSY_CALLBACK = """#include <microclaw.h>
static void work(void) { unsigned began = millis(); while (millis() - began < 390) micros(); }
int main(void) { every(1000, work); while (1) delay(1000); }
"""
INNER_LOOP = """void setup() { pinMode(4, OUTPUT); }
void loop() { while (true) { digitalWrite(4, HIGH); delay(500); digitalWrite(4, LOW); delay(500); } }
"""
TUNE = """int notes[] = {262, 0, 294};
void setup() { for (int note : notes) { tone(4, note); delay(200); } tone(4, 0); }
void loop() { delay(1000); }
"""
SKETCH = """void setup() { Serial.begin(9600); pinMode(4, OUTPUT); }
void loop() { digitalWrite(4, !digitalRead(4)); Serial.println("tick"); delay(500); }
"""
C_WITH_SETUP = """#include <Arduino.h>
#include <stdlib.h>
int *levels;
void setup(void) { levels = malloc(sizeof *levels); *levels = 0; pinMode(4, OUTPUT); }
void loop(void) { digitalWrite(4, *levels = !*levels); delay(500); }
"""
SHORT_WAITS = """#include <microclaw.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    unsigned began = millis();
    for (volatile unsigned i = 0; i < 20; i++) { usleep(1000); delay(5); delayMicroseconds(1500 + i); usleep(4000); }
    printf("%d\\n", (int)(millis() - began));
    return 0;
}
"""
PULSE = """void setup() { pinMode(4, OUTPUT); }
void loop() { digitalWrite(4, HIGH); delayMicroseconds(300); digitalWrite(4, LOW); delay(100); }
"""
WAVE = """void setup() { pinMode(12, OUTPUT); }
void loop() { digitalWrite(12, HIGH); delayMicroseconds(50); digitalWrite(12, LOW); delayMicroseconds(50); }
"""
PULSES = """void setup() { pinMode(12, OUTPUT); }
void loop() { digitalWrite(12, HIGH); delayMicroseconds(300); digitalWrite(12, LOW); delay(20); }
"""
PULSE_IN = """void setup() { Serial.begin(9600); pinMode(6, INPUT); }
void loop() { unsigned long us = pulseIn(6, HIGH); if (us) Serial.println(us); }
"""
IN_LOOP = """void setup() { Serial.begin(9600); pinMode(6, INPUT); }
void loop() {
  if (digitalRead(6) == HIGH) {
    unsigned long began = micros();
    while (digitalRead(6) == HIGH) {}
    Serial.println(micros() - began);
  }
}
"""
BY_NAPS = """void setup() { Serial.begin(9600); pinMode(6, INPUT); }
void loop() {
  while (digitalRead(6) == LOW) delayMicroseconds(20);
  unsigned long began = micros();
  while (digitalRead(6) == HIGH) delayMicroseconds(20);
  Serial.println(micros() - began);
}
"""
BY_COUNTING = """#include <microclaw.h>
int main(void) {
    int pin = gpio_open(6, GPIO_IN);
    while (1) {
        while (!gpio_get(pin)) {}
        unsigned long began = micros();
        while (gpio_get(pin)) {}
        printf("%lu\\n", micros() - began);
    }
}
"""
THREE = ("--for", "3s")
WIDTHS_US = (600, 1000, 2000, 3000, 12_000)
PINS = "void setup() { Serial.begin(9600); %s }\nvoid loop() { delay(1000); }\n"


def tried(folder: Path, file: str, source: str, *words: str, code: int = 0) -> Any:
    """The document of `microclaw run FILE --try`, which ends with that code."""
    (folder / file).write_text(source)
    done = microclaw(folder / "home", "--json", "run", "--try", str(folder / file), *words)
    assert (done.code, done.json.get("ok", False)) == (code, code == 0), done.out + done.err
    return done.json


# Their main


@pytest.mark.parametrize(("file", "source"), [("echo.ino", ECHO), ("long_echo.ino", LONG_ECHO)])
def test_main_may_take_its_time(tmp_path: Path, file: str, source: str) -> None:
    assert tried(tmp_path, file, source, *THREE)["error"] is None


def test_only_a_main_that_goes_on_for_long_is_warned_of(tmp_path: Path) -> None:
    trial = tried(tmp_path, "computing.c", COMPUTING, *THREE)
    assert (trial["log"], len(trial["warnings"])) == (["46368 65535 43"], 1)
    trial = tried(tmp_path, "inner.ino", INNER_LOOP, *THREE)
    assert (trial["error"], trial["warnings"]) == (None, [])


def test_a_callback_must_still_be_quick(tmp_path: Path) -> None:
    tried(tmp_path, "busy.c", BUSY_CALLBACK, *THREE, code=1)


def test_a_tone_of_0_hz_is_a_rest(tmp_path: Path) -> None:
    duties = [(pin, duty) for _, pin, duty, *_ in tried(tmp_path, "tune.ino", TUNE, *THREE)["pwm"]]
    assert [duty for _, duty in duties if duty] == [128, 128]
    assert duties[-1] == (4, 0)


@pytest.mark.parametrize("source", [SKETCH, C_WITH_SETUP])
def test_setup_and_loop_run_from_a_file_named_c(tmp_path: Path, source: str) -> None:
    assert len(tried(tmp_path, "blink.c", source, *THREE)["edges"]) == 6


@pytest.mark.parametrize("firmware", ["plain", "natives=-usleep"])
def test_waits_from_1_ms_run_without_usleep(tmp_path: Path, firmware: str) -> None:
    assert 230 <= int(tried(tmp_path, "waits.c", SHORT_WAITS, *THREE, "--firmware", firmware)["log"][0]) <= 300


def test_a_pulse_that_timers_cannot_make_stays_refused(tmp_path: Path) -> None:
    refused = tried(tmp_path, "pulse.ino", PULSE, *THREE, "--firmware", "natives=-usleep", code=1)
    assert [found["line"] for found in refused["error"]["diagnostics"]] == [2]


# Their pins' names


@pytest.mark.parametrize(
    ("board", "names", "numbers"),
    [
        (
            "virtual",
            "A0, A7, LED_BUILTIN, SDA, SCL, TX, RX, SS, MOSI, MISO, SCK, T1",
            (1, 8, 2, 8, 9, 43, 44, 10, 11, 13, 12, 1),
        ),
        (
            "esp32-devkitc-v4",
            "A0, A3, A19, SDA, SCL, TX, RX, SS, T0, T9, DAC1, DAC2",
            (36, 39, 26, 21, 22, 1, 3, 5, 4, 32, 25, 26),
        ),
        ("esp32-c6-devkitc-1", "A6, SDA, SCL, TX, RX, MISO", (6, 23, 22, 16, 17, 20)),
    ],
)
def test_constants_are_the_boards(tmp_path: Path, board: str, names: str, numbers: tuple[int, ...]) -> None:
    pins = ", ".join(f"(int){name}" for name in names.split(", "))
    prints = f"for (int pin : {{{pins}}}) Serial.println(pin);"
    trial = tried(tmp_path, "pins.ino", PINS % prints, "--for", "1s", "--board", board)
    assert trial["log"] == [str(number) for number in numbers]


def test_c_has_them_with_arduinos_header(tmp_path: Path) -> None:
    source = "#include <Arduino.h>\nstatic const int pins[] = {A0, SDA};\n"
    source += 'int main(void) { printf("%d\\n", pins[1]); return 0; }\n'
    assert tried(tmp_path, "pins.c", source, "--for", "1s")["log"] == ["8"]


@pytest.mark.parametrize(
    ("own", "number"), [("const int SDA = 21;", 21), ("#define SDA 21", 21), ("enum Wires { TX, SDA };", 1)]
)
def test_a_programs_own_name_wins(tmp_path: Path, own: str, number: int) -> None:
    trial = tried(tmp_path, "pins.ino", f"{own}\n{PINS % 'Serial.println(SDA);'}", "--for", "1s")
    assert trial["log"] == [str(number)]


@pytest.mark.parametrize(("board", "number"), [("virtual", "2"), ("esp32-devkitc-v4", "13")])
def test_a_led_of_ones_own_is_for_boards_without_one(tmp_path: Path, board: str, number: str) -> None:
    guarded = "#ifndef LED_BUILTIN\n#define LED_BUILTIN 13\n#endif\n"
    source = guarded + PINS % "Serial.println(LED_BUILTIN);"
    assert tried(tmp_path, "pins.ino", source, "--for", "1s", "--board", board)["log"] == [number]


def test_a_constant_that_the_board_lacks_is_refused_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pins.ino"
    file.write_text(PINS % "pinMode(LED_BUILTIN, OUTPUT);")
    done = microclaw(tmp_path / "home", "--json", "app", "build", str(file), "--board", "esp32-devkitc-v4")
    assert done.code == 1
    assert [found["line"] for found in done.json["error"]["diagnostics"]] == [1]


# Waits and measurements below a millisecond are as they are written, or a warning says what they are


def gaps_us(trial: Any) -> list[int]:
    times = [edge[0] for edge in trial["edges"]]
    return [round(1000 * (after - before)) for before, after in itertools.pairwise(times)]


def test_50_us_each_way_stay_50_us_but_for_a_few_pauses_that_are_told(tmp_path: Path) -> None:
    trial = tried(tmp_path, "wave.ino", WAVE, "--for", "2s")
    gaps = gaps_us(trial)
    pauses = [gap for gap in gaps if gap > 65]
    assert len(gaps) > 30_000
    assert all(gap >= 50 for gap in gaps)
    assert 10 < len(pauses) < 110
    assert len(trial["warnings"]) == 1


def test_short_pulses_between_long_waits_need_no_warning(tmp_path: Path) -> None:
    trial = tried(tmp_path, "pulses.ino", PULSES, "--for", "2s")
    assert all(300 <= gap <= 310 for gap in gaps_us(trial)[::2])
    assert trial["warnings"] == []


@pytest.mark.parametrize(
    ("file", "source"),
    [("pulse_in.ino", PULSE_IN), ("in_loop.ino", IN_LOOP), ("naps.ino", BY_NAPS), ("counting.c", BY_COUNTING)],
)
def test_a_pulse_is_measured_to_5_percent(tmp_path: Path, file: str, source: str) -> None:
    inputs: list[str] = []
    for at, width_us in enumerate(WIDTHS_US):
        began_us = 300_000 + 200_000 * at
        inputs += ["--set", f"6=1@{began_us / 1000:g}ms", "--set", f"6=0@{(began_us + width_us) / 1000:g}ms"]
    measured = [int(line) for line in tried(tmp_path, file, source, "--for", "2s", *inputs)["log"]]
    assert measured == [pytest.approx(width_us, rel=0.05) for width_us in WIDTHS_US]


def test_short_waits_let_a_board_be_asked_and_dots_in_a_name_become_dashes(host: Host, tmp_path: Path) -> None:
    (tmp_path / "wave.ino").write_text(WAVE)
    ran = host.run("run", str(tmp_path / "wave.ino"), "-d", "virtual-1", "-y", "--json")
    assert (ran.code, len(ran.json["trial"]["warnings"])) == (0, 1)
    assert host.run("app", "uninstall", "wave", "-d", "virtual-1", "-y").code == 0
    assert host.run("--json", "app", "list").json["apps"] == []
    (tmp_path / "my.blink.v2.ino").write_text(INNER_LOOP)
    assert host.run("run", str(tmp_path / "my.blink.v2.ino"), "-d", "virtual-1").code == 0
    assert [app["name"] for app in host.run("--json", "app", "list").json["apps"]] == ["my-blink-v2"]


PUMP = """unsigned long last = 0;
void setup() { pinMode(21, OUTPUT); pinMode(18, OUTPUT); digitalWrite(18, HIGH); }
void loop() {
  if (millis() - last >= 5000UL) { last = millis(); digitalWrite(21, !digitalRead(21)); }
  if (micros() > 3000000UL) digitalWrite(18, LOW);
}
"""
TWO = """unsigned long a = 0, b = 0;
void setup() { pinMode(10, OUTPUT); pinMode(11, OUTPUT); }
void loop() {
  if (millis() - a >= 300) { a = millis(); digitalWrite(10, !digitalRead(10)); }
  if (millis() - b >= 500) { b = millis(); digitalWrite(11, !digitalRead(11)); }
}
"""


def test_a_pump_waits_its_time_on_a_board_that_is_up(host: Host, tmp_path: Path) -> None:
    def call(method: str) -> Any:
        return host.client.call(call_device, device="virtual-1", method=method).result

    until(lambda: call("device.info")["values"]["uptime_ms"] > 6_000)
    (tmp_path / "pump.ino").write_text(PUMP)
    ran = host.run("run", str(tmp_path / "pump.ino"), "-d", "virtual-1", "-y", "--json")
    assert ran.code == 0
    trial = ran.json["trial"]["edges"][:3]
    assert [edge[1:] for edge in trial] == [[18, 1], [18, 0], [21, 1]]
    assert [round(edge[0] - trial[0][0], -2) for edge in trial] == [0, 3_000, 5_000]

    def edges() -> list[list[float]]:
        found = call("edges.read")["edges"]
        return [[edge["t_ms"], edge["pin"], edge["level"]] for edge in found if edge["pin"] in (18, 21)]

    until(lambda: len(edges()) >= 3)
    (on_ms, *on), (off_ms, *off), (pump_ms, *pump) = edges()[:3]
    assert (on, off, pump) == ([18, 1], [18, 0], [21, 1])
    assert on_ms + 1_000 < off_ms < pump_ms  # by the board's clock both would come at once
    host.remove("virtual-1", "pump")


def test_two_leds_by_millis_are_verified(host: Host, tmp_path: Path) -> None:
    (tmp_path / "two.ino").write_text(TWO)
    ran = host.run("run", str(tmp_path / "two.ino"), "-d", "virtual-1", "-y", "--json")
    assert (ran.code, ran.json["verified"], ran.json["evidence"]["kind"]) == (0, True, "counted")
    host.remove("virtual-1", "two")


SINCE_BOOT = """#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    for (;; delay(20)) gpio_set(led, millis() < 10000);
}
"""


def test_a_trial_begins_on_a_board_that_is_up_and_says_how_long(host: Host, tmp_path: Path) -> None:
    (tmp_path / "pump.ino").write_text(PUMP)
    (tmp_path / "boot.c").write_text(SINCE_BOOT)
    (tmp_path / "boot.expect").write_text("pin 2: high at 2 s\nfor 3 s\n")
    first, again = (host.run("run", "--try", str(tmp_path / "pump.ino"), "--json").json for _ in range(2))
    assert first["uptime_ms"] == again["uptime_ms"] > 60_000
    assert first["edges"] == again["edges"] != []
    boot = ("run", "--try", str(tmp_path / "boot.c"), "--expect", str(tmp_path / "boot.expect"), "--json")
    supposing = host.run(*boot)
    assert (supposing.code, supposing.json["proof"]) == (1, "not met")
    (tmp_path / "boot.expect").write_text("pin 2: high at 2 s\nfor 3 s\nuptime 1 s\n")
    asked = host.run(*boot)
    assert (asked.code, asked.json["proof"], asked.json["uptime_ms"]) == (0, "met in the trial", 1_000)


OVERFLOW = """unsigned long changed;
int led = LOW, now = HIGH, stable = HIGH;
void setup() { pinMode(4, INPUT_PULLUP); pinMode(2, OUTPUT); }
void loop() {
  if (digitalRead(4) != now) { now = !now; changed = millis(); }
  if (now != stable && IS_STABLE) { stable = now; if (!stable) { led = !led; digitalWrite(2, led); } }
  delay(10);
}
"""


def test_a_sketch_that_compares_times_wrongly_fails_where_its_clock_starts_again(host: Host, tmp_path: Path) -> None:
    (tmp_path / "button.expect").write_text("when pin 4 falls: pin 2 toggles within 60 ms\n")
    found = {}
    for compared in ("millis() - changed > 20", "millis() > changed + 20"):
        (tmp_path / "button.ino").write_text(OVERFLOW.replace("IS_STABLE", compared))
        tried = host.run(
            "run", "--try", str(tmp_path / "button.ino"), "--expect", str(tmp_path / "button.expect"), "--json"
        )
        found[compared] = (tried.code, tried.json["proof"])
    assert found == {"millis() - changed > 20": (0, "met in the trial"), "millis() > changed + 20": (1, "not met")}
