"""Stories: programs as makers write them are built and tried, each of which was once refused without a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import Host, Ran, microclaw, until

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


def tried(folder: Path, file: str, source: str, *words: str) -> tuple[Ran, Any]:
    """`microclaw run FILE --try`: how it ended, and its document."""
    path = folder / file
    path.write_text(source)
    done = microclaw(folder / "home", "--json", "run", "--try", str(path), "--for", "3s", *words)
    return done, done.json


@pytest.mark.parametrize(
    ("file", "source"),
    [("echo.ino", ECHO), ("long_echo.ino", LONG_ECHO)],
)
def test_main_may_take_its_time(tmp_path: Path, file: str, source: str) -> None:
    done, trial = tried(tmp_path, file, source)
    assert (done.code, trial["ok"], trial["error"]) == (0, True, None)


def test_only_a_main_that_goes_on_for_long_is_warned_of(tmp_path: Path) -> None:
    done, trial = tried(tmp_path, "computing.c", COMPUTING)
    assert (done.code, trial["log"], len(trial["warnings"])) == (0, ["46368 65535 43"], 1)
    done, trial = tried(tmp_path, "inner.ino", INNER_LOOP)
    assert (done.code, trial["error"], trial["warnings"]) == (0, None, [])


def test_a_callback_must_still_be_quick(tmp_path: Path) -> None:
    done, trial = tried(tmp_path, "busy.c", BUSY_CALLBACK)
    assert (done.code, trial["ok"]) == (1, False)


def test_a_tone_of_0_hz_is_a_rest(tmp_path: Path) -> None:
    done, trial = tried(tmp_path, "tune.ino", TUNE)
    duties = [(pin, duty) for _, pin, duty, *_ in trial["pwm"]]
    assert (done.code, trial["ok"]) == (0, True)
    assert [duty for _, duty in duties if duty] == [128, 128]
    assert duties[-1] == (4, 0)


@pytest.mark.parametrize("source", [SKETCH, C_WITH_SETUP])
def test_setup_and_loop_run_from_a_file_named_c(tmp_path: Path, source: str) -> None:
    done, trial = tried(tmp_path, "blink.c", source)
    assert (done.code, trial["ok"], len(trial["edges"])) == (0, True, 6)


def test_dots_in_a_files_name_become_dashes(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "my.blink.v2.ino"
    file.write_text(INNER_LOOP)
    assert host.run("run", str(file), "-d", "virtual-1").code == 0
    names = until(lambda: [app["name"] for app in host.run("--json", "app", "list").json["apps"]])
    assert names == ["my-blink-v2"]


@pytest.mark.parametrize("firmware", ["plain", "natives=-usleep"])
def test_waits_from_1_ms_run_without_usleep(tmp_path: Path, firmware: str) -> None:
    done, trial = tried(tmp_path, "waits.c", SHORT_WAITS, "--firmware", firmware)
    assert (done.code, trial["ok"]) == (0, True)
    assert 230 <= int(trial["log"][0]) <= 300


def test_a_pulse_that_timers_cannot_make_stays_refused(tmp_path: Path) -> None:
    done, refused = tried(tmp_path, "pulse.ino", PULSE, "--firmware", "natives=-usleep")
    assert (done.code, [found["line"] for found in refused["error"]["diagnostics"]]) == (1, [2])
