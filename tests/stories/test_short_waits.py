"""Stories: waits and measurements below a millisecond are as they are written, or a warning says what they are."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import Host, microclaw

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
WIDTHS_US = (600, 1000, 2000, 3000, 12_000)


def tried(folder: Path, file: str, source: str, *words: str) -> Any:
    """The document of `microclaw run FILE --try` for two seconds."""
    path = folder / file
    path.write_text(source)
    done = microclaw(folder / "home", "--json", "run", "--try", str(path), "--for", "2s", *words)
    assert done.code == 0, done.out
    return done.json


def gaps_us(trial: Any) -> list[int]:
    times = [edge[0] for edge in trial["edges"]]
    return [round(1000 * (after - before)) for before, after in itertools.pairwise(times)]


def test_50_us_each_way_stay_50_us_but_for_a_few_pauses_that_are_told(tmp_path: Path) -> None:
    trial = tried(tmp_path, "wave.ino", WAVE)
    gaps = gaps_us(trial)
    pauses = [gap for gap in gaps if gap > 65]
    assert len(gaps) > 30_000
    assert all(gap >= 50 for gap in gaps)
    assert 10 < len(pauses) < 110
    assert len(trial["warnings"]) == 1


def test_short_pulses_between_long_waits_need_no_warning(tmp_path: Path) -> None:
    trial = tried(tmp_path, "pulses.ino", PULSES)
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
    measured = [int(line) for line in tried(tmp_path, file, source, *inputs)["log"]]
    assert measured == [pytest.approx(width_us, rel=0.05) for width_us in WIDTHS_US]


def test_a_sketch_with_short_waits_lets_its_board_be_asked(host: Host, tmp_path: Path) -> None:
    (tmp_path / "wave.ino").write_text(WAVE)
    ran = host.run("run", str(tmp_path / "wave.ino"), "-d", "virtual-1", "-y", "--json")
    assert (ran.code, len(ran.json["trial"]["warnings"])) == (0, 1)
    assert host.run("app", "uninstall", "wave", "-d", "virtual-1", "-y").code == 0
    assert host.run("--json", "app", "list").json["apps"] == []
