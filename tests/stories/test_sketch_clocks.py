"""A sketch's millis() and micros() begin with the sketch, on a board that is up for any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.stories.conftest import Host, until

from microclaw.apps.device_calls import call_device

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
    trial = [[edge[1], edge[2]] for edge in ran.json["trial"]["edges"]]
    assert trial[:3] == [[18, 1], [18, 0], [21, 1]]

    def edges() -> list[list[float]]:
        found = call("edges.read")["edges"]
        return [[edge["t_ms"], edge["pin"], edge["level"]] for edge in found if edge["pin"] in (18, 21)]

    until(lambda: len(edges()) >= 3)
    (on_ms, *on), (off_ms, *off), (pump_ms, *pump) = edges()[:3]
    assert (on, off, pump) == ([18, 1], [18, 0], [21, 1])
    assert 2_900 < off_ms - on_ms < 4_500
    assert 4_900 < pump_ms - on_ms < 6_500
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
    assert found == {
        "millis() - changed > 20": (0, "met in the trial"),
        "millis() > changed + 20": (1, "not met"),
    }
