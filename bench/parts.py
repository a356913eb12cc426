"""Parts: how soon the files of all of them are read, and what ten wired parts add to a trial."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Final

from bench.report import Metric, median, paired_ratio
from microclaw.hardware.boards import load_board
from microclaw.hardware.parts.reader import part_folders
from microclaw.hardware.parts.wiring import Wiring, parse_wiring
from microclaw.programs.building import ProgramImage
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.wasm.compile import compile_module

RUNS: Final = 9
TRIAL_MS: Final = 60_000.0
# A new process: the first reading also prepares msgspec's types. The imports are not part of it.
_READ_ALL: Final = """
import time
from microclaw.hardware.parts.reader import find_part, parts
began = time.perf_counter()
find_part("button")
first = time.perf_counter()
list(parts().values())
print((first - began) * 1000, (time.perf_counter() - began) * 1000)
"""
_PROGRAM: Final = """#include <Arduino.h>
void setup() {
    pinMode(4, OUTPUT);
    pinMode(5, OUTPUT);
    pinMode(6, INPUT_PULLUP);
}
void loop() {
    digitalWrite(4, !digitalRead(4));
    digitalWrite(5, !digitalRead(6));
    delay(10);
}
"""
_WIRING: Final = """
lamp1 = { part = "led", pin = 4 }
lamp2 = { part = "led", pin = 5 }
btn1 = { part = "button", pin = 6 }
btn2 = { part = "button", pin = 7 }
sonar1 = { part = "hcsr04", trig = 12, echo = 13 }
dht1 = { part = "dht22", data = 14 }
probe1 = { part = "ds18b20", data = 15 }
arm1 = { part = "servo", signal = 16 }
bme1 = { part = "bme280" }
meter1 = { part = "ina219" }
"""


def measure() -> list[Metric]:
    one_ms, all_ms = read_times()
    ratio, wired_ms, bare_ms = _trials()
    return [
        Metric("parts", len(part_folders()), ""),
        Metric("one part read first, in a new process", one_ms, "ms"),
        Metric("all parts read, in a new process", all_ms, "ms", 20.0),
        Metric("a minute's trial without parts", bare_ms, "ms"),
        Metric("a minute's trial with ten parts", wired_ms, "ms"),
        Metric("  / without", ratio, "x", 1.3),
    ]


def read_times() -> tuple[float, float]:
    """Return the medians of the milliseconds for one part, and for all of them."""
    one_ms = []
    all_ms = []
    for _ in range(RUNS):
        command = [sys.executable, "-c", _READ_ALL]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        first, last = printed.split()
        one_ms.append(float(first))
        all_ms.append(float(last))
    return median(one_ms), median(all_ms)


def _trials() -> tuple[float, float, float]:
    """Return the ratio of the times with and without parts, and both medians in ms."""
    board = load_board("virtual")
    image = asyncio.run(compile_module(_PROGRAM, board, name="program"))
    wiring = parse_wiring(_WIRING)

    def with_parts() -> float:
        return _trial_s(image, wiring)

    def without_parts() -> float:
        return _trial_s(image, None)

    return paired_ratio(with_parts, without_parts, RUNS)


def _trial_s(image: ProgramImage, wiring: Wiring | None) -> float:
    trial = asyncio.run(try_image(image, load_board("virtual"), TrialOptions(for_ms=TRIAL_MS, wiring=wiring)))
    assert trial.ok, trial.error
    return trial.took_ms / 1000
