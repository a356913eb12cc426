"""The parts on a trial's board: those of the program's wiring, else those that its text names."""

from __future__ import annotations

from pathlib import Path

from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, parse_wiring
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image

BOARD = load_board("virtual")
PYTHON = """
from time import sleep_ms
from hcsr04 import HCSR04

sonar = HCSR04(trigger_pin=5, echo_pin=18)
while True:
    print(round(sonar.distance_cm()))
    sleep_ms(500)
"""
TWO_SONARS = PYTHON.replace("while True", "back = HCSR04(6, 7)\nwhile True").replace(
    "distance_cm()))", "distance_cm()), round(back.distance_cm()))"
)
SKETCH = """
#include <NewPing.h>

NewPing sonar(4, 5, 300);

void setup() { Serial.begin(115200); }

void loop() {
  delay(500);
  Serial.println(sonar.ping_cm());
}
"""
FOLLOWS = 'log ~ "100" within 1 s\nhcsr04.distance = 80 cm at 3 s\nlog ~ "80" within 4 s\n'
TWO_ON_A_PIN = """
import dht
from machine import Pin

air = dht.DHT11(Pin(4))
air.measure()
print(air.temperature())
other = dht.DHT22(Pin(4))
"""
BUTTON = parse_wiring('[btn1]\npart = "button"\npin = 4\n')


async def tried(source: str, file: str, folder: Path, expect: str, wiring: Wiring | None = None) -> Trial:
    board: BoardProfile = BOARD
    if file.endswith(".py"):
        board = with_micropython(BOARD)
    compile_source = cached_compiler(BuildCache(folder))
    kind = "py" if file.endswith(".py") else "wasm"
    image = await compile_source(source, board, "sonar", "O3", program_language(file), (kind,))
    return await try_image(image, board, TrialOptions(expectations=parse_expectations(expect), wiring=wiring))


async def test_a_part_that_a_bundled_driver_takes_is_named_as_its_part(build_cache: Path) -> None:
    trial = await tried(PYTHON, "sonar.py", build_cache, FOLLOWS)
    assert (trial.error, trial.proof) == (None, "met in the trial"), trial.log


async def test_the_second_part_of_a_kind_has_a_number(build_cache: Path) -> None:
    expect = 'hcsr04-2.distance = 33 cm at 2 s\nlog ~ "100 33" within 3 s\n'
    trial = await tried(TWO_SONARS, "sonar.py", build_cache, expect)
    assert (trial.error, trial.proof) == (None, "met in the trial"), trial.log


async def test_a_part_that_a_sketch_names_by_its_library_is_wired(build_cache: Path) -> None:
    # The library divides by 57 us a centimetre, the sensor takes 58.
    expect = FOLLOWS.replace('"100"', '"102"').replace('"80"', '"82"')
    trial = await tried(SKETCH, "sonar.ino", build_cache, expect)
    assert (trial.error, trial.proof) == (None, "met in the trial"), trial.log


async def test_with_a_wiring_nothing_else_is_there(build_cache: Path) -> None:
    trial = await tried(PYTHON, "sonar.py", build_cache, 'log ~ "." within 2 s', BUTTON)
    assert trial.proof != "met in the trial"


async def test_of_two_parts_on_one_pin_the_first_is_there(build_cache: Path) -> None:
    trial = await tried(TWO_ON_A_PIN, "air.py", build_cache, 'dht11.temperature = 30 at 0 s\nlog ~ "30" within 1 s\n')
    assert (trial.error, trial.proof) == (None, "met in the trial"), trial.log
